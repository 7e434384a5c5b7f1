import { describe, expect, test } from "vitest";
import type { Answer, JobEvent } from "../../src/contract/index.js";
import { advance, metricsOf, NO_HISTORY, snapshotOf, stateOf } from "../../src/jobs/state.js";
import { progress } from "../support.js";

const started: JobEvent = {
  seq: 1,
  time: 101,
  type: "started",
  pid: 2,
  supervisorPid: 1,
  queuedSeconds: 0,
};
const past = (...events: JobEvent[]) => events.reduce(advance, NO_HISTORY);
const error = (type: string) =>
  ({ error: { type, message: "", exitCode: 1, solution: "" } }) as Answer;

describe("a job's state", () => {
  test("comes from its report, else from its events", () => {
    expect(stateOf(null, NO_HISTORY)).toBe("queued");
    expect(stateOf(null, past(started))).toBe("running");
    expect(stateOf({ executionReport: {} } as Answer, NO_HISTORY)).toBe("succeeded");
    expect(stateOf(error("cancelled"), past(started))).toBe("cancelled");
    expect(stateOf(error("out-of-memory"), past(started))).toBe("failed");
  });

  test("is queued again once the resident process gave it back", () => {
    const declined: JobEvent = { seq: 2, time: 102, type: "declined", why: "too large" };
    const history = past(started, declined);
    expect(stateOf(null, history)).toBe("queued");
    expect(history.lastSeq).toBe(2);
  });
});

describe("a snapshot", () => {
  test("takes the time since the event off the time remaining", () => {
    const snapshot = snapshotOf("running", past(started, progress(2)), 3600, 112);
    expect(snapshot).toMatchObject({
      state: "running",
      progress: { unit: "round", done: 2, total: 10 },
      etaSeconds: 20,
      elapsedSeconds: 11,
      latestMetrics: { loss: 0.5 },
      lastSeq: 2,
    });
    expect(snapshotOf("running", past(started, progress(2)), 3600, 500).etaSeconds).toBe(0);
  });

  test("of an ended job stands still", () => {
    const ended: JobEvent = { seq: 3, time: 131, type: "ended", state: "succeeded", exitCode: 0 };
    const history = past(started, progress(2), ended);
    expect(snapshotOf("succeeded", history, 3600, 9999)).toMatchObject({
      elapsedSeconds: 30,
      etaSeconds: null,
    });
  });

  test("collects warnings", () => {
    const warning: JobEvent = { seq: 2, time: 102, type: "warning", message: "3 rows dropped" };
    expect(snapshotOf("running", past(started, warning), 1, 103).warnings).toEqual([
      "3 rows dropped",
    ]);
  });
});

test("metrics are thinned evenly, and the last is kept", () => {
  const few = [progress(1), started, progress(2, { metrics: {} })];
  expect(metricsOf(few)).toEqual([{ seq: 1, unit: "round", done: 1, metrics: { loss: 1 } }]);
  const many = metricsOf(Array.from({ length: 1234 }, (_, index) => progress(index + 1)));
  expect(many).toHaveLength(50);
  expect(many.at(-1)?.seq).toBe(1234);
  expect(new Set(many.map(({ seq }) => seq)).size).toBe(50);
});
