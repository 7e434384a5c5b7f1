import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { boosting } from "./calls.js";
import { data, eventsOf, jobOf, Server, until } from "./client.js";

/** Interrupted trainings go on by the very call that the error proposes, to the model of an undisturbed one. */

type Json = Record<string, any>;

let server: Server;
beforeAll(async () => {
  // As on a machine that may be taken away at any moment.
  server = await Server.start({ env: { ML_EXECUTOR_CHECKPOINT_SECONDS: "0" } });
});
afterAll(async () => {
  await server.dispose();
});

const sampled = (outputDir: string, numRounds: number) => {
  const { config, ...call } = boosting(numRounds, { outputDir });
  const more = { checkpoint: true, checkpointInterval: 10, seed: 1 };
  return {
    ...call,
    config: { ...config, hyperparameters: { max_depth: 2, subsample: 0.7 }, ...more },
  };
};

const digest = (path: string) =>
  createHash("sha256")
    .update(readFileSync(join(server.cwd, path)))
    .digest("hex");
const events = (id: string): Json[] => eventsOf(server, id);

async function startAndWaitForCheckpoint(args: Json): Promise<string> {
  const { id } = jobOf(await server.call("train", { ...args, waitSeconds: 0 }));
  await until(
    "it has a checkpoint",
    () => events(id).some(({ type }) => type === "checkpoint"),
    60,
  );
  return id;
}

/** The error of a call that fails; every one of those here proposes a call. */
async function errorOf(tool: string, args: Json): Promise<Json> {
  const error: Json = await server.error(tool, args);
  expect(error.nextCall).toBeDefined();
  return error;
}

/** The report of the call that an error proposes, its rounds made few enough to wait for. */
async function follow(error: Json, change: Json = {}): Promise<Json> {
  const { tool, arguments: args } = error.nextCall;
  return await server.report(tool, { ...args, config: { ...args.config, ...change } });
}

const MINUTES = { timeout: 180_000 };

test("cancelled, then resumed by nextCall: as in one go", MINUTES, async () => {
  const id = await startAndWaitForCheckpoint(sampled("cut", 100_000));
  const running = await errorOf("resume", { config: { jobId: id } });
  expect(running).toMatchObject({
    type: "invalid-configuration",
    nextCall: { tool: "job-status", arguments: { jobId: id } },
  });
  const cancelled = (await server.call("job-cancel", { jobId: id })).structuredContent as Json;
  const error = cancelled.error ?? (await errorOf("job-status", { jobId: id }));
  expect(error.type).toBe("cancelled");
  expect(error.nextCall).toMatchObject({ tool: "resume", arguments: { config: { jobId: id } } });
  const { done } = error.metadata.lastCheckpoint;
  // Whoever looks at what is left is told the same.
  for (const path of ["cut", error.metadata.lastCheckpoint.path]) {
    const { description } = (await server.call("describe", { path })).structuredContent as Json;
    expect(description).toMatchObject({
      kind: "run",
      status: "failed",
      jobId: id,
      lastCheckpoint: { unit: "round", done },
      next: { tool: "resume", arguments: { config: { runDir: join(server.cwd, "cut") } } },
    });
  }
  const noModel = await errorOf("evaluate", {
    config: { modelPath: "cut", dataPath: data("digits.csv") },
  });
  expect(noModel).toMatchObject({ type: "model-loading-error", nextCall: { tool: "resume" } });
  const rounds = done + 35;
  // So many rounds more: the same call with a smaller total would have had this end.
  const resumed = await follow(error, { numRounds: rounds });
  expect(resumed).toMatchObject({ action: "resume", framework: "xgboost", outputDir: "cut" });
  expect(resumed.metadata).toMatchObject({
    rounds,
    finalRound: rounds,
    resumedFrom: { jobId: id, unit: "round", done },
    python: { why: "the run that goes on began in it" },
  });
  const whole = await server.report("train", sampled("whole", rounds));
  expect(resumed.metrics).toEqual(whole.metrics);
  expect(resumed.warnings).toEqual(whole.warnings);
  expect(digest("cut/model.ubj")).toBe(digest("whole/model.ubj"));
  expect(digest("cut/metrics.csv")).toBe(digest("whole/metrics.csv"));

  const { jobs } = (await server.call("job-list", {})).structuredContent as Json;
  expect(jobs.find((job: Json) => job.action === "resume" && job.state === "succeeded")).toEqual(
    expect.objectContaining({ framework: "xgboost", exitCode: 0, resumes: id }),
  );

  const later = await errorOf("job-status", { jobId: id });
  const by = later.metadata.continuedBy;
  expect(later.nextCall).toEqual({ tool: "job-status", arguments: { jobId: by } });
  expect((await server.report("job-status", { jobId: by })).metadata.finalRound).toBe(rounds);

  // Complete: there is nothing to resume, and the error's own call shows the report.
  const complete = await errorOf("resume", { config: { jobId: id } });
  expect(complete.message).toContain("complete");
  const shown = await server.report(complete.nextCall.tool, complete.nextCall.arguments);
  expect(shown.metadata.finalRound).toBe(rounds);
  const grown = await server.report("resume", {
    config: { runDir: "cut", numRounds: rounds + 10 },
  });
  expect(grown.metadata.finalRound).toBe(rounds + 10);
});

test("out of time, then resumed by nextCall with a longer timeout", MINUTES, async () => {
  const error = await errorOf("train", {
    framework: "lightgbm",
    config: {
      dataPath: data("digits.csv"),
      targetColumn: "target",
      hyperparameters: { objective: "multiclass", num_leaves: 4 },
      numRounds: 1_000_000,
    },
    timeout: 12,
  });
  expect(error).toMatchObject({ type: "timeout-exceeded", nextCall: { tool: "resume" } });
  // By its own rate: far more than twice the timeout.
  expect(error.nextCall.arguments.timeout).toBeGreaterThan(24);
  const { done } = error.metadata.lastCheckpoint;
  const resumed = await follow(error, { numRounds: done + 5 });
  expect(resumed.metadata).toMatchObject({ finalRound: done + 5, resumedFrom: { done } });
});

test("its process killed, then resumed by nextCall; and again", MINUTES, async () => {
  const id = await startAndWaitForCheckpoint(sampled("killed", 100_000));
  const started = events(id).find(({ type }) => type === "started")!;
  process.kill(started.pid, "SIGKILL");
  const error = await errorOf("job-status", { jobId: id, waitSeconds: 50 });
  expect(error).toMatchObject({ type: "runner-crashed", nextCall: { tool: "resume" } });
  const { tool, arguments: args } = error.nextCall;
  const second = jobOf(await server.call(tool, { ...args, waitSeconds: 0 })).id;
  const before = () => events(second).filter(({ type }) => type === "checkpoint");
  await until("it has gone on", () => before().length >= 2, 60);
  process.kill(events(second).find(({ type }) => type === "started")!.pid, "SIGKILL");
  const again = await errorOf("job-status", { jobId: second, waitSeconds: 50 });
  expect(again.nextCall.arguments.config).toEqual({ jobId: second });
  const done = again.metadata.lastCheckpoint.done;
  const resumed = await follow(again, { numRounds: done + 12 });
  expect(resumed.metadata.finalRound).toBe(done + 12);
  await server.report("train", sampled("undisturbed", done + 12));
  expect(digest("killed/model.ubj")).toBe(digest("undisturbed/model.ubj"));
});

describe("what cannot be resumed", () => {
  test("a job that is not there", async () => {
    const error = await errorOf("resume", { config: { jobId: "nobody" } });
    expect(error.type).toBe("job-not-found");
    const { tool, arguments: args } = error.nextCall;
    expect((await server.call(tool, args)).structuredContent).toHaveProperty("jobs");
  });

  test("a checkpoint that is not there: that of its run is proposed, and goes on", async () => {
    const done = 40;
    await server.report("train", sampled("kept", done));
    const error = await errorOf("resume", {
      config: { checkpointPath: "kept/checkpoints/nope.json", numRounds: done + 5 },
    });
    expect(error).toMatchObject({ type: "model-loading-error", nextCall: { tool: "resume" } });
    expect((await follow(error)).metadata.finalRound).toBe(done + 5);
  });

  test("a call that forgot config is given back mended", async () => {
    const error = await errorOf("resume", { jobId: "nobody" });
    expect(error.nextCall).toEqual({
      tool: "resume",
      arguments: { config: { jobId: "nobody" } },
    });
  });

  test("a directory without a run", async () => {
    const error = await errorOf("resume", { config: { runDir: "." } });
    expect(error).toMatchObject({ type: "invalid-configuration", nextCall: { tool: "job-list" } });
  });

  test("an estimator that keeps no checkpoints: the same call is proposed, and works", async () => {
    const args = {
      framework: "sklearn",
      config: {
        algorithm: "KNeighborsClassifier",
        dataPath: data("wine.csv"),
        targetColumn: "missing",
      },
      outputDir: "neighbours",
    };
    await server.error("train", args);
    const { jobs } = (await server.call("job-list", { limit: 1 })).structuredContent as Json;
    const error = await errorOf("resume", { config: { jobId: jobs[0].id } });
    expect(error).toMatchObject({ type: "invalid-configuration", nextCall: { tool: "train" } });
    expect(error.solution).toMatch(/RandomForest.*XGBoost.*LightGBM/);
    const { tool, arguments: again } = error.nextCall;
    const report = await server.report(tool, {
      ...again,
      config: { ...again.config, targetColumn: "target" },
    });
    expect(report.status).toBe("success");
  });

  test("checkpoint: true where it cannot be; its nextCall works", async () => {
    const error = await errorOf("train", {
      framework: "sklearn",
      config: {
        algorithm: "KNeighborsClassifier",
        dataPath: data("wine.csv"),
        targetColumn: "target",
        checkpoint: true,
      },
    });
    expect(error.metadata.key).toBe("config.checkpoint");
    const report = await server.report(error.nextCall.tool, error.nextCall.arguments);
    expect(report.status).toBe("success");
  });
});
