import type { ServerNotification } from "@modelcontextprotocol/sdk/types.js";
import type { JobEvent } from "../contract/index.js";
import type { JobHandle } from "../jobs/service.js";
import { progressMessage } from "../report/running.js";

/** Clients are told something at least every 10 seconds, however long a step takes. */
const HEARTBEAT_MS = 9000;
/** And at most this often: every epoch of a fast training would drown the client. */
const LEAST_INTERVAL_MS = 100;

type Send = (notification: ServerNotification) => Promise<void>;

/**
 * Tells a call's progress token how its job fares: at every step that the job reports, and as a
 * heartbeat between them.
 */
export class ProgressReporter {
  private last = 0;
  private lastSent = 0;
  private pending: NodeJS.Timeout | null = null;
  private closed = false;
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
    const snapshot = await this.job.snapshot();
    if (this.closed) return;
    this.lastSent = Date.now();
    // The protocol wants a number that only grows; units change between phases (folds, then rounds).
    const done = snapshot.progress?.done ?? 0;
    this.last = done > this.last ? done : this.last + 1e-3;
    const total = snapshot.progress?.total ?? null;
    await this.send({
      method: "notifications/progress",
      params: {
        progressToken: this.token,
        progress: this.last,
        ...(total !== null && total >= this.last && { total }),
        message: progressMessage(snapshot),
      },
    }).catch(() => this.close()); // the client is gone; its job goes on
  }
}
