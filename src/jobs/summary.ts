import type { Answer, JobRequest, JobState } from "../contract/index.js";
import type { JobHandle } from "./handle.js";

/** One job in a list. */
export interface JobSummary {
  id: string;
  action: string;
  framework: string;
  state: JobState | "damaged";
  createdAt: string;
  outputDir?: string;
  /** The job whose run it goes on with. */
  resumes?: string;
  /** How far it is, or came: `round 3/100`. */
  progress?: string;
  /** Once it has ended. */
  exitCode?: number;
  durationSeconds?: number;
  errorType?: string;
  /** Of a damaged job: what is wrong with it. */
  problem?: string;
}

/** A directory that was a job, or was to become one, and whose request cannot be read. */
export function damagedSummary(id: string, problem: string, madeAt: number): JobSummary {
  const createdAt = new Date(madeAt).toISOString();
  return { id, action: "unknown", framework: "unknown", createdAt, state: "damaged", problem };
}

/** @param answer the job's, where it has ended */
export async function summaryOf(
  job: JobRequest,
  handle: JobHandle,
  answer: Answer | null,
): Promise<JobSummary> {
  const { action, framework = "auto", outputDir } = job.request;
  const { jobId } = job.request.config;
  const resumes = action === "resume" && typeof jobId === "string" ? { resumes: jobId } : {};
  const common = { id: job.id, action, ...resumes, framework, createdAt: job.createdAt };
  const output = outputDir === undefined ? {} : { outputDir };
  if (answer === null) {
    const { state, progress } = await handle.snapshot();
    return { ...common, state, ...output, ...wordsOf(progress) };
  }
  if ("executionReport" in answer) {
    const { framework: used, exitCode, durationSeconds, outputDir: its } = answer.executionReport;
    // A resumed job writes where the one before it did.
    const place = its === undefined ? output : { outputDir: its };
    return { ...common, framework: used, state: "succeeded", ...place, exitCode, durationSeconds };
  }
  const { type, exitCode, metadata } = answer.error;
  const state = type === "cancelled" ? "cancelled" : "failed";
  const came = wordsOf(metadata?.lastProgress as Progress | undefined);
  return { ...common, state, ...output, ...came, exitCode, errorType: type };
}

type Progress = { unit: string; done: number; total: number | null };

function wordsOf(progress: Progress | null | undefined): { progress?: string } {
  if (!progress) return {};
  return { progress: `${progress.unit} ${progress.done}/${progress.total ?? "?"}` };
}
