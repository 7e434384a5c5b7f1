import type { Call, JobState, RunningJob } from "../contract/index.js";
import { duration, metricsLine, progressLine } from "./words.js";

/** What is known of a job that goes on. */
export interface Snapshot {
  state: JobState;
  progress: { unit: string; done: number; total: number | null } | null;
  etaSeconds: number | null;
  /** The last phase that the job named: `loading`, `training`, … */
  phase: string | null;
  latestMetrics: Record<string, number | null>;
  warnings: string[];
  elapsedSeconds: number;
  timeoutSeconds: number;
}

/** The answer of a call whose job goes on: how far it is, and the literal next call. */
export function runningAnswer(id: string, snapshot: Snapshot): RunningJob {
  const warnings = [...snapshot.warnings, ...lateness(snapshot)];
  return {
    job: {
      id,
      state: snapshot.state === "queued" ? "queued" : "running",
      progress: progressWords(snapshot),
      eta: snapshot.etaSeconds === null ? null : duration(snapshot.etaSeconds),
      latestMetrics: snapshot.latestMetrics,
      ...(warnings.length > 0 && { warnings }),
      next: statusCall(id),
    },
  };
}

export function statusCall(id: string): Call {
  return { tool: "job-status", arguments: { jobId: id, waitSeconds: 25 } };
}

/** One line, at most 200 characters: where the job is, its metrics, the time remaining. */
export function progressMessage(snapshot: Snapshot): string {
  const parts = [
    progressWords(snapshot),
    metricsLine(snapshot.latestMetrics),
    snapshot.etaSeconds === null ? "" : `${duration(snapshot.etaSeconds)} left`,
    ...lateness(snapshot),
  ].filter(Boolean);
  const line = parts.join(" · ");
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}

function progressWords(snapshot: Snapshot): string {
  if (snapshot.state === "queued") return "waiting for a free slot";
  const elapsed = `${duration(snapshot.elapsedSeconds)} elapsed`;
  if (snapshot.progress) return `${progressLine(snapshot.progress)}, ${elapsed}`;
  return `${snapshot.phase ?? "starting"}, ${elapsed}`;
}

/** A warning where, at this rate, the job will not be done when its timeout comes. */
function lateness(snapshot: Snapshot): string[] {
  const { etaSeconds, elapsedSeconds, timeoutSeconds } = snapshot;
  if (etaSeconds === null || elapsedSeconds + etaSeconds <= timeoutSeconds) return [];
  const need = duration(elapsedSeconds + etaSeconds);
  return [`at this rate it needs ${need}, more than its timeout of ${duration(timeoutSeconds)}`];
}
