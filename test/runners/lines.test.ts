import { PassThrough } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { onLines } from "../../src/runners/lines.js";

test("lines arrive whole, however the bytes are cut", async () => {
  const texts = fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", " ")));
  await fc.assert(
    fc.asyncProperty(texts, fc.integer({ min: 1, max: 7 }), async (lines, size) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
      const stream = new PassThrough();
      const seen: string[] = [];
      onLines(stream, (line) => seen.push(line));
      for (let from = 0; from < bytes.length; from += size)
        stream.write(bytes.subarray(from, from + size));
      stream.end("unfinished");
      await new Promise((resolve) => stream.once("close", resolve));
      expect(seen).toEqual(lines);
    }),
  );
});
