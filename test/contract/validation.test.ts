import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type ExecutorError, validate } from "../../src/contract/index.js";
import { nearest } from "../../src/contract/nearest.js";

interface Case {
  name: string;
  action: string;
  arguments: unknown;
  error: unknown;
}

// The runner is held to the same cases by runners/tests/core/test_validate.py.
const CASES = JSON.parse(
  readFileSync(new URL("../golden/validation.json", import.meta.url), "utf8"),
) as Case[];

function refusal({ action, arguments: args }: Case): unknown {
  try {
    validate(action, args);
    return null;
  } catch (error) {
    return (error as ExecutorError).shape;
  }
}

test.each(CASES)("$name", (one) => {
  expect(refusal(one)).toEqual(one.error);
});

test.each(CASES.filter((one) => (one.error as { nextCall?: unknown } | null)?.nextCall))(
  "the next call of '$name' is valid",
  ({ error }) => {
    const { tool, arguments: args } = (error as { nextCall: { tool: string; arguments: unknown } })
      .nextCall;
    expect(validate(tool, args)).toBe(args);
  },
);

test("a next call never fills in what only the caller can know", () => {
  for (const { error, arguments: args } of CASES) {
    const next = (error as { nextCall?: { arguments: Record<string, unknown> } } | null)?.nextCall;
    if (!next) continue;
    // Whatever stands in the corrected call was sent, under some name, by the caller.
    const sent = JSON.stringify(args).toLowerCase();
    for (const value of Object.values(next.arguments.config as Record<string, unknown>))
      if (typeof value === "string" && value !== "standard")
        expect(sent).toContain(value.toLowerCase());
  }
});

test.each([
  ["batch_size", "batchSize"],
  ["BATCHSIZE", "batchSize"],
  ["epcohs", "epochs"],
  ["epohcs", "epochs"],
  ["lr", null],
  ["colour", null],
])("nearest to %s is %s", (sent, expected) => {
  expect(nearest(sent, ["epochs", "batchSize", "learningRate", "optimizer"])).toBe(expected);
});
