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
  const { req: request } = response;
  const length = Buffer.byteLength(body);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": length,
    // What is still being sent would be read to its end for nothing.
    ...(!request.complete && { Connection: "close" }),
    ...headers,
  });
  if (request.complete) return void response.end(body);
  // The connection is cut with some delay: at once, the answer could be lost with what was not read.
  response.write(body);
  const end = () => response.end();
  const timer = setTimeout(end, LINGER_MS).unref();
  request
    .once("close", () => clearTimeout(timer))
    .once("end", end)
    .resume();
}
