import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { data, eventsOf, Server } from "../e2e/client.js";
import { isAlive, strangersTo } from "../e2e/processes.js";
import { randomNumbers, seedOf, times, until } from "../support.js";
import {
  directoryOf,
  expectMendedByNextCall,
  expectOneLife,
  forest,
  kill,
  namesIn,
  start,
  startOf,
  watchFor,
  zygotesOf,
} from "./killing.js";

/**
 * Each process that a job depends on, killed with SIGKILL at random moments: the job ends well, or says
 * what happened and how to go on; never two answers, never none, and nothing is left.
 */

const seed = seedOf("ML_EXECUTOR_SOAK_SEED");
const random = randomNumbers(seed);
const pause = (most: number) => new Promise((resolve) => setTimeout(resolve, random() * most));
const SOAK_MINUTES = 60 * 60_000;

const TREES = 400;
/** A server that nobody kills, and what the training comes to when nobody disturbs it. */
let last: Server;
let undisturbed: any;

beforeAll(async () => {
  last = await Server.start({ args: ["--wait", "50"] });
  undisturbed = await last.report("train", forest(TREES));
});
afterAll(async () => {
  await last.dispose();
});

/** A server of its own on the same state directory. */
const another = () => Server.start({ home: last.home, cwd: last.cwd });

function expectUndisturbed(report: any): void {
  expect(report.metrics).toEqual(undisturbed.metrics);
  expect(report.metadata.defaults).toEqual(undisturbed.metadata.defaults);
}

/** Kills until the moment was really hit `count` times. */
async function hits(count: number, attempt: (round: number) => Promise<boolean>): Promise<number> {
  let hit = 0;
  let tried = 0;
  for (; hit < count; tried++) {
    expect(tried, "attempts at a moment that passes quickly").toBeLessThan(count * 20);
    if (await attempt(tried)) hit += 1;
  }
  return tried;
}

test(`servers (seed ${seed})`, { timeout: SOAK_MINUTES }, async () => {
  for (let round = 0; round < times(2, 20); round++) {
    const server = await another();
    const id = await start(server, forest(TREES));
    await pause(5000);
    kill(server.pid);
    await until("it is gone", () => !isAlive(server.pid));
    expectUndisturbed(await last.report("job-status", { jobId: id, waitSeconds: 50 }));
    expectOneLife(last, id);
  }
  await until(
    "nothing of the killed servers is left",
    () => strangersTo(last.home, [last.pid]).length === 0,
    60,
  );
});

test.each([
  ["job processes", "pid"],
  ["supervisors", "supervisorPid"],
])(`%s (seed ${seed})`, { timeout: SOAK_MINUTES }, async (_, whose) => {
  await hits(times(1, 20), async (round) => {
    const call = forest(TREES, { outputDir: `${whose}-${round}` });
    const id = await start(last, call);
    const started = await startOf(last, id);
    await pause(1500);
    // It may have been faster, or be about to end.
    if (namesIn(directoryOf(last, id)).some((name) => /result|report/.test(name))) return false;
    if (!kill(started[whose])) return false;
    expectUndisturbed(await expectMendedByNextCall(last, id, call));
    return true;
  });
});

test(`zygotes (seed ${seed})`, { timeout: SOAK_MINUTES }, async () => {
  for (let round = 0; round < times(1, 20); round++) {
    const running = await start(last, forest(TREES));
    await startOf(last, running);
    await pause(1000);
    for (const { pid } of zygotesOf(last)) kill(pid);
    // At once: the server may not know yet that its zygote is gone.
    const next = await start(last, forest(TREES));
    for (const id of [running, next]) {
      expectUndisturbed(await last.report("job-status", { jobId: id, waitSeconds: 50 }));
      expectOneLife(last, id);
    }
  }
});

test("supervisors, just before the report's rename", { timeout: SOAK_MINUTES }, async () => {
  await hits(times(1, 20), async () => {
    const id = await start(last, forest(TREES / 8));
    const { supervisorPid } = await startOf(last, id);
    const directory = directoryOf(last, id);
    const result = join(directory, "result.json");
    if (!(await watchFor(last, id, () => existsSync(result)))) return false;
    kill(supervisorPid);
    const hit = !existsSync(join(directory, "report.json"));
    const report = await last.report("job-status", { jobId: id, waitSeconds: 50 });
    expect(report.status).toBe("success");
    expectOneLife(last, id);
    expect(existsSync(result)).toBe(false);
    return hit;
  });
});

test("jobs, while they write their answer", { timeout: SOAK_MINUTES }, async () => {
  await hits(times(1, 20), async () => {
    const id = await start(last, forest(TREES / 8));
    const { pid } = await startOf(last, id);
    const directory = directoryOf(last, id);
    const writing = () => namesIn(directory).some((name) => name.startsWith(".result.json."));
    if (!(await watchFor(last, id, writing))) return false;
    kill(pid);
    const { executionReport, error } = (
      await last.call("job-status", { jobId: id, waitSeconds: 50 })
    ).structuredContent as any;
    // It was there a moment later, or it never was.
    if (!executionReport) expect(error.type).toBe("runner-crashed");
    expectOneLife(last, id);
    return error !== undefined;
  });
});

test("jobs, in the middle of a checkpoint", { timeout: SOAK_MINUTES }, async () => {
  // Large: what is written is then long in writing.
  const boosting = (outputDir: string, numRounds: number) => ({
    framework: "xgboost",
    config: {
      algorithm: "XGBClassifier",
      dataPath: data("digits.csv"),
      targetColumn: "target",
      hyperparameters: { max_depth: 12, min_child_weight: 0 },
      numRounds,
      checkpoint: true,
    },
    outputDir,
  });
  await hits(times(1, 10), async (round) => {
    const outputDir = `checkpointed-${round}`;
    const id = await start(last, boosting(outputDir, 100_000));
    const { pid } = await startOf(last, id);
    const rounds = () => eventsOf(last, id).findLast(({ type }) => type === "progress")?.done ?? 0;
    await until("it has grown", () => rounds() > 30, 60);
    // Who is asked to stop writes a checkpoint at once.
    const cancelled = last.call("job-cancel", { jobId: id });
    const directory = join(last.cwd, outputDir, "checkpoints");
    const writing = () => namesIn(directory).some((name) => name.startsWith("."));
    const seen = await watchFor(last, id, writing);
    if (seen) kill(pid);
    await cancelled;
    const error = await last.error("job-status", { jobId: id });
    expect(error.type).toBe("cancelled");
    expectOneLife(last, id);
    const checkpoint = error.metadata?.lastCheckpoint as { path: string } | undefined;
    if (checkpoint) expect(existsSync(join(last.cwd, checkpoint.path))).toBe(true);
    // What was left of it stands in nobody's way.
    const again = await last.report("train", boosting(outputDir, 3));
    expect(again.status).toBe("success");
    return seen && !checkpoint;
  });
});
