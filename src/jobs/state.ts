import type { Answer, JobEvent, JobState } from "../contract/index.js";

type Progress = Extract<JobEvent, { type: "progress" }>;

/** What a job's events say, up to one of them. */
export interface History {
  readonly lastSeq: number;
  /** Unix seconds. */
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly phase: string | null;
  readonly progress: Progress | null;
  readonly warnings: readonly string[];
}

export const NO_HISTORY: History = {
  lastSeq: 0,
  startedAt: null,
  endedAt: null,
  phase: null,
  progress: null,
  warnings: [],
};

/** How far a job is, for those who wait for it. */
export interface Snapshot {
  state: JobState;
  progress: { unit: string; done: number; total: number | null } | null;
  etaSeconds: number | null;
  phase: string | null;
  /** Queued, and its supervisor waits for a slot; else it is still being brought on its way. */
  waitsForSlot: boolean;
  latestMetrics: Record<string, number | null>;
  warnings: string[];
  /** Since it started to run; 0 while it is queued. */
  elapsedSeconds: number;
  timeoutSeconds: number;
  /** The last event that is known. */
  lastSeq: number;
  /** Where it was asked for: the metrics told after a certain event, thinned evenly where they are many. */
  metricsSince?: MetricsPoint[];
}

export interface MetricsPoint {
  seq: number;
  unit: string;
  done: number;
  metrics: Record<string, number | null>;
}

const MOST_POINTS = 50;

/** The state of a job: derived from its files, never stored. */
export function stateOf(answer: Answer | null, history: History): JobState {
  if (answer === null) return history.startedAt === null ? "queued" : "running";
  if ("executionReport" in answer) return "succeeded";
  return answer.error.type === "cancelled" ? "cancelled" : "failed";
}

/** What is known after one more event. */
export function advance(history: History, event: JobEvent): History {
  const next = { ...history, lastSeq: event.seq };
  switch (event.type) {
    case "started":
      return { ...next, startedAt: event.time };
    case "declined":
      return { ...NO_HISTORY, lastSeq: event.seq, warnings: history.warnings };
    case "ended":
      return { ...next, endedAt: event.time };
    case "phase":
      return { ...next, phase: event.name };
    case "progress":
      return { ...next, progress: event };
    case "warning":
      return { ...next, warnings: [...history.warnings, event.message] };
    default:
      return next;
  }
}

/**
 * How far a job is.
 *
 * @param now Unix seconds
 * @param supervised whether it has a supervisor
 */
export function snapshotOf(
  state: JobState,
  history: History,
  timeoutSeconds: number,
  now: number,
  supervised = false,
): Snapshot {
  const { progress, startedAt } = history;
  const running = state === "running";
  const until = running ? now : (history.endedAt ?? progress?.time ?? startedAt ?? now);
  const eta = running && progress ? progress.etaSeconds : null;
  return {
    state,
    progress: progress && { unit: progress.unit, done: progress.done, total: progress.total },
    // It was reckoned when the event was written; a slow step has taken time off it since.
    etaSeconds: eta === null ? null : Math.max(0, eta - (now - (progress?.time ?? now))),
    phase: history.phase,
    waitsForSlot: state === "queued" && supervised,
    latestMetrics: progress?.metrics ?? {},
    warnings: [...history.warnings],
    elapsedSeconds: startedAt === null ? 0 : Math.max(0, until - startedAt),
    timeoutSeconds,
    lastSeq: history.lastSeq,
  };
}

/** The metrics that events told, at most `most` of them, the last always among them. */
export function metricsOf(events: readonly JobEvent[], most = MOST_POINTS): MetricsPoint[] {
  const told = events.filter((event): event is Progress => event.type === "progress");
  const points = told.filter(({ metrics }) => Object.keys(metrics).length > 0);
  const kept = points.length <= most ? points : thin(points, most);
  return kept.map(({ seq, unit, done, metrics }) => ({ seq, unit, done, metrics }));
}

function thin<T>(items: readonly T[], most: number): T[] {
  const step = items.length / most;
  return Array.from({ length: most }, (_, place) => {
    // Counted from the end, so that the last item is kept.
    const index = items.length - 1 - Math.floor((most - 1 - place) * step);
    return items[index] as T;
  });
}
