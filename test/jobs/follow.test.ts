import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventReader, Waker } from "../../src/jobs/follow.js";
import { progress, temporaryDirectory } from "../support.js";

const line = (seq: number) => `${JSON.stringify(progress(seq))}\n`;

describe("reading events", () => {
  test("goes on where it stopped, and leaves an unfinished line", async () => {
    const path = join(temporaryDirectory(), "events.ndjson");
    const reader = new EventReader(path);
    expect(await reader.read()).toEqual([]);
    appendFileSync(path, line(1) + line(2).slice(0, 20));
    expect((await reader.read()).map(({ seq }) => seq)).toEqual([1]);
    expect(await reader.read()).toEqual([]);
    appendFileSync(path, line(2).slice(20) + line(3));
    expect((await reader.read()).map(({ seq }) => seq)).toEqual([2, 3]);
  });

  test("passes over a torn line, and over events of a later version", async () => {
    const path = join(temporaryDirectory(), "events.ndjson");
    const later = `${JSON.stringify({ seq: 2, time: 1, type: "telemetry" })}\n`;
    writeFileSync(path, `${line(1)}${later}${line(3).slice(0, 30)}\n${line(3)}`);
    expect((await new EventReader(path).read()).map(({ seq }) => seq)).toEqual([1, 3]);
  });

  test("gives every event once, however the bytes arrive", async () => {
    const path = join(temporaryDirectory(), "events.ndjson");
    const metrics = { "größe ∑": 1 };
    const bytes = Buffer.concat(
      Array.from({ length: 40 }, (_, index) =>
        Buffer.from(`${JSON.stringify(progress(index + 1, { metrics }))}\n`),
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
        writeFileSync(path, "");
        const reader = new EventReader(path);
        const seen: number[] = [];
        let from = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
          appendFileSync(path, bytes.subarray(from, cut));
          from = cut;
          seen.push(...(await reader.read()).map(({ seq }) => seq));
        }
        expect(seen).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
      }),
      { numRuns: 60 },
    );
  });

  test("reads a file that is larger than its buffer", async () => {
    const path = join(temporaryDirectory(), "events.ndjson");
    writeFileSync(path, Array.from({ length: 3000 }, (_, index) => line(index + 1)).join(""));
    expect(await new EventReader(path).read()).toHaveLength(3000);
  });
});

describe("waking", () => {
  test("by a change of a file that matters, and not by another", async () => {
    const directory = temporaryDirectory();
    const waker = new Waker(directory, ["report.json"]);
    const start = performance.now();
    setTimeout(() => writeFileSync(join(directory, "stdout.log"), "x"), 10);
    setTimeout(() => writeFileSync(join(directory, "report.json"), "{}"), 100);
    await waker.next(5000);
    const waited = performance.now() - start;
    waker.close();
    // The poll would have come after 250 ms.
    expect(waited).toBeGreaterThan(90);
    expect(waited).toBeLessThan(240);
  });

  test("by hand, also before the wait", async () => {
    const waker = new Waker(temporaryDirectory(), []);
    waker.wake();
    const start = performance.now();
    await waker.next(5000);
    expect(performance.now() - start).toBeLessThan(100);
    waker.close();
  });

  test("by the poll where the directory cannot be watched", async () => {
    const waker = new Waker(join(temporaryDirectory(), "absent"), []);
    await waker.next(5000);
    waker.close();
  });
});
