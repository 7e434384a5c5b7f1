import type { IncomingMessage } from "node:http";
import { Refusal, RPC } from "./answers.js";

const MOST_BYTES = 4 * 1024 * 1024;

/**
 * Reads a request's JSON.
 *
 * @throws Refusal 415 for what is no JSON, 413 beyond 4 MB (declared or sent), 400 for broken JSON
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const { headers } = request;
  const [type, ...parameters] = (headers["content-type"] ?? "").split(";");
  if (type?.trim().toLowerCase() !== "application/json" || !parameters.every(isUtf8)) {
    throw new Refusal(415, "Content-Type must be application/json in UTF-8");
  }
  if ((headers["content-encoding"] ?? "identity") !== "identity")
    throw new Refusal(415, "Content-Encoding must be identity");
  if (Number(headers["content-length"] ?? 0) > MOST_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  // What is refused is answered first; destroying the request would cut the connection.
  const parts = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  for await (const chunk of parts) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    throw new Refusal(400, "Parse error: the body is not JSON", RPC.parse);
  }
}

function isUtf8(parameter: string): boolean {
  const [name, value = ""] = parameter.trim().toLowerCase().split("=");
  return name !== "charset" || /^"?utf-?8"?$/.test(value);
}

function tooLarge(): Refusal {
  return new Refusal(413, `The body is larger than ${MOST_BYTES} bytes`);
}
