import { expect, test } from "vitest";
import type { ErrorShape } from "../../src/contract/index.js";
import { boundedError, boundedList, fits, MOST_BYTES } from "../../src/report/bounded.js";

/** Answers that would cost an agent more than 8 KB are cut, and say so. */

const error = (changes: Partial<ErrorShape>): ErrorShape => ({
  type: "invalid-configuration",
  message: "wrong",
  exitCode: 2,
  solution: "Send nextCall: it is this call with that mended.",
  ...changes,
});
const long = "é🤖".repeat(20_000);

test("an error that fits stays as it is", () => {
  const small = error({ metadata: { sent: "x".repeat(5000) } });
  expect(boundedError(small)).toBe(small);
});

test.each<Partial<ErrorShape>>([
  { message: long },
  { metadata: { sent: long, allowed: new Array(5000).fill(long) } },
  {
    metadata: { sent: Object.fromEntries(new Array(500).fill(0).map((_, i) => [long + i, long])) },
  },
  { stderr: long, metadata: { sent: [[[[long]]]] } },
])("one that is too long is cut until it does (%#)", (changes) => {
  const cut = boundedError(error(changes));
  expect(Buffer.byteLength(JSON.stringify({ error: cut }))).toBeLessThanOrEqual(MOST_BYTES);
  expect(cut).toMatchObject({ type: "invalid-configuration", exitCode: 2 });
  expect(JSON.stringify(cut)).not.toMatch(/\\ud[89a-f]/);
});

test("a next call is whole or not there, and no longer spoken of", () => {
  const nextCall = { tool: "train", arguments: { config: { dataPath: long } } };
  const cut = boundedError(error({ nextCall }));
  expect(cut.nextCall).toBeUndefined();
  expect(cut.solution).not.toMatch(/nextCall/);
  const small = { tool: "train", arguments: { config: {} } };
  expect(boundedError(error({ message: long, nextCall: small })).nextCall).toEqual(small);
});

test("of a list as many as fit, from its beginning", () => {
  const items = Array.from({ length: 1000 }, (_, i) => `item ${i}`);
  const { shown } = boundedList(items, (some) => ({ shown: some })) as { shown: string[] };
  expect(shown.length).toBeGreaterThan(400);
  expect(shown).toEqual(items.slice(0, shown.length));
  expect(fits({ shown })).toBe(true);
});
