import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { type Config, readConfig } from "../src/config.js";
import { type JobEvent, type JobRequest, PROTOCOL_VERSION } from "../src/contract/index.js";

/** The interpreter with the frameworks: `npm test` sets it up and names it. */
export function testPython(): string {
  const python = process.env.ML_EXECUTOR_TEST_PYTHON;
  if (!python)
    throw new Error("ML_EXECUTOR_TEST_PYTHON is not set: start the tests with `npm test`");
  return python;
}

/** A directory of the running test's own, gone after it. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "mlx-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

/** What a server in `directory` would be configured with, by real variables and arguments. */
export function testConfig(
  directory: string,
  variables: Record<string, string> = {},
  argv: readonly string[] = [],
): Config {
  const environment = {
    PATH: process.env.PATH,
    HOME: directory,
    ML_EXECUTOR_HOME: join(directory, "state"),
    ML_EXECUTOR_CACHE: join(directory, "cache"),
    ...variables,
  };
  return readConfig(argv, environment, directory).config;
}

export const quiet = pino({ level: "silent" });

/** A job's request as the server writes it. */
export function jobRequest(id: string, changes: Partial<JobRequest> = {}): JobRequest {
  return {
    protocol: PROTOCOL_VERSION,
    id,
    createdAt: new Date().toISOString(),
    request: { action: "train", framework: "sklearn", config: {} },
    baseDir: "/",
    roots: null,
    python: { executable: "/usr/bin/python3", kind: "system", why: "a test", warnings: [] },
    lane: "cpu",
    exclusive: false,
    slots: 1,
    threads: 1,
    memoryLimit: null,
    principal: null,
    requestId: null,
    ...changes,
  };
}

/** A job that has ended, as its directory in a state directory shows it. */
export function endedJob(
  home: string,
  id: string,
  { report = {}, ...changes }: Partial<JobRequest> & { report?: Record<string, unknown> } = {},
): void {
  const directory = join(home, "jobs", id);
  mkdirSync(directory, { recursive: true });
  const request = jobRequest(id, changes);
  const { action, framework = "auto" } = request.request;
  const common = { timestamp: request.createdAt, action, framework, exitCode: 0, duration: "1s" };
  const rest = { durationSeconds: 1, status: "success", gpuUsed: false, metadata: {} };
  const executionReport = { ...common, ...rest, ...report };
  writeFileSync(join(directory, "request.json"), JSON.stringify(request));
  writeFileSync(join(directory, "report.json"), JSON.stringify({ executionReport }));
}

type Progress = Extract<JobEvent, { type: "progress" }>;

export function progress(seq: number, changes: Partial<Progress> = {}): Progress {
  return {
    seq,
    time: 100 + seq,
    type: "progress",
    unit: "round",
    done: seq,
    total: 10,
    etaSeconds: 30,
    rate: 2,
    metrics: { loss: 1 / seq },
    ...changes,
  };
}

export function makeFifo(path: string): void {
  execFileSync("mkfifo", [path]);
}

/** Waits until `check` holds; fails after `seconds`. */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  seconds = 45,
): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The seed of a random test: one of the clock, or the variable's to do the same again. */
export function seedOf(variable: string): number {
  return Number(process.env[variable]) || Date.now() % 1_000_000;
}

/** How often a random or killing test does its work: at its full count where `npm run test:soak` runs. */
export function times(once: number, soak: number): number {
  return process.env.ML_EXECUTOR_SOAK === "1" ? soak : once;
}

/** Numbers from 0 to 1 (mulberry32): the same ones again for the same seed. */
export function randomNumbers(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
