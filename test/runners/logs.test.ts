import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { boundLogs } from "../../src/runners/logs.js";
import { temporaryDirectory } from "../support.js";

test("a log that grew too large is cut to its end, and its writer goes on there", async () => {
  const directory = temporaryDirectory();
  const large = join(directory, "zygote-sklearn-1.log");
  writeFileSync(join(directory, "small.log"), "as it was\n");
  writeFileSync(large, `${"x".repeat(8 * 1024 ** 2)}\n`);
  const writer = openSync(large, "a");
  writeSync(writer, "the last line\n");
  expect(await boundLogs(directory)).toEqual(["zygote-sklearn-1.log"]);
  writeSync(writer, "and one after it\n");
  closeSync(writer);
  const text = readFileSync(large, "utf8");
  expect(text.startsWith("[…]\n")).toBe(true);
  expect(text.endsWith("the last line\nand one after it\n")).toBe(true);
  expect(statSync(large).size).toBeLessThan(1024 ** 2 + 100);
  expect(readFileSync(join(directory, "small.log"), "utf8")).toBe("as it was\n");
  expect(await boundLogs(directory)).toEqual([]);
});

test("where there are no logs yet, nothing happens", async () => {
  expect(await boundLogs(join(temporaryDirectory(), "absent"))).toEqual([]);
});
