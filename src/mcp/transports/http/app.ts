import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { HttpOptions } from "../../../http-options.js";
import type { Logger } from "../../../log.js";
import { Refusal, refuse } from "./answers.js";
import { readJson } from "./body.js";
import { Gate } from "./gate.js";
import { LegacyTransport } from "./legacy.js";
import { type OpenSession, type Session, Sessions } from "./sessions.js";
import { isInitialize, StreamableTransport } from "./streamable.js";

/** One request on its way. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly principal: string;
  /** What lets a page of a known origin read the answer. */
  readonly cors: Record<string, string>;
}

type Route = Readonly<Record<string, (exchange: Exchange) => Promise<void>>>;

/** MCP over HTTP: who may come in, which session a request belongs to, and what it is answered. */
export class HttpApp {
  readonly #gate: Gate;
  readonly #sessions: Sessions;
  readonly #routes: ReadonlyMap<string, Route>;

  /**
   * @param port the one that is really listened on
   * @param openSession called for each new session
   */
  constructor(
    private readonly options: HttpOptions,
    port: number,
    private readonly openSession: OpenSession,
    private readonly log: Logger,
  ) {
    this.#gate = new Gate(options, port);
    this.#sessions = new Sessions(options.sessionSeconds * 1000);
    const inSession = (exchange: Exchange) => this.#inSession(exchange, undefined);
    this.#routes = new Map<string, Route>([
      ["/mcp", { POST: (one) => this.#post(one), GET: inSession, DELETE: inSession }],
      ["/sse", { GET: (one) => this.#openLegacy(one) }],
      ["/messages", { POST: (one) => this.#postLegacy(one) }],
    ]);
  }

  /** To be called for every request. */
  readonly listener: RequestListener = (request, response) => {
    this.#answer(request, response).catch((error: unknown) => {
      if (error instanceof Refusal) return refuse(response, error);
      // A client that went away while it was sending is no fault.
      if (request.destroyed && !request.complete) return;
      this.log.error({ err: error, url: request.url }, "a request could not be answered");
      refuse(response, new Refusal(500, "Internal error", -32603));
    });
  };

  /** Ends every session and its streams; jobs go on. */
  async close(): Promise<void> {
    await this.#sessions.closeAll();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#gate.checkSource(request);
    const cors = this.#gate.corsOf(request);
    for (const [name, value] of Object.entries(cors)) response.setHeader(name, value);
    const url = urlOf(request);
    const route = url && this.#routes.get(url.pathname);
    if (!route) throw new Refusal(404, "There is nothing here: MCP is at /mcp");
    if (request.method === "OPTIONS" && request.headers.origin !== undefined)
      return preflight(response, route);
    const handler = Object.hasOwn(route, request.method ?? "") && route[request.method ?? ""];
    if (!handler) {
      const Allow = Object.keys(route).join(", ");
      throw new Refusal(405, "Method not allowed", undefined, { Allow });
    }
    const principal = this.#gate.principalOf(request);
    await handler({ request, response, url, principal, cors });
  }

  async #post(exchange: Exchange): Promise<void> {
    const body = await readJson(exchange.request);
    if (exchange.request.headers["mcp-session-id"] !== undefined || !isInitialize(body))
      return await this.#inSession(exchange, body);
    await this.#open(exchange, body);
  }

  /** Begins a session; one that the transport refuses to begin leaves nothing behind. */
  async #open({ request, response, principal, cors }: Exchange, body: unknown): Promise<void> {
    this.#sessions.admit(principal);
    let session: Session | null = null;
    const transport = new StreamableTransport(this.options.sessionSeconds * 1000, (id) => {
      session = this.#add(id, principal, transport, server.close.bind(server));
    });
    const server = await this.openSession(transport, principal);
    try {
      await transport.answer(request, response, body, cors);
    } finally {
      if (!session) await server.close();
    }
  }

  async #inSession({ request, response, principal, cors }: Exchange, body: unknown): Promise<void> {
    const id = request.headers["mcp-session-id"];
    if (typeof id !== "string") throw new Refusal(400, "The header Mcp-Session-Id is missing");
    const session = this.#sessions.get(id, principal, StreamableTransport);
    session.open += 1;
    try {
      await session.transport.answer(request, response, body, cors);
    } finally {
      session.open -= 1;
      session.usedAt = Date.now();
    }
  }

  async #openLegacy({ response, principal, cors }: Exchange): Promise<void> {
    this.#sessions.admit(principal);
    const transport = new LegacyTransport(response, cors);
    const server = await this.openSession(transport, principal);
    const id = transport.sessionId;
    const session = this.#add(id, principal, transport, server.close.bind(server));
    session.open += 1; // for as long as it lasts
  }

  async #postLegacy({ request, response, url, principal, cors }: Exchange): Promise<void> {
    const id = url.searchParams.get("sessionId");
    if (!id) throw new Refusal(400, "The parameter sessionId is missing");
    const { transport } = this.#sessions.get(id, principal, LegacyTransport);
    await transport.post(await readJson(request), request, response, cors);
  }

  #add<T extends StreamableTransport | LegacyTransport>(
    id: string,
    principal: string,
    transport: T,
    close: () => Promise<void>,
  ): Session<T> {
    const isBusy = () => transport instanceof StreamableTransport && transport.isBusy;
    const session = { id, principal, transport, close, isBusy, open: 0, usedAt: Date.now() };
    const { onclose } = transport;
    transport.onclose = () => {
      this.#sessions.remove(id);
      onclose?.();
    };
    this.#sessions.add(session);
    return session;
  }
}

/** The path and query that a request names; null for forms that name a host beside the Host header. */
function urlOf({ url = "" }: IncomingMessage): URL | null {
  return /^\/(?!\/)/.test(url) && URL.canParse(url, "http://unused")
    ? new URL(url, "http://unused")
    : null;
}

function preflight(response: ServerResponse, route: Route): void {
  response.writeHead(204, {
    "Access-Control-Allow-Methods": Object.keys(route).join(", "),
    "Access-Control-Allow-Headers":
      "Authorization, Content-Type, Last-Event-ID, Mcp-Protocol-Version, Mcp-Session-Id",
    "Access-Control-Max-Age": "600",
  });
  response.end();
}
