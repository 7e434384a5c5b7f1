import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { data, eventsOf, type Server } from "../e2e/client.js";
import { isAlive, processesOf } from "../e2e/processes.js";
import { until } from "../support.js";

/** Jobs whose processes are killed, and what must hold of each afterwards. */

/** SIGKILL; false where the process has just ended by itself. */
export const kill = (pid: number): boolean => {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
};

/** A training of some seconds, which tells by its metrics whether it was the same. */
export const forest = (trees: number, more: Record<string, unknown> = {}) => ({
  framework: "sklearn",
  config: {
    algorithm: "RandomForestClassifier",
    dataPath: data("digits.train.csv"),
    testData: data("digits.test.csv"),
    targetColumn: "target",
    hyperparameters: { n_estimators: trees },
  },
  ...more,
});

export const jobOf = (result: { structuredContent?: unknown }): any =>
  (result.structuredContent as any).job;

export async function start(server: Server, call: Record<string, unknown>): Promise<string> {
  return jobOf(await server.call("train", { ...call, waitSeconds: 0 })).id;
}

export const directoryOf = (server: Server, id: string) => join(server.home, "jobs", id);

/** The `started` event of a job, once it is there. */
export async function startOf(server: Server, id: string): Promise<any> {
  const started = () => eventsOf(server, id).find(({ type }) => type === "started");
  await until("the job has started", () => started() !== undefined, 60);
  return started();
}

/** The zygotes that a server has. */
export const zygotesOf = (server: Server) =>
  processesOf(server.home).filter(
    ({ parent, command }) => parent === server.pid && command.includes(" zygote "),
  );

/** Looks at a moment that passes within milliseconds; false where the job ended without it. */
export async function watchFor(server: Server, id: string, seen: () => boolean): Promise<boolean> {
  const report = join(directoryOf(server, id), "report.json");
  const end = Date.now() + 60_000;
  while (!seen()) {
    if (existsSync(report)) return false;
    if (Date.now() > end) throw new Error(`job ${id} neither came to that moment nor ended`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return true;
}

/** Names in a directory that may not be there yet. */
export const namesIn = (directory: string): string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

/** What a job's end looks like in its directory: one beginning, one end, every event numbered. */
export function expectOneLife(server: Server, id: string): void {
  const events = eventsOf(server, id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  const kinds = events.map(({ type }) => type);
  expect(kinds.filter((type) => type === "started")).toHaveLength(1);
  expect(kinds.filter((type) => type === "ended")).toHaveLength(1);
  expect(kinds.at(-1)).toBe("ended");
  expect(isAlive(events.find(({ type }) => type === "started").pid)).toBe(false);
}

/** The error of a job that was killed; then its own next call (or the call again) does the work. */
export async function expectMendedByNextCall(
  server: Server,
  id: string,
  call: Record<string, unknown>,
): Promise<any> {
  const error = await server.error("job-status", { jobId: id, waitSeconds: 50 });
  expect(error).toMatchObject({
    type: "runner-crashed",
    metadata: expect.objectContaining({ jobId: id }),
  });
  expect(error.exitCode).toBeGreaterThan(0);
  expectOneLife(server, id);
  const next = error.nextCall ?? { tool: "train", arguments: call };
  return await server.report(next.tool, { ...next.arguments, waitSeconds: 50 });
}
