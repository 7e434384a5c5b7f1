import type { ServerNotification } from "@modelcontextprotocol/sdk/types.js";
import type { JobEvent } from "../contract/index.js";
import type { JobHandle } from "../jobs/service.js";
import type { Snapshot } from "../jobs/state.js";
import { progressMessage } from "../report/running.js";

/** Clients are told something at least every 10 seconds, however long a step takes. */
const HEARTBEAT_MS = 9000;
/** And at most this often: every epoch of a fast training would drown the client. */
const LEAST_INTERVAL_MS = 100;
/** Longer than this, and what was known last is told: files may lie on a disk that hangs. */
const LOOK_MS = 500;

type Send = (notification: ServerNotification) => Promise<void>;

/** Keeps a call's client told that it goes on, where there is nothing to count. */
export async function withHeartbeat<T>(
  { progressToken, notify }: { progressToken: string | number | undefined; notify: Send },
  message: string,
  work: Promise<T>,
): Promise<T> {
  if (progressToken === undefined) return await work;
  let progress = 0;
  const timer = setInterval(() => {
    progress += 1;
    notify({
      method: "notifications/progress",
      params: { progressToken, progress, message },
    }).catch(() => undefined); // The client is gone; the call ends by itself.
  }, HEARTBEAT_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

/**
 * Tells a call's progress token how its job fares: at every step that the job reports, and as a
 * heartbeat between them.
 */
export class ProgressReporter {
  private last = 0;
  private lastSent = 0;
  private pending: NodeJS.Timeout | null = null;
  private closed = false;
  private known: Snapshot | null = null;
  private readonly heartbeat: NodeJS.Timeout;

  constructor(
    private readonly token: string | number,
    private readonly send: Send,
    private readonly job: JobHandle,
  ) {
    this.heartbeat = setInterval(() => void this.tell(), HEARTBEAT_MS);
  }

  /** Takes note of an event of the job; those that show progress are passed on soon. */
  onEvent(event: JobEvent): void {
    if (event.type !== "progress" && event.type !== "started") return;
    if (this.pending) return;
    const wait = Math.max(0, this.lastSent + LEAST_INTERVAL_MS - Date.now());
    this.pending = setTimeout(() => void this.tell(), wait);
  }

  close(): void {
    this.closed = true;
    clearInterval(this.heartbeat);
    if (this.pending) clearTimeout(this.pending);
  }

  private async tell(): Promise<void> {
    this.pending = null;
    this.known = (await this.look()) ?? this.known;
    if (this.closed) return;
    this.lastSent = Date.now();
    // The protocol wants a number that only grows; units change between phases (folds, then rounds).
    const done = this.known?.progress?.done ?? 0;
    this.last = done > this.last ? done : this.last + 1e-3;
    const total = this.known?.progress?.total ?? null;
    await this.send({
      method: "notifications/progress",
      params: {
        progressToken: this.token,
        progress: this.last,
        ...(total !== null && total >= this.last && { total }),
        message: this.known ? progressMessage(this.known) : "the job's files do not answer",
      },
    }).catch(() => this.close()); // the client is gone; its job goes on
  }

  /** How far the job is; null where that cannot be told now. */
  private async look(): Promise<Snapshot | null> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), LOOK_MS);
    });
    // What is wrong with its files, the waiting call will say.
    const snapshot = this.job.snapshot().catch(() => null);
    try {
      return await Promise.race([snapshot, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
