import type { Readable } from "node:stream";

const NEWLINE = 10;

/** Calls `onLine` with every whole line of a stream, without its newline; an unfinished last one is dropped. */
export function onLines(stream: Readable, onLine: (line: string) => void): void {
  let pieces: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      const last = chunk.subarray(from, end);
      const line = pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
      pieces = [];
      from = end + 1;
      onLine(line.toString("utf8"));
    }
    if (from < chunk.length) pieces.push(chunk.subarray(from));
  });
}
