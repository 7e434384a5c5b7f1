import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import type { CallToolResult, ContentBlock } from "@modelcontextprotocol/sdk/types.js";
import { expect } from "vitest";
import type { ErrorShape, Report } from "../../src/contract/index.js";

type Json = Record<string, any>;

/** A client of the server under test, over whatever transport, that calls tools as an agent does. */
export class Caller {
  constructor(readonly client: Client) {}

  /** Calls a tool; a client's time limit well above what any call may take. */
  async call(
    name: string,
    args: Json,
    options: Parameters<Client["callTool"]>[2] = {},
  ): Promise<CallToolResult> {
    const result = await this.client.callTool({ name, arguments: args }, undefined, {
      timeout: 110_000,
      ...options,
    });
    const text = (result.content as ContentBlock[])[0];
    expect(text?.type === "text" && JSON.parse(text.text)).toEqual(result.structuredContent);
    return result as CallToolResult;
  }

  /** Calls an action and follows its job to the end, as an agent would: by the `next` calls. */
  async finish(name: string, args: Json): Promise<CallToolResult> {
    let result = await this.call(name, args);
    while ((result.structuredContent as Json).job?.next) {
      const { tool, arguments: next } = (result.structuredContent as Json).job.next;
      result = await this.call(tool, next);
    }
    return result;
  }

  /** The report of an action that succeeds. */
  async report(name: string, args: Json): Promise<Report & Json> {
    const { structuredContent } = await this.finish(name, args);
    const { executionReport, error } = structuredContent as Json;
    expect(error).toBeUndefined();
    return executionReport;
  }

  /** The error of an action that fails. */
  async error(name: string, args: Json): Promise<ErrorShape & Json> {
    const result = await this.finish(name, args);
    expect(result.structuredContent).toHaveProperty("error");
    expect(result.isError).toBe(true);
    return (result.structuredContent as Json).error;
  }
}
