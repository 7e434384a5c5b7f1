import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
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
import { isAlive, processesOf } from "../e2e/processes.js";
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

  /** A forest that grows until it is cut down. */
  async grow(changes: Partial<JobArguments> = {}): Promise<JobHandle> {
    const config = {
      algorithm: "RandomForestClassifier",
      hyperparameters: { n_estimators: 10_000_000, max_depth: 1 },
      dataPath: "table.csv",
      targetColumn: "label",
    };
    return await this.submit({ action: "train", framework: "sklearn", config, ...changes });
  }

  /** The same, once it grows. */
  async growing(changes: Partial<JobArguments> = {}): Promise<JobHandle> {
    const job = await this.grow(changes);
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

const report = (answer: Answer | null): any => {
  expect(answer).not.toBeNull();
  expect((answer as { error?: ErrorShape }).error).toBeUndefined();
  return (answer as { executionReport: unknown }).executionReport;
};
const error = (answer: Answer | null): ErrorShape => {
  expect(answer).toHaveProperty("error");
  return (answer as { error: ErrorShape }).error;
};
const started = (job: JobHandle) =>
  JSON.parse(readFileSync(join(job.directory, "events.ndjson"), "utf8").split("\n")[0] ?? "{}");
/** Pids that have a file of the job's directory open: its supervisor, the job, what that forked. */
function living(job: JobHandle): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      const files = readdirSync(`/proc/${pid}/fd`);
      return files.some((file) =>
        readlinkSync(`/proc/${pid}/fd/${file}`).startsWith(job.directory),
      );
    } catch {
      return false; // It ended while we looked.
    }
  });
}

/** Our own children that are zygotes of this world. */
const zygotes = (world: World) =>
  processesOf(world.directory).filter(
    ({ parent, command }) => parent === process.pid && command.includes(" zygote "),
  );

/** The supervisor alone outlives the report, for the moment that it takes to end. */
const gone = (job: JobHandle) => until("no process is left", () => living(job).length === 0, 2);

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
    expect(living(job).length).toBeGreaterThanOrEqual(2);
    await job.cancel();
    expect(await job.state()).toBe("cancelled");
    expect(error(await job.wait(0))).toMatchObject({ type: "cancelled", exitCode: 130 });
    await gone(job);
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
    for (const job of [running, queued, sent]) await gone(job);
  });

  test("a timeout ends the job, whoever waits", async () => {
    const world = new World(method);
    const job = await world.growing({ timeout: 6 });
    expect(error(await job.wait(60))).toMatchObject({ type: "timeout-exceeded", exitCode: 124 });
    await gone(job);
  });

  test("a job whose supervisor is killed becomes runner-crashed, and nothing of it stays", async () => {
    const world = new World(method);
    const job = await world.growing();
    process.kill(started(job).supervisorPid, "SIGKILL");
    expect(error(await job.wait(30)).type).toBe("runner-crashed");
    await gone(job);
  });

  test("a server that ends leaves its jobs to the next one", async () => {
    const world = new World(method);
    const job = await world.growing();
    await world.service.close();
    const same = await world.another().get(job.id, null);
    const { lastSeq } = await same.snapshot();
    await until("its trees go on growing", async () => (await same.snapshot()).lastSeq > lastSeq);
    const since = await same.snapshot(lastSeq);
    expect(since).toMatchObject({ state: "running", timeoutSeconds: 3600 });
    await same.cancel();
    expect(error(await same.wait(0)).type).toBe("cancelled");
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

describe("the zygote", () => {
  test("that is killed ends no job, and the next job gets another one", async () => {
    const world = new World("fork", ["--slots", "2"]);
    const job = await world.growing();
    const [zygote, ...more] = zygotes(world);
    expect(more).toEqual([]);
    process.kill(zygote?.pid ?? 0, "SIGKILL");
    const [first, second] = [await world.train(), await world.train({ outputDir: "second" })];
    report(await first.wait(60));
    report(await second.wait(60));
    expect(await job.state()).toBe("running");
    await job.cancel();
    await gone(job);
  });

  test("ends with its server, and leaves the job", async () => {
    const world = new World("fork");
    const job = await world.growing();
    const [zygote, ...more] = zygotes(world);
    expect(more).toEqual([]);
    await world.service.close();
    expect(isAlive(zygote?.pid ?? 0)).toBe(false);
    const same = await world.another().get(job.id, null);
    expect(await same.state()).toBe("running");
    await same.cancel();
  });

  test("is warm once asked for; jobs that nobody started are started", async () => {
    const world = new World("fork");
    const store = new Store(world.config.home);
    const python = { executable: testPython(), kind: "venv" as const, why: "a test", warnings: [] };
    const { id } = await store.create((made) => jobRequest(made, { python }));
    const then = Date.now() / 1000 - 60;
    utimesSync(join(store.directory(id), "request.json"), then, then);
    world.service.warm();
    await until("the zygote is there", () => zygotes(world).length === 1, 30);
    await until("the job has an answer", () => store.ended(id), 30);
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

  test("is killed by a timeout or a cancel; the calls behind it are answered", async () => {
    const world = new World("fork");
    // Within what counts as light, and seconds of writing predictions.
    writeFileSync(join(world.directory, "many.csv"), `a,b\n${"1,2\n".repeat(260_000)}`);
    report(await (await world.train()).wait(60));
    report(await (await world.predict()).wait(60));
    const many = { modelPath: "model", inputData: "many.csv" };
    const late = await world.predict({ config: many, timeout: 0.2, outputDir: "late" });
    const [behind, unwanted, last] = [
      await world.predict({ outputDir: "p1" }),
      await world.predict({ config: many, outputDir: "unwanted" }),
      await world.predict({ outputDir: "p2" }),
    ];
    expect(late.request.lane).toBe("light");
    expect(error(await late.wait(60))).toMatchObject({
      type: "timeout-exceeded",
      nextCall: { tool: "predict", arguments: { timeout: 0.4 } },
    });
    report(await behind.wait(60));
    await unwanted.cancel();
    expect(error(await unwanted.wait(0)).type).toBe("cancelled");
    report(await last.wait(60));
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
