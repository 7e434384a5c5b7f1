import type { ServerResponse } from "node:http";

/** The JSON-RPC codes that go with refusals over HTTP, as the SDK's own transport uses them. */
export const RPC = {
  parse: -32700,
  invalid: -32600,
  refused: -32000,
  noSession: -32001,
} as const;

/** How long a client that is still sending may go on before its connection is cut. */
const LINGER_MS = 1000;

/** A request that is answered with an HTTP status and goes no further. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: number = RPC.refused,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/** Answers with a JSON-RPC error that belongs to no request. */
export function refuse(response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const { status, code, message, headers } = refusal;
  const body = JSON.stringify({ jsonrpc: "2.0", error: { code, message }, id: null });
  const { req: request, socket } = response;
  // What is still being sent would be taken for the next request, or read to its end for nothing.
  const cut = !request.complete;
  response.writeHead(status, {
    "Content-Type": "application/json",
    ...(cut && { Connection: "close" }),
    ...headers,
  });
  response.end(body);
  // Not at once: a connection that is reset loses the answer.
  if (cut && socket) setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
