import { readdir, rm, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import type { Store } from "./store.js";

const HOUR = 60 * 60 * 1000;
const MOST_JOBS = 1000;
const OLDEST = 30 * 24 * HOUR;
const OLDEST_LIGHT = HOUR;
const OLDEST_LOG = 7 * 24 * HOUR;
/** What jobs write that is no model. Anything else is kept: a model is worth more than its space. */
const NO_MODEL = new Set([".csv", ".png", ".log", ".md", ".svg"]);
const NO_MODEL_NAMES = new Set(["predictions.json", "metrics.json"]);

/**
 * Removes jobs that have ended: light ones that succeeded after an hour, others after 30 days, and the
 * oldest beyond a thousand. Never one that goes on, and never one whose `artifacts/` may hold a model.
 *
 * @param now milliseconds, as `Date.now()` gives them
 * @returns the ids of the jobs that were removed
 */
export async function prune(store: Store, now: number): Promise<string[]> {
  const removed: string[] = [];
  const jobs = await store.latest();
  for (const [place, { id }] of jobs.entries()) {
    const age = await ageOf(store, id, now);
    if (age === null || !(await isDue(store, id, age, place))) continue;
    if (await mayHoldModel(join(store.directory(id), "artifacts"))) continue;
    await store.remove(id);
    removed.push(id);
  }
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

/** Milliseconds since the job ended; null while it goes on. */
async function ageOf(store: Store, id: string, now: number): Promise<number | null> {
  const report = await stat(join(store.directory(id), "report.json")).catch(() => null);
  return report && now - report.mtimeMs;
}

async function isDue(store: Store, id: string, age: number, place: number): Promise<boolean> {
  if (age > OLDEST) return true;
  // One that ended just now is still being read by those who wait for it.
  if (age < OLDEST_LIGHT) return false;
  if (place >= MOST_JOBS) return true;
  const job = await store.read(id);
  if (job?.lane !== "light") return false;
  const answer = await store.report(id);
  return answer !== null && "executionReport" in answer;
}

async function mayHoldModel(artifacts: string): Promise<boolean> {
  const entries = await readdir(artifacts, { recursive: true, withFileTypes: true }).catch(
    () => [],
  );
  return entries.some(
    (entry) =>
      !entry.isDirectory() && !NO_MODEL.has(extname(entry.name)) && !NO_MODEL_NAMES.has(entry.name),
  );
}
