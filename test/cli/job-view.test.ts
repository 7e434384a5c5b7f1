import { expect, test } from "vitest";
import { liveLine, stepLine } from "../../src/cli/job-view.js";
import { table } from "../../src/cli/table.js";
import { advance, NO_HISTORY } from "../../src/jobs/state.js";
import { progress } from "../support.js";

const started = advance(NO_HISTORY, {
  seq: 1,
  time: 100,
  type: "started",
  pid: 2,
  supervisorPid: 1,
  queuedSeconds: 0,
});

test("the live line shows share, unit, rate, metrics and time remaining", () => {
  expect(liveLine("train", NO_HISTORY, 100)).toBe("train · waiting for a free slot");
  const phase = advance(started, { seq: 2, time: 101, type: "phase", name: "loading" });
  expect(liveLine("train", phase, 115)).toBe("train · loading · 15s");
  const running = advance(
    phase,
    progress(5, { rate: 0.1, metrics: { loss: 0.123456, auc: null } }),
  );
  expect(liveLine("train", running, 107)).toBe(
    "train ━━━━━━━━━━━━──────────── 50% round 5/10 · 10s a round · loss 0.1235, auc n/a · 28s left",
  );
});

test("a step's line stands alone", () => {
  const fast = progress(10, { rate: 12.345, etaSeconds: 0, total: null });
  expect(stepLine("train", fast)).toBe("train: round 10 · 12.35 rounds/s · loss 0.1");
});

test("a table's columns are as wide as their widest cell", () => {
  expect(
    table([
      ["ID", "STATE", ""],
      ["abcdef", "failed", "x y"],
      ["a", "b"],
    ]),
  ).toEqual(["ID      STATE", "abcdef  failed  x y", "a       b"]);
  expect(table([])).toEqual([]);
});
