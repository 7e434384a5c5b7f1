import type { Call, RunningJob } from "../contract/index.js";
import type { Snapshot } from "../jobs/state.js";
import { duration, metricsLine, progressLine } from "./words.js";

/** The answer of a call whose job goes on: how far it is, and the literal next call. */
export function runningAnswer(id: string, snapshot: Snapshot): RunningJob {
  const warnings = [...snapshot.warnings, ...lateness(snapshot)];
  return {
    job: {
      id,
      state: snapshot.state === "queued" ? "queued" : "running",
      progress: progressWords(snapshot),
      eta: snapshot.etaSeconds === null ? null : duration(snapshot.etaSeconds),
      ...(snapshot.etaSeconds !== null && { finishesAt: inSeconds(snapshot.etaSeconds) }),
      latestMetrics: snapshot.latestMetrics,
      ...(warnings.length > 0 && { warnings }),
      next: statusCall(id),
    },
  };
}

export function statusCall(id: string): Call {
  return { tool: "job-status", arguments: { jobId: id, waitSeconds: 50 } };
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
  if (snapshot.state === "queued")
    return snapshot.waitsForSlot ? "waiting for a free slot" : "starting Python";
  const elapsed = `${duration(snapshot.elapsedSeconds)} elapsed`;
  if (snapshot.progress) {
    const { done, total } = snapshot.progress;
    const share = total ? ` (${Math.floor((100 * done) / total)} %)` : "";
    const { phase } = snapshot;
    // The last step is not the end: the model is measured and saved.
    const after = done === total && phase !== null && phase !== "training" ? `, ${phase}` : "";
    return `${progressLine(snapshot.progress)}${share}${after}, ${elapsed}`;
  }
  return `${snapshot.phase ?? "starting"}, ${elapsed}`;
}

/** A warning where, at this rate, the job will not be done when its timeout comes. */
function lateness(snapshot: Snapshot): string[] {
  const { etaSeconds, elapsedSeconds, timeoutSeconds } = snapshot;
  if (etaSeconds === null || elapsedSeconds + etaSeconds <= timeoutSeconds) return [];
  const need = duration(elapsedSeconds + etaSeconds);
  return [`at this rate it needs ${need}, more than its timeout of ${duration(timeoutSeconds)}`];
}

/** The moment so many seconds from now, RFC 3339 in UTC, to the second. */
function inSeconds(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
}
