import type { Answer, JobRequest, JobState } from "../contract/index.js";
import type { JobHandle } from "./handle.js";

/** One job in a list. */
export interface JobSummary {
  id: string;
  action: string;
  framework: string;
  state: JobState;
  createdAt: string;
  outputDir?: string;
  /** While it goes on: `round 3/100`. */
  progress?: string;
  /** Once it has ended. */
  exitCode?: number;
  durationSeconds?: number;
  errorType?: string;
}

/** @param answer the job's, where it has ended */
export async function summaryOf(
  job: JobRequest,
  handle: JobHandle,
  answer: Answer | null,
): Promise<JobSummary> {
  const { action, framework = "auto", outputDir } = job.request;
  const common = { id: job.id, action, framework, createdAt: job.createdAt };
  const output = outputDir === undefined ? {} : { outputDir };
  if (answer === null) {
    const { state, progress } = await handle.snapshot();
    const words = progress && `${progress.unit} ${progress.done}/${progress.total ?? "?"}`;
    return { ...common, state, ...output, ...(words && { progress: words }) };
  }
  if ("executionReport" in answer) {
    const { framework: used, exitCode, durationSeconds } = answer.executionReport;
    return { ...common, framework: used, state: "succeeded", ...output, exitCode, durationSeconds };
  }
  const { type, exitCode } = answer.error;
  const state = type === "cancelled" ? "cancelled" : "failed";
  return { ...common, state, ...output, exitCode, errorType: type };
}
