import { execFile, spawn } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  BINARY,
  data,
  eventsOf,
  jobOf,
  type Server,
  serverEnvironment,
  startsServers,
  until,
} from "./client.js";
import { isAlive, processesOf } from "./processes.js";

/** Memory limits, the order of the queue, and ending what another server has. */

const start = startsServers();

const run = promisify(execFile);
const startedAt = (server: Server, id: string): number | undefined =>
  eventsOf(server, id).find(({ type }) => type === "started")?.time;

/** A training of a user's own estimator, whose `fit` is `body`. */
function scripted(server: Server, name: string, body: string) {
  const lines = body.replaceAll(/^/gm, "        ");
  writeFileSync(
    join(server.cwd, `${name}.py`),
    `import os, time, pathlib
from sklearn.base import BaseEstimator, ClassifierMixin

class Mine(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = sorted(set(y))
${lines}
        return self

    def predict(self, X):
        return [self.classes_[0]] * len(X)
`,
  );
  return {
    framework: "sklearn",
    config: { modelScript: `${name}.py`, dataPath: data("iris.csv"), targetColumn: "species" },
  };
}

const GIBIBYTE = 1024 ** 3;

describe.each(["fork", "spawn"])("jobs started by %s", (method) => {
  const env = { ML_EXECUTOR_START_METHOD: method };

  test("one that takes more memory than its limit ends, another beside it goes on", async () => {
    const server = await start({ env, args: ["--slots", "2", "--memory-limit", "4GB"] });
    const good = scripted(
      server,
      "good",
      "while not pathlib.Path('hog-is-gone').exists():\n    time.sleep(0.05)",
    );
    const hog = scripted(
      server,
      "hog",
      "held = []\nwhile len(held) < 12:\n    held.append(b'x' * 2**30)",
    );
    const beside = jobOf(await server.call("train", { ...good, waitSeconds: 0 })).id;
    await until("it runs", () => startedAt(server, beside) !== undefined);
    const error = await server.error("train", hog);
    expect(error).toMatchObject({
      type: "out-of-memory",
      exitCode: 137,
      metadata: { limitBytes: 4 * GIBIBYTE, limitedBy: "set by --memory-limit" },
    });
    expect(error.metadata!.peakBytes).toBeGreaterThan(4 * GIBIBYTE);
    // What the machine still had: the whole point of ending it.
    expect(error.metadata!.peakBytes).toBeLessThan(6 * GIBIBYTE);
    expect(error.metadata!.largestProcess).toMatchObject({
      command: expect.stringMatching(/python/),
    });
    expect(error.solution).toMatch(/--memory-limit \d+GB/);
    writeFileSync(join(server.cwd, "hog-is-gone"), "");
    const report = await server.report("job-status", { jobId: beside, waitSeconds: 50 });
    expect(report.status).toBe("success");
    expect(report.metadata.peakMemoryBytes).toBeGreaterThan(16 * 1024 ** 2);
    expect(report.metadata.peakMemoryBytes).toBeLessThan(GIBIBYTE);
    expect(report.metadata.peakMemory).toMatch(/^[\d.]+MB$/);
  });

  // One that is started afresh imports its framework first.
  const count = method === "fork" ? 30 : 10;

  test(`${count} of them, handed over at once on a busy machine, start in the order of their calls`, {
    timeout: 200_000,
  }, async () => {
    for (let one = 0; one < 3; one += 1) {
      const computing = spawn(process.execPath, ["-e", "for (;;) {}"], { stdio: "ignore" });
      onTestFinished(() => void computing.kill("SIGKILL"));
    }
    const server = await start({ env, args: ["--slots", "1"] });
    const first = scripted(
      server,
      "first",
      "while not pathlib.Path('all-queued').exists():\n    time.sleep(0.02)",
    );
    const quick = scripted(server, "quick", "pass");
    const calls = [first, ...Array.from({ length: count - 1 }, () => quick)];
    const answers = await Promise.all(
      calls.map((call) => server.call("train", { ...call, waitSeconds: 0 })),
    );
    const ids = answers.map((answer) => jobOf(answer).id as string);
    writeFileSync(join(server.cwd, "all-queued"), "");
    const haveRun = () => ids.every((id) => startedAt(server, id) !== undefined);
    await until("all have run", haveRun, 150);
    const started = ids
      .map((id) => ({ id, at: startedAt(server, id)! }))
      .sort((one, other) => one.at - other.at);
    expect(started.map(({ id }) => ids.indexOf(id))).toEqual(ids.map((_, place) => place));
  });
});

describe("a light job in another server's resident process", () => {
  /** A server whose resident process hangs in the middle of a prediction. */
  async function hanging(): Promise<{ server: Server; id: string }> {
    const server = await start();
    const row = (i: number) => `${4 + (i % 40) / 10},${2 + (i % 23) / 10},${1 + (i % 59) / 10},0.2`;
    const head = readFileSync(data("iris.csv"), "utf8").split("\n")[0]!.split(",").slice(0, 4);
    const rows = Array.from({ length: 50_000 }, (_, i) => row(i));
    writeFileSync(join(server.cwd, "asked.csv"), [head.join(","), ...rows].join("\n"));
    await server.report("train", {
      framework: "sklearn",
      config: {
        dataPath: data("iris.csv"),
        targetColumn: "species",
        algorithm: "RandomForestClassifier",
        hyperparameters: { n_estimators: 1000 },
      },
      outputDir: "model",
    });
    const call = { config: { modelPath: "model", inputData: "asked.csv" }, waitSeconds: 0 };
    const { id } = jobOf(await server.call("predict", call));
    await until("it runs", () => startedAt(server, id) !== undefined);
    // It takes seconds; from here on, for ever.
    process.kill(eventsOf(server, id)[0].pid, "SIGSTOP");
    return { server, id };
  }

  test("is cancelled by the command line", async () => {
    const { server, id } = await hanging();
    const { stdout } = await run(process.execPath, [BINARY, "jobs", "cancel", id, "--json"], {
      cwd: server.cwd,
      env: serverEnvironment(server.home),
    });
    expect(JSON.parse(stdout)).toEqual({ job: { id, state: "cancelled" } });
    const error = await server.error("job-status", { jobId: id });
    expect(error).toMatchObject({ type: "cancelled", exitCode: 130 });
    // The next one finds a process as good as new.
    const iris = { dataPath: data("iris.csv"), targetColumn: "species" };
    const small = { ...iris, algorithm: "DecisionTreeClassifier" };
    await server.report("train", { framework: "sklearn", config: small, outputDir: "tree" });
    const report = await server.report("evaluate", { config: { ...iris, modelPath: "tree" } });
    expect(report.status).toBe("success");
  });

  test("is cancelled by another server", async () => {
    const { server, id } = await hanging();
    const other = await start({ home: server.home });
    expect(jobOf(await other.call("job-cancel", { jobId: id })).state).toBe("cancelled");
  });
});

// Six trainings, most of which import their framework first.
test("a zygote that dies again and again: jobs are started afresh", {
  timeout: 150_000,
}, async () => {
  const server = await start();
  const iris = { dataPath: data("iris.csv"), targetColumn: "species" };
  const call = { framework: "sklearn", config: { ...iris, algorithm: "DecisionTreeClassifier" } };
  const zygotes = () =>
    processesOf(server.home).filter(({ command }) => command.includes(" zygote "));
  for (let death = 0; death < 5; death++) {
    await server.report("train", call);
    for (const { pid } of zygotes()) {
      process.kill(pid, "SIGKILL");
      await until("it is gone", () => !isAlive(pid));
    }
  }
  await server.report("train", call);
  expect(server.stderr.join("")).toMatch(/started afresh/);
  expect(readdirSync(join(server.home, "logs")).every((name) => size(server, name) < 2 ** 20)).toBe(
    true,
  );
});

const size = (server: Server, name: string) => statSync(join(server.home, "logs", name)).size;
