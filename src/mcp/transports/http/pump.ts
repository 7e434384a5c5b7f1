import type { ServerResponse } from "node:http";

/** A client that lets so much wait is cut off; it may come back for what it missed. */
export const MOST_WAITING_BYTES = 8 * 1024 * 1024;

/**
 * Writes a web-standard response out; resolves once it has ended or the client has gone.
 *
 * @param lastEvent the id of the event after which an event stream has nothing more to tell
 */
export async function pump(
  answer: Response,
  response: ServerResponse,
  headers: Record<string, string>,
  lastEvent: string | null = null,
): Promise<void> {
  // Whether the connection stays is between Node.js and the client.
  const { connection: _, ...own } = Object.fromEntries(answer.headers);
  response.writeHead(answer.status, { ...own, ...headers });
  if (!answer.body) return void response.end();
  response.flushHeaders();
  const reader = answer.body.getReader();
  const cancel = () => void reader.cancel().catch(() => undefined);
  if (response.destroyed) cancel();
  else response.once("close", cancel);
  const end = lastEvent === null ? null : Buffer.from(`\nid: ${lastEvent}\n`);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const chunk = Buffer.from(value);
    response.write(chunk);
    if (end && chunk.includes(end)) cancel();
    if (response.writableLength > MOST_WAITING_BYTES) response.destroy();
  }
  response.end();
}
