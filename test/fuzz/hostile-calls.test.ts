import { expect, test } from "vitest";
import { seedOf, times } from "../support.js";
import { barrage } from "./barrage.js";

/** Hostile calls: whatever is sent, each is answered once, by a structure, and the server lives on. */

/** Fewer while one is being mended: `ML_EXECUTOR_FUZZ_CALLS=1000`. */
const CALLS = Number(process.env.ML_EXECUTOR_FUZZ_CALLS) || 10_000;
const ROUNDS = times(1, 10);
const seed = seedOf("ML_EXECUTOR_FUZZ_SEED");

test(`${ROUNDS * CALLS} hostile calls (seed ${seed})`, { timeout: 7_200_000 }, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    // To do one round again: its own seed, and one round.
    const { faults, counts } = await barrage(CALLS, seed + round * CALLS);
    console.error(`hostile calls, seed ${seed + round * CALLS}: ${JSON.stringify(counts)}`);
    expect(faults.join("\n\n")).toBe("");
    expect(counts.fitting).toBeGreaterThan(counts.calls / 3);
    expect(counts.reports).toBeGreaterThan(counts.calls / 20);
  }
});
