import { closeSync, constants, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ServerNotification } from "@modelcontextprotocol/sdk/types.js";
import { expect, onTestFinished, test } from "vitest";
import { JobService } from "../../src/jobs/service.js";
import { ProgressReporter, withHeartbeat } from "../../src/mcp/progress.js";
import {
  jobRequest,
  makeFifo,
  progress,
  quiet,
  temporaryDirectory,
  testConfig,
  until,
} from "../support.js";

/** A call with a progress token is told something at least every 10 seconds, whatever happens. */

type Told = { progress: number; total?: number; message?: string }[];

function listener(): { told: Told; notify: (sent: ServerNotification) => Promise<void> } {
  const told: Told = [];
  return { told, notify: async ({ params }) => void told.push(params as Told[number]) };
}

/** A job as its files show it. */
async function job(events: (path: string) => void) {
  const config = testConfig(temporaryDirectory());
  const directory = join(config.home, "jobs", "one");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "request.json"), JSON.stringify(jobRequest("one")));
  events(join(directory, "events.ndjson"));
  const jobs = new JobService(config, quiet);
  onTestFinished(() => jobs.close());
  return await jobs.get("one", null);
}

test("whatever happens to the job or to its files", async () => {
  let fifo = "";
  const jobs = {
    hanging: await job((path) => {
      makeFifo(path);
      fifo = path;
    }),
    queued: await job(() => undefined),
    broken: await job((path) => writeFileSync(join(path, "../report.json"), "{")),
  };
  const listeners = { hanging: listener(), queued: listener(), broken: listener() };
  for (const name of ["hanging", "queued", "broken"] as const) {
    const reporter = new ProgressReporter("token", listeners[name].notify, jobs[name]);
    onTestFinished(() => reporter.close());
  }
  await until("all are told", () => Object.values(listeners).every(({ told }) => told.length > 0));
  // Whoever waits to read it gets its end.
  closeSync(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK));
  const first = { progressToken: "token", progress: 0.001 };
  const silent = { ...first, message: "the job's files do not answer" };
  expect(listeners.hanging.told[0]).toEqual(silent);
  expect(listeners.queued.told[0]).toEqual({ ...first, message: "starting Python" });
  expect(listeners.broken.told[0]).toMatchObject(first);
});

test("while a call without a job takes its time", async () => {
  const { told, notify } = listener();
  let finish: (value: string) => void = () => undefined;
  const work = new Promise<string>((resolve) => {
    finish = resolve;
  });
  const result = withHeartbeat({ progressToken: "t", notify }, "reading", work);
  await until("it is told", () => told.length > 0);
  finish("done");
  expect(await result).toBe("done");
  expect(told).toEqual([{ progressToken: "t", progress: 1, message: "reading" }]);
});

test("numbers grow and never pass the total, though units change", async () => {
  const started = { seq: 1, time: Date.now() / 1000, type: "started" as const };
  const lines: object[] = [{ ...started, pid: 1, supervisorPid: 1, queuedSeconds: 0 }];
  let file = "";
  const write = () =>
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const running = await job((path) => {
    file = path;
    write();
  });
  const { told, notify } = listener();
  const reporter = new ProgressReporter(1, notify, running);
  onTestFinished(() => reporter.close());
  const steps = [
    { unit: "fold", done: 3, total: 5 },
    { unit: "fold", done: 5, total: 5 },
    { unit: "round", done: 1, total: 100 },
    { unit: "round", done: 100, total: 100 },
  ];
  for (const [i, step] of steps.entries()) {
    const event = progress(i + 2, step);
    lines.push(event);
    write();
    reporter.onEvent(event);
    await until(`step ${i} is told`, () => told.length > i);
  }
  expect(told.map((one) => one.progress)).toEqual([3, 5, expect.closeTo(5.001, 6), 100]);
  expect(told.map((one) => one.total)).toEqual([5, 5, 100, 100]);
});
