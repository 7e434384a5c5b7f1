import { readdir, rm, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { control } from "./control.js";
import type { Store } from "./store.js";

const HOUR = 60 * 60 * 1000;
const MOST_JOBS = 1000;
const OLDEST = 30 * 24 * HOUR;
const OLDEST_LIGHT = HOUR;
const OLDEST_LOG = 7 * 24 * HOUR;
/** What never became a job, or was left of one that was being removed. */
const OLDEST_EMPTY = 24 * HOUR;
/** What jobs write that is no model. Anything else is kept: a model is worth more than its space. */
const NO_MODEL = new Set([".csv", ".png", ".log", ".md", ".svg"]);
const NO_MODEL_NAMES = new Set(["predictions.json", "metrics.json"]);
/** The files of the job itself; what else lies in its directory was put there by somebody. */
const OWN = new Set([
  "request.json",
  "events.ndjson",
  "result.json",
  "report.json",
  "stop.json",
  "lock",
  "control",
  "reserve",
]);

/**
 * Removes jobs that have ended: light ones that succeeded after an hour, others after 30 days, and the
 * oldest beyond a thousand; and what is left of damaged ones. Never one that goes on, and never one
 * whose directory may hold a model. Several servers may do it at once.
 *
 * @param now milliseconds, as `Date.now()` gives them
 * @returns the ids of the jobs that were removed
 */
export async function prune(store: Store, now: number): Promise<string[]> {
  const removed: string[] = [];
  for (const [place, job] of (await store.latest()).entries()) {
    try {
      if (!(await isDue(store, job, now, place))) continue;
      if (await mayHoldModel(store.directory(job.id))) continue;
      await store.remove(job.id);
      removed.push(job.id);
    } catch {
      // One that cannot be looked at or removed stays, and keeps no other from being seen to.
    }
  }
  await store.callerIds.forgetOrphans(now - OLDEST_EMPTY);
  return removed;
}

/** Removes the logs of servers and zygotes that nobody has written to for a week. */
export async function pruneLogs(directory: string, now: number): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    const log = await stat(path).catch(() => null);
    if (log?.isFile() && now - log.mtimeMs > OLDEST_LOG) await rm(path, { force: true });
  }
}

async function isDue(
  store: Store,
  { id, madeAt }: { id: string; madeAt: number },
  now: number,
  place: number,
): Promise<boolean> {
  const report = await stat(join(store.directory(id), "report.json")).catch(() => null);
  if (!report) return await isRuin(store, id, now - madeAt);
  const age = now - report.mtimeMs;
  if (age > OLDEST) return true;
  // One that ended just now is still being read by those who wait for it.
  if (age < OLDEST_LIGHT) return false;
  if (place >= MOST_JOBS) return true;
  const job = await store.read(id);
  if (job?.lane !== "light") return false;
  const answer = await store.report(id);
  return answer !== null && "executionReport" in answer;
}

/** Whether a directory without a report is no job at all: one that is has an end coming, however late. */
async function isRuin(store: Store, id: string, age: number): Promise<boolean> {
  const damage = await store.damage(id);
  if (damage === null) return false;
  const directory = store.directory(id);
  if ((await control(directory)) === "supervised") return false;
  const request = await stat(join(directory, "request.json")).catch(() => null);
  return age > (request ? OLDEST : OLDEST_EMPTY);
}

async function mayHoldModel(directory: string): Promise<boolean> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.some((entry) => {
    if (entry.isDirectory()) return false;
    if (OWN.has(entry.name) && entry.parentPath === directory) return false;
    return !NO_MODEL.has(extname(entry.name)) && !NO_MODEL_NAMES.has(entry.name);
  });
}
