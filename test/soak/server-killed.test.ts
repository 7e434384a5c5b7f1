import { afterAll, beforeAll, expect, test } from "vitest";
import { data, Server, until } from "../e2e/client.js";
import { isAlive, strangersTo } from "../e2e/processes.js";

/** Servers killed with SIGKILL at random moments of a training: its report is there all the same. */

const ROUNDS = 20;
const seed = Number(process.env.ML_EXECUTOR_SOAK_SEED) || Date.now() % 1_000_000;

/** mulberry32: the same moments again for the same seed. */
function random(state: number): () => number {
  let a = state;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

let last: Server;
beforeAll(async () => {
  last = await Server.start();
});
afterAll(async () => {
  await last.dispose();
});

test(`${ROUNDS} servers killed in mid-training (seed ${seed})`, { timeout: 900_000 }, async () => {
  const next = random(seed);
  let spread = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const server = await Server.start({ home: last.home, cwd: last.cwd });
    const { structuredContent } = await server.call("train", {
      framework: "sklearn",
      config: {
        algorithm: "RandomForestClassifier",
        dataPath: data("digits.csv"),
        targetColumn: "target",
        hyperparameters: { n_estimators: 600 },
      },
      waitSeconds: 0,
    });
    const { id } = (structuredContent as any).job;
    const moment = next() * 5000;
    await new Promise((resolve) => setTimeout(resolve, moment));
    spread = Math.max(spread, moment);
    process.kill(server.pid, "SIGKILL");
    await until("it is gone", () => !isAlive(server.pid));
    const report = await last.report("job-status", { jobId: id, waitSeconds: 50 });
    expect(report.status, `round ${round}, after ${moment.toFixed(0)} ms`).toBe("success");
  }
  expect(spread).toBeGreaterThan(2000);
  await until(
    "nothing of the killed servers is left",
    () => strangersTo(last.home, [last.pid]).length === 0,
    60,
  );
});
