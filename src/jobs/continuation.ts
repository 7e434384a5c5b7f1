import { join } from "node:path";
import type { ErrorShape } from "../contract/index.js";
import { parseJson, readIfThere } from "./files.js";
import { isId } from "./ids.js";

/**
 * A job's error as it is to be told now: a run that another job has gone on with is not to be resumed.
 *
 * @param directoryOf the directory of a job
 */
export async function withContinuation(
  id: string,
  error: ErrorShape,
  directoryOf: (id: string) => string,
): Promise<ErrorShape> {
  const by = await continuedBy(id, directoryOf);
  if (by === null) return error;
  return {
    ...error,
    metadata: { ...error.metadata, continuedBy: by },
    solution: `Job ${by} has gone on with it: send nextCall.`,
    nextCall: { tool: "job-status", arguments: { jobId: by } },
  };
}

/** The last job that went on with the run of a job, itself or by way of others; null: none. */
async function continuedBy(
  id: string,
  directoryOf: (id: string) => string,
): Promise<string | null> {
  const seen = new Set<string>([id]);
  for (let last = id; ; ) {
    const text = await readIfThere(join(directoryOf(last), "continued.json"));
    const by = text === null ? null : (parseJson(text) as { by?: unknown } | null)?.by;
    if (typeof by !== "string" || !isId(by) || seen.has(by)) return last === id ? null : last;
    seen.add(by);
    last = by;
  }
}
