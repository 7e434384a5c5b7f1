import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { boosting, FOREVER, forest as training } from "./calls.js";
import {
  data,
  eventsOf,
  jobOf,
  type Options,
  type Server,
  startsServers,
  until,
} from "./client.js";
import { isAlive, processesOf, strangersTo } from "./processes.js";

/** What a job promises whatever becomes of clients and servers. */

const start = startsServers();

async function startTraining(server: Server, trees = FOREVER, more = {}): Promise<string> {
  const { id } = jobOf(await server.call("train", training(trees, { waitSeconds: 0, ...more })));
  return id;
}
/** A server whose Python has been imported: a call's waiting time is then spent on its job. */
async function startWarm(options: Options = {}): Promise<Server> {
  const server = await start(options);
  await server.report("train", training(1));
  return server;
}
const isRunning = async (server: Server, id: string) =>
  jobOf(await server.call("job-status", { jobId: id }))?.state === "running";

/** What is told of a job as soon as its time remaining can be known. */
async function withEta(server: Server, id: string): Promise<any> {
  let job: any;
  await until("its time remaining is told", async () => {
    job = jobOf(await server.call("job-status", { jobId: id, waitSeconds: 0.5 }));
    return job.eta !== null;
  });
  return job;
}

describe("waiting", () => {
  test("a call that outlasts its wait answers how far the job is, and what to call next", async () => {
    const server = await startWarm();
    const job = jobOf(await server.call("train", training(FOREVER, { waitSeconds: 3 })));
    expect(job).toMatchObject({
      state: "running",
      next: { tool: "job-status", arguments: { jobId: job.id } },
    });
    expect(job.progress).toMatch(/tree \d+\/10000000 \(0 %\), [\d.]+s elapsed/);
    const told = await withEta(server, job.id);
    expect(told.eta).toMatch(/^(\d+h )?(\d+m )?\d+s$/);
    expect(Date.parse(told.finishesAt)).toBeGreaterThan(Date.now());
    await server.call("job-cancel", { jobId: job.id });
  });

  test("a job that cannot be done in its timeout says so while it runs", async () => {
    const server = await startWarm();
    const id = await startTraining(server, FOREVER, { timeout: 60 });
    const told = await withEta(server, id);
    expect(told.warnings?.join()).toMatch(/more than its timeout of 1m 0s/);
    await server.call("job-cancel", { jobId: id });
  });

  test("--wait sets the default", async () => {
    const server = await start({ args: ["--wait", "0"] });
    const job = jobOf(await server.call("train", training(5)));
    expect(["queued", "running"]).toContain(job.state);
  });

  test("progress comes with metrics and time remaining, numbers growing", async () => {
    const server = await start();
    const told: { progress: number; message?: string | undefined }[] = [];
    await server.call(
      "train",
      { ...boosting(150), waitSeconds: 50 },
      { onprogress: (progress) => void told.push(progress) },
    );
    expect(told.length).toBeGreaterThan(2);
    for (const [i, { progress, message }] of told.entries()) {
      expect(progress).toBeGreaterThan(told[i - 1]?.progress ?? 0);
      expect(message!.length).toBeLessThanOrEqual(200);
    }
    expect(told.at(-1)!.message).toMatch(/round \d+\/150.*mlogloss [\d.]+/);
  });

  test("new metrics alone are given with `since`", async () => {
    const server = await start();
    const { id } = jobOf(await server.call("train", { ...boosting(FOREVER), waitSeconds: 0 }));
    await until(
      "it makes progress",
      () => eventsOf(server, id).filter(({ type }) => type === "progress").length > 1,
    );
    const first = jobOf(await server.call("job-status", { jobId: id, since: 0 }));
    expect(first.metrics.length).toBeGreaterThan(0);
    const { since } = first.next.arguments;
    const second = jobOf(await server.call("job-status", { jobId: id, since }));
    for (const { seq } of second.metrics) expect(seq).toBeGreaterThan(since);
    await server.call("job-cancel", { jobId: id });
  });
});

describe("stopping", () => {
  test("cancelling the call ends the job", async () => {
    const server = await start();
    const abort = new AbortController();
    const call = server
      .call("train", training(FOREVER, { waitSeconds: 50 }), { signal: abort.signal })
      .catch((error: Error) => error);
    await until(
      "it runs",
      async () =>
        ((await server.call("job-list", { state: "running" })).structuredContent as any).jobs
          .length === 1,
    );
    abort.abort("the user pressed stop");
    expect(await call).toBeInstanceOf(Error);
    await until(
      "it is cancelled",
      async () =>
        ((await server.call("job-list", { state: "cancelled" })).structuredContent as any).jobs
          .length === 1,
    );
  });

  test("a client whose request timed out ends only its waiting", async () => {
    const server = await startWarm();
    const call = server
      .call("train", training(FOREVER, { waitSeconds: 50 }), { timeout: 2500 })
      .catch((error: Error) => error);
    expect(String(await call)).toMatch(/timed out/);
    const { jobs } = (await server.call("job-list", {})).structuredContent as any;
    expect(jobs).toHaveLength(2);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await isRunning(server, jobs[0].id)).toBe(true);
    await server.call("job-cancel", { jobId: jobs[0].id });
  });

  test("a queued job is cancelled without having started", async () => {
    const server = await start({ args: ["--slots", "1"] });
    const first = await startTraining(server);
    const second = await startTraining(server);
    await until("the first runs", () => isRunning(server, first));
    await until("the second waits", () => existsSync(join(server.home, "jobs", second, "control")));
    expect(jobOf(await server.call("job-status", { jobId: second }))).toMatchObject({
      state: "queued",
      progress: expect.stringMatching(/slot/),
    });
    expect(jobOf(await server.call("job-cancel", { jobId: second }))).toMatchObject({
      state: "cancelled",
    });
    expect(eventsOf(server, second).some(({ type }) => type === "started")).toBe(false);
    await server.call("job-cancel", { jobId: first });
  });
});

describe("the queue", () => {
  test("jobs run in order, as many at once as there are slots, with their share of the threads", async () => {
    const server = await start({ args: ["--slots", "1"] });
    const ids = [];
    for (let i = 0; i < 3; i++) {
      const id = await startTraining(server, 200);
      ids.push(id);
      // Its supervisor has made this, and stands in the queue.
      await until("it is in the queue", () => existsSync(join(server.home, "jobs", id, "control")));
    }
    const reports = await Promise.all(
      ids.map((id) => server.report("job-status", { jobId: id, waitSeconds: 50 })),
    );
    for (const { metadata } of reports)
      expect(metadata.threads).toBe((await import("node:os")).availableParallelism());
    const spans = ids.map((id) => {
      const all = eventsOf(server, id);
      return [all.find(({ type }) => type === "started").time, all.at(-1).time] as [number, number];
    });
    for (let i = 1; i < 3; i++) expect(spans[i]![0]).toBeGreaterThanOrEqual(spans[i - 1]![1]);
  });

  test("a prediction never waits behind trainings", async () => {
    const server = await start({ args: ["--slots", "1"] });
    await server.report("train", { ...training(5), outputDir: "model" });
    const id = await startTraining(server);
    await until("it runs", () => isRunning(server, id));
    const report = await server.report("predict", {
      config: { modelPath: "model", inputData: data("digits.test.csv") },
    });
    expect(report.status).toBe("success");
    expect(await isRunning(server, id)).toBe(true);
    await server.call("job-cancel", { jobId: id });
  });
});

describe("the pool", () => {
  test("a new server's first zygote is there before anybody asks", async () => {
    const server = await start();
    const warm = () => processesOf(server.home).some(({ command }) => command.includes("zygote"));
    await until("it has been started", warm);
  });
});

describe("requestId", () => {
  test("the same id and arguments start nothing new; other arguments are refused", async () => {
    const server = await start();
    const call = { ...training(5), requestId: "once" };
    const first = await server.report("train", call);
    const second = await server.report("train", call);
    expect(second).toEqual(first);
    expect(((await server.call("job-list", {})).structuredContent as any).jobs).toHaveLength(1);
    const error = await server.error("train", { ...training(6), requestId: "once" });
    expect(error).toMatchObject({ type: "invalid-configuration", exitCode: 2 });
  });
});

describe("a server that dies", () => {
  test("killed with SIGKILL: its running job ends well, a queued one starts by itself, another server has both", async () => {
    const server = await start({ args: ["--slots", "1"] });
    const running = await startTraining(server, 900);
    const queued = await startTraining(server, 50);
    await until("the first runs", () => isRunning(server, running));
    process.kill(server.pid, "SIGKILL");
    await until("the server is gone", () => !isAlive(server.pid));
    const other = await start({ home: server.home });
    const reports = [
      await other.report("job-status", { jobId: running, waitSeconds: 50 }),
      await other.report("job-status", { jobId: queued, waitSeconds: 50 }),
    ];
    for (const { status } of reports) expect(status).toBe("success");
    await until(
      "nothing of the first server is left",
      () => strangersTo(server.home, [other.pid]).length === 0,
    );
  });

  test("the end of stdin ends it, and leaves its job running", async () => {
    const server = await start();
    const id = await startTraining(server, 900);
    await until("it runs", () => isRunning(server, id));
    const { pid } = server;
    await server.close();
    await until("the server is gone", () => !isAlive(pid));
    const other = await start({ home: server.home });
    expect((await other.report("job-status", { jobId: id, waitSeconds: 50 })).status).toBe(
      "success",
    );
  });
});

describe("a job that is not there", () => {
  test("lists the latest ids", async () => {
    const server = await start();
    const id = await startTraining(server, 5);
    for (const tool of ["job-status", "job-logs", "job-cancel"]) {
      const result = await server.call(tool, { jobId: "nonsense" });
      expect(result.isError).toBe(true);
      expect((result.structuredContent as any).error).toMatchObject({
        type: "job-not-found",
        exitCode: 2,
      });
      expect(JSON.stringify(result.structuredContent)).toContain(id);
    }
  });
});

const NETWORK = `from torch import nn

class Network(nn.Linear):
    def __init__(self, in_features, num_classes):
        super().__init__(in_features, num_classes)
`;

test("every tool answers a call after the tools were listed", async () => {
  const server = await start();
  const { tools } = await server.client.listTools();
  const trained = await server.report("train", { ...training(5), outputDir: "model" });
  const id = await startTraining(server, 5);
  await server.report("train", { ...boosting(5), outputDir: "rounds" });
  writeFileSync(join(server.cwd, "net.py"), NETWORK);
  const network = { modelScript: "net.py", dataPath: data("iris.csv"), targetColumn: "species" };
  await server.report("train", { config: { ...network, epochs: 1 }, outputDir: "network" });
  const calls: Record<string, Record<string, unknown>> = {
    train: training(5),
    "fine-tune": { config: { pretrainedModel: "network", dataPath: data("iris.csv"), epochs: 1 } },
    evaluate: {
      config: { modelPath: trained.artifacts!.model, dataPath: data("digits.test.csv") },
    },
    predict: {
      config: { modelPath: trained.artifacts!.model, inputData: data("digits.test.csv") },
    },
    resume: { config: { runDir: "rounds", numRounds: 6 } },
    environment: {},
    describe: { path: data("digits.csv") },
    "job-status": { jobId: id },
    "job-list": {},
    "job-logs": { jobId: id },
    "job-cancel": { jobId: id },
  };
  expect(Object.keys(calls).sort()).toEqual(tools.map(({ name }) => name).sort());
  for (const [name, args] of Object.entries(calls)) {
    const result = await server.call(name, args);
    expect(result.structuredContent, name).not.toHaveProperty("error");
    // And a call that makes no sense gets a structured error from every one of them.
    const wrong = await server.call(name, { nonsense: true });
    expect((wrong.structuredContent as any).error, name).toMatchObject({
      type: "invalid-configuration",
      exitCode: 2,
    });
  }
});
