import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Answer, ErrorShape, JobEvent } from "../../src/contract/index.js";
import {
  type JobArguments,
  type JobHandle,
  JobService,
  type Place,
} from "../../src/jobs/service.js";
import { Store } from "../../src/jobs/store.js";
import {
  jobRequest,
  quiet,
  temporaryDirectory,
  testConfig,
  testPython,
  until,
} from "../support.js";

/** A service as a server has it, with a small table and a script in its working directory. */
class World {
  readonly directory = temporaryDirectory();
  readonly place: Place = { baseDir: this.directory, roots: null, principal: null };
  readonly config;
  readonly service;
  readonly jobs: JobHandle[] = [];

  constructor(startMethod: string, argv: string[] = []) {
    const variables = { ML_EXECUTOR_START_METHOD: startMethod, ML_EXECUTOR_PYTHON: testPython() };
    this.config = testConfig(this.directory, variables, argv);
    this.service = this.another();
    const rows = Array.from(
      { length: 40 },
      (_, n) => `${n},${(n * 7) % 10},${n < 20 ? "no" : "yes"}`,
    );
    writeFileSync(join(this.directory, "table.csv"), `a,b,label\n${rows.join("\n")}\n`);
    onTestFinished(async () => {
      for (const job of this.jobs) await job.cancel();
    });
  }

  /** One more server on the same state directory. */
  another(): JobService {
    const service = new JobService(this.config, quiet);
    onTestFinished(() => service.close());
    return service;
  }

  train(changes: Partial<JobArguments> = {}): Promise<JobHandle> {
    const config = {
      algorithm: "LogisticRegression",
      dataPath: "table.csv",
      targetColumn: "label",
    };
    return this.submit({
      action: "train",
      framework: "sklearn",
      config,
      outputDir: "model",
      ...changes,
    });
  }

  /** A forest that grows until it is cut down, or that has so many trees. */
  async grow(changes: Partial<JobArguments> = {}, trees = 10_000_000): Promise<JobHandle> {
    const config = {
      algorithm: "RandomForestClassifier",
      hyperparameters: { n_estimators: trees, max_depth: 1 },
      dataPath: "table.csv",
      targetColumn: "label",
    };
    return await this.submit({ action: "train", framework: "sklearn", config, ...changes });
  }

  /** The same, once it grows. */
  async growing(changes: Partial<JobArguments> = {}, trees?: number): Promise<JobHandle> {
    const job = await this.grow(changes, trees);
    await until("trees grow", async () => ((await job.snapshot()).progress?.done ?? 0) > 0, 30);
    return job;
  }

  predict(changes: Partial<JobArguments> = {}): Promise<JobHandle> {
    const config = { modelPath: "model", inputData: "table.csv" };
    return this.submit({ action: "predict", config, outputDir: "predictions", ...changes });
  }

  async submit(args: JobArguments): Promise<JobHandle> {
    const job = await this.service.submit(args, this.place);
    this.jobs.push(job);
    return job;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: reports are looked into by name
const report = (answer: Answer | null): any => {
  expect(answer).not.toBeNull();
  expect((answer as { error?: ErrorShape }).error).toBeUndefined();
  return (answer as { executionReport: unknown }).executionReport;
};
const error = (answer: Answer | null): ErrorShape => {
  expect(answer).toHaveProperty("error");
  return (answer as { error: ErrorShape }).error;
};
const request = (job: JobHandle) =>
  JSON.parse(readFileSync(join(job.directory, "request.json"), "utf8"));
const started = (job: JobHandle) =>
  JSON.parse(readFileSync(join(job.directory, "events.ndjson"), "utf8").split("\n")[0] ?? "{}");
/** Processes that carry the job's mark, children in sessions of their own included. */
const living = (job: JobHandle) =>
  execFileSync("sh", [
    "-c",
    `grep -l "ML_EXECUTOR_JOB=${job.id}" /proc/[0-9]*/environ 2>/dev/null || true`,
  ])
    .toString()
    .trim();

describe.each(["fork", "spawn"])("jobs, started by %s", (method) => {
  test("train and predict; events in order, the report last", async () => {
    const world = new World(method);
    const job = await world.train();
    const events: JobEvent[] = [];
    const trained = report(await job.wait(60, (event) => events.push(event)));
    expect(trained).toMatchObject({ action: "train", framework: "sklearn", outputDir: "model" });
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events[0]?.type).toBe("started");
    expect(events.at(-1)).toMatchObject({ type: "ended", state: "succeeded", exitCode: 0 });
    expect(await job.state()).toBe("succeeded");

    const predictions = await world.predict();
    expect(predictions.request.lane).toBe("light");
    expect(report(await predictions.wait(60)).metadata.samplesProcessed).toBe(40);
    expect(await predictions.state()).toBe("succeeded");
    const again = await Promise.all([
      world.predict({ outputDir: "p1" }),
      world.predict({ outputDir: "p2" }),
    ]);
    for (const one of again) report(await one.wait(60));

    const listed = await world.service.list(null, { limit: 10 });
    expect(listed).toHaveLength(4);
    expect(listed[3]).toMatchObject({ id: job.id, action: "train", state: "succeeded" });
    expect(await world.service.list(null, { limit: 10, state: "failed" })).toEqual([]);
  });

  test("cancelling ends a running job with all that it started", async () => {
    const world = new World(method);
    const job = await world.growing();
    expect(await job.state()).toBe("running");
    expect(await job.wait(0.1)).toBeNull();
    expect((await job.snapshot()).progress).toMatchObject({ unit: "tree", total: 10_000_000 });
    expect(living(job)).not.toBe("");
    await job.cancel();
    expect(await job.state()).toBe("cancelled");
    expect(error(await job.wait(0))).toMatchObject({ type: "cancelled", exitCode: 130 });
    expect(living(job)).toBe("");
    report(await (await world.train()).wait(60));
  });

  test("cancelling ends a queued job, and one that was only just sent", async () => {
    const world = new World(method, ["--slots", "1"]);
    const running = await world.growing();
    const queued = await world.grow();
    await until("it waits", () => existsSync(join(queued.directory, "control")));
    expect(await queued.state()).toBe("queued");
    await queued.cancel();
    expect(await queued.state()).toBe("cancelled");
    const sent = await world.grow();
    await sent.cancel();
    expect(await sent.state()).toBe("cancelled");
    await running.cancel();
    expect(living(running) + living(queued) + living(sent)).toBe("");
  });

  test("a timeout ends the job, whoever waits", async () => {
    const world = new World(method);
    const job = await world.growing({ timeout: 6 });
    expect(error(await job.wait(60))).toMatchObject({ type: "timeout-exceeded", exitCode: 124 });
    expect(living(job)).toBe("");
  });

  test("a job whose supervisor is killed becomes runner-crashed, and nothing of it stays", async () => {
    const world = new World(method);
    const job = await world.growing();
    process.kill(started(job).supervisorPid, "SIGKILL");
    expect(error(await job.wait(30)).type).toBe("runner-crashed");
    expect(living(job)).toBe("");
  });

  test("a server that ends leaves its jobs to the next one", async () => {
    const world = new World(method);
    const job = await world.growing({}, 3000);
    await world.service.close();
    const other = world.another();
    const same = await other.get(job.id, null);
    expect(await same.state()).toBe("running");
    report(await same.wait(60));
  });

  test("a job that its server never started is started by the next one", async () => {
    const world = new World(method);
    const store = new Store(world.config.home);
    const python = { executable: testPython(), kind: "venv" as const, why: "a test", warnings: [] };
    const call = { algorithm: "LogisticRegression", dataPath: "table.csv", targetColumn: "label" };
    const { id } = await store.create((made) =>
      jobRequest(made, {
        python,
        createdAt: new Date(Date.now() - 60_000).toISOString(),
        baseDir: world.directory,
        request: { action: "train", framework: "sklearn", config: call, outputDir: "late" },
      }),
    );
    report(await (await world.service.get(id, null)).wait(60));
  });
});

describe("the resident process", () => {
  test("that dies ends only the call that ran in it", async () => {
    const world = new World("fork");
    report(await (await world.train()).wait(60));
    const first = await world.predict();
    report(await first.wait(60));
    process.kill(started(first).pid, "SIGKILL");
    report(await (await world.predict()).wait(60));
  });

  test("is killed by a timeout; the call behind it is answered", async () => {
    const world = new World("fork");
    const rows = Array.from(
      { length: 60_000 },
      (_, n) => `${n % 977},${n % 83},${n % 89},${n % 2}`,
    );
    writeFileSync(join(world.directory, "big.csv"), `a,b,c,label\n${rows.join("\n")}\n`);
    writeFileSync(
      join(world.directory, "many.csv"),
      `a,b,c\n${rows
        .slice(0, 50_000)
        .map((row) => row.slice(0, -2))
        .join("\n")}\n`,
    );
    const config = {
      algorithm: "KNeighborsClassifier",
      hyperparameters: { algorithm: "brute", n_neighbors: 3 },
      dataPath: "big.csv",
      targetColumn: "label",
    };
    report(await (await world.train()).wait(60));
    report(await (await world.train({ config, outputDir: "slow" })).wait(120));
    report(await (await world.predict()).wait(60));
    const slow = { modelPath: "slow", inputData: "many.csv" };
    const jobs = [
      await world.predict({ config: slow, timeout: 0.5, outputDir: "slow-out" }),
      await world.predict(),
      await world.predict({ config: slow, outputDir: "slow-out-2" }),
    ] as const;
    expect(request(jobs[0]).lane).toBe("light");
    expect(error(await jobs[0].wait(60))).toMatchObject({
      type: "timeout-exceeded",
      nextCall: { tool: "predict", arguments: { timeout: 1 } },
    });
    report(await jobs[1].wait(60));
    await jobs[2].cancel();
    expect(error(await jobs[2].wait(0)).type).toBe("cancelled");
  });
});

describe("a requestId", () => {
  test("stands for one job; with other arguments it is refused", async () => {
    const world = new World("spawn");
    const first = await world.train({ requestId: "r" });
    const same = await world.train({ requestId: "r" });
    expect(same.id).toBe(first.id);
    report(await same.wait(60));
    await expect(world.train({ requestId: "r", timeout: 5 })).rejects.toMatchObject({
      shape: { type: "invalid-configuration", metadata: { key: "requestId", jobId: first.id } },
    });
    const them = { ...world.place, principal: "them" };
    await expect(world.service.get(first.id, "them")).rejects.toMatchObject({
      shape: { type: "job-not-found" },
    });
    expect(await world.service.list(them.principal, { limit: 5 })).toEqual([]);
  });
});

test("a job that is not there: the error lists the latest", async () => {
  const world = new World("spawn");
  const job = await world.train({ config: {} });
  await job.wait(60);
  await expect(world.service.get("nonesuch", null)).rejects.toMatchObject({
    shape: { type: "job-not-found", exitCode: 2, metadata: { sent: "nonesuch", latest: [job.id] } },
  });
});

test.each(["fork", "spawn"])("a path is described (%s)", async (method) => {
  const world = new World(method);
  const { description } = await world.service.describe({ path: "table.csv" }, world.place);
  expect(description).toMatchObject({ rows: 40 });
  await expect(world.service.describe({ path: "none.csv" }, world.place)).rejects.toMatchObject({
    shape: { type: "data-loading-error" },
  });
});
