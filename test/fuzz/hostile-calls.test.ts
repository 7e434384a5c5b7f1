import { expect, test } from "vitest";
import { seedOf } from "../support.js";
import { barrage } from "./barrage.js";

/** Hostile calls: whatever is sent, each is answered once, by a structure, and the server lives on. */

const COUNT = process.env.ML_EXECUTOR_SOAK === "1" ? 100_000 : 10_000;
const seed = seedOf("ML_EXECUTOR_FUZZ_SEED");

test(`${COUNT} hostile calls (seed ${seed})`, { timeout: 7_200_000 }, async () => {
  const { faults, counts } = await barrage(Number(process.env.N) || COUNT, seed);
  console.error(JSON.stringify(counts));
  expect(faults.join("\n\n")).toBe("");
  expect(counts.fitting).toBeGreaterThan(counts.calls / 3);
  expect(counts.reports).toBeGreaterThan(counts.calls / 20);
});
