import type { IncomingMessage, ServerResponse } from "node:http";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { Refusal, RPC } from "./answers.js";
import { MOST_WAITING_BYTES } from "./pump.js";

const KEEP_ALIVE_MS = 15_000;

/** The HTTP+SSE transport of older clients: one stream for all answers, and a session that ends with it. */
export class LegacyTransport extends SSEServerTransport {
  /** @param headers of the stream's response, beside the transport's own */
  constructor(
    private readonly response: ServerResponse,
    headers: Record<string, string>,
  ) {
    super("/messages", response);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.setHeader("X-Accel-Buffering", "no");
    // Proxies cut connections on which nothing passes; a client that reads nothing is cut off.
    const timer = setInterval(() => this.#write(": keepalive\n\n"), KEEP_ALIVE_MS).unref();
    response.once("close", () => clearInterval(timer));
  }

  #write(text: string): void {
    if (this.response.writableLength > MOST_WAITING_BYTES) this.response.destroy();
    else this.response.write(text);
  }

  /** Takes a message that was posted; its answer goes out on the stream. */
  async post(
    body: unknown,
    request: IncomingMessage,
    response: ServerResponse,
    headers: Record<string, string>,
  ): Promise<void> {
    try {
      await this.handleMessage(body, { requestInfo: { headers: request.headers } });
    } catch {
      throw new Refusal(400, "Parse error: the body is no JSON-RPC message", RPC.parse);
    }
    response.writeHead(202, headers).end("Accepted");
  }
}
