import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

// biome-ignore lint/suspicious/noExplicitAny: reports are looked into by name
type Json = Record<string, any>;

/** The command that serves over stdio. */
export const binary = (root: string, ...args: string[]): string[] => [
  process.execPath,
  join(root, "dist/ml-executor.js"),
  "serve",
  ...args,
];

/** The real binary with the SDK's client, in a directory of its own. */
export class Session {
  private constructor(
    readonly client: Client,
    readonly transport: StdioClientTransport,
    readonly directory: string,
  ) {}

  static async start(command: string[], python: string): Promise<Session> {
    const directory = mkdtempSync(join(tmpdir(), "mlx-bench-"));
    const [file = process.execPath, ...args] = command;
    const transport = new StdioClientTransport({
      command: file,
      args,
      cwd: directory,
      env: {
        PATH: process.env.PATH ?? "",
        HOME: directory,
        ML_EXECUTOR_HOME: join(directory, "state"),
        ML_EXECUTOR_PYTHON: python,
      },
      stderr: "ignore",
    });
    const client = new Client({ name: "bench", version: "1" });
    await client.connect(transport);
    return new Session(client, transport, directory);
  }

  /** Calls a tool and follows its job to the end. */
  async report(name: string, args: Json): Promise<Json> {
    let content = await this.call(name, args);
    while (content.job?.next)
      content = await this.call(content.job.next.tool, content.job.next.arguments);
    if (content.error) throw new Error(JSON.stringify(content.error));
    return content.executionReport;
  }

  async call(name: string, args: Json): Promise<Json> {
    const { structuredContent } = await this.client.callTool({ name, arguments: args });
    return structuredContent as Json;
  }

  async close(): Promise<void> {
    await this.client.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
