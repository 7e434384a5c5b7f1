import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import {
  isInitializeRequest,
  type JSONRPCMessage,
  type RequestId,
  SUPPORTED_PROTOCOL_VERSIONS,
} from "@modelcontextprotocol/sdk/types.js";
import { Refusal, RPC } from "./answers.js";
import { EventLog } from "./event-log.js";
import { pump } from "./pump.js";

/** How long a client is to wait before it comes back for a stream that broke. */
const RETRY_MS = 1000;
const MOST_ENTRIES = 1000;
const MOST_BYTES = 4 * 1024 * 1024;

/** The Streamable HTTP transport of one session, with what it sent kept for a client that comes back. */
export class StreamableTransport extends WebStandardStreamableHTTPServerTransport {
  /** The calls that are worked on, each with those of its request that are not answered yet. */
  readonly #calls = new Map<RequestId, Set<RequestId>>();
  /** Answers after which nothing more comes on their streams. */
  readonly #last = new WeakSet<JSONRPCMessage>();
  readonly #log: EventLog;
  /** What client and server agreed on; null before. */
  #version: string | null = null;

  /**
   * @param keepMilliseconds how long what was sent is kept
   * @param onSession called with the id once a client has begun a session
   */
  constructor(keepMilliseconds: number, onSession: (id: string) => void) {
    const limits = { entries: MOST_ENTRIES, bytes: MOST_BYTES, milliseconds: keepMilliseconds };
    const log = new EventLog(limits, (message) => this.#last.has(message));
    super({
      sessionIdGenerator: randomUUID,
      eventStore: log,
      onsessioninitialized: onSession,
      retryInterval: RETRY_MS,
    });
    this.#log = log;
  }

  get isBusy(): boolean {
    return this.#calls.size > 0;
  }

  /** Answers one HTTP request; resolves once the response has ended, be it an event stream. */
  async answer(
    request: IncomingMessage,
    response: ServerResponse,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<void> {
    const { method } = request;
    if (method === "GET") return await this.#stream(request, response, headers);
    const calls = this.#begin(body);
    const answer = await this.#handle(request, body);
    if (answer.status !== 200) this.#end(calls);
    await pump(answer, response, headers);
  }

  override async send(
    message: JSONRPCMessage,
    options?: { relatedRequestId?: RequestId },
  ): Promise<void> {
    if (!("method" in message) && message.id !== undefined) {
      // A session's first answer is the one to `initialize`.
      if ("result" in message) this.#version ??= String(message.result.protocolVersion);
      const others = this.#calls.get(message.id);
      this.#end([message.id]);
      if (!others?.size) this.#last.add(message);
    }
    await super.send(message, options);
  }

  /** The stream of what belongs to no call, or what a client missed of any stream. */
  async #stream(
    request: IncomingMessage,
    response: ServerResponse,
    headers: Record<string, string>,
  ): Promise<void> {
    const id = request.headers["last-event-id"];
    if (typeof id !== "string") {
      // A client that lost its connection may be back before the loss is noticed here.
      if (request.headers.accept?.includes("text/event-stream")) this.closeStandaloneSSEStream();
      return await pump(await this.#handle(request), response, headers);
    }
    if (!this.#log.has(id)) throw new Refusal(400, "No such event, or too long ago");
    const end = this.#log.endOf(id);
    // The event that ended the stream is what the client names: 204 tells it not to come back.
    if (end === id) return void response.writeHead(204, headers).end();
    await pump(await this.#handle(request), response, headers, end);
  }

  async #handle(request: IncomingMessage, body?: unknown): Promise<Response> {
    const headers = new Headers();
    for (const [name, values] of Object.entries(request.headersDistinct))
      for (const value of values ?? []) headers.append(name, value);
    // What was agreed on holds, whatever older version a request names or leaves out: a client of the
    // newer ones gets the events that it can come back with.
    const named = headers.get("mcp-protocol-version");
    if (this.#version && (named === null || SUPPORTED_PROTOCOL_VERSIONS.includes(named)))
      headers.set("mcp-protocol-version", this.#version);
    const url = new URL(request.url ?? "/", `http://${request.headers.host}`);
    const init = { method: request.method ?? "GET", headers };
    return await this.handleRequest(new Request(url, init), { parsedBody: body });
  }

  /**
   * Takes note of the calls of a body, and of those that are called off.
   *
   * @throws Refusal 400 where an id stands for another call: its answer could reach the wrong one
   */
  #begin(body: unknown): RequestId[] {
    const messages = messagesOf(body);
    if (Array.isArray(body) && body.length === 0)
      throw new Refusal(400, "The batch is empty", RPC.invalid);
    const ids = messages.flatMap((message) =>
      "method" in message && isId(message.id) ? [message.id] : [],
    );
    const twice = ids.find((id, index) => this.#calls.has(id) || ids.indexOf(id) !== index);
    if (twice !== undefined) {
      throw new Refusal(400, `The request id ${JSON.stringify(twice)} is in use`, RPC.invalid);
    }
    for (const { method, params } of messages) {
      const id = (params as { requestId?: unknown } | undefined)?.requestId;
      // It is not answered any more.
      if (method === "notifications/cancelled" && isId(id)) this.#end([id]);
    }
    const together = new Set(ids);
    for (const id of ids) this.#calls.set(id, together);
    return ids;
  }

  #end(ids: readonly RequestId[]): void {
    for (const id of ids) {
      this.#calls.get(id)?.delete(id);
      this.#calls.delete(id);
    }
  }
}

/** Whether a body asks for a new session. */
export function isInitialize(body: unknown): boolean {
  return messagesOf(body).some((message) => isInitializeRequest(message));
}

type Loose = Record<string, unknown>;

function messagesOf(body: unknown): Loose[] {
  return (Array.isArray(body) ? body : [body]).filter(
    (message): message is Loose => typeof message === "object" && message !== null,
  );
}

function isId(id: unknown): id is RequestId {
  return typeof id === "string" || typeof id === "number";
}
