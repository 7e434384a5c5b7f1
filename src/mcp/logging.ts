import {
  type LoggingLevel,
  LoggingLevelSchema,
  SetLevelRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import type { Answer, JobEvent } from "../contract/index.js";
import type { JobHandle } from "../jobs/service.js";
import { onRequest } from "./requests.js";
import type { Session } from "./session.js";

/** Until the client asks for more, or for less. */
const DEFAULT_LEVEL: LoggingLevel = "warning";
const LEVELS = LoggingLevelSchema.options;

/** A job that warns in a loop must not drown its client. */
const MOST_A_WINDOW = 50;
const WINDOW_MILLISECONDS = 5000;

/** What a client is told beside answers: how the session's jobs fare, and what troubles the server. */
export class SessionLog {
  #level: LoggingLevel = DEFAULT_LEVEL;
  readonly #followed = new Set<string>();
  #windowStart = Number.NEGATIVE_INFINITY;
  #sent = 0;
  #dropped = 0;

  constructor(private readonly session: Session) {
    const { server, services, principal, closed } = session;
    onRequest(server, services.log, SetLevelRequestSchema, ({ params }) => {
      this.#level = params.level;
      return {};
    });
    const stop = services.trouble.listen(({ level, message, cause }) => {
      // What was met may name what is another principal's.
      const own = principal === null && cause !== undefined && { cause };
      this.#send(level, "server", { message, ...own });
    });
    closed.addEventListener("abort", stop);
  }

  /** Tells how a job of this session fares, to its end. */
  follow(job: JobHandle): void {
    if (this.#followed.has(job.id)) return;
    this.#followed.add(job.id);
    void this.#follow(job)
      .catch(() => undefined) // What fails here fails in the call that waits for the job, too.
      .finally(() => this.#followed.delete(job.id));
  }

  async #follow(job: JobHandle): Promise<void> {
    const { action, framework = "auto" } = job.request.request;
    const about = { jobId: job.id, action };
    this.#send("info", "jobs", { ...about, event: "submitted", framework });
    // Without a listener the answer of a light job comes straight from its process.
    const light = job.request.lane === "light";
    const onEvent = light ? undefined : (event: JobEvent) => this.#tellEvent(about, event);
    const answer = await job.wait(Number.POSITIVE_INFINITY, onEvent, this.session.closed);
    if (answer) this.#tellEnd(about, answer);
  }

  #tellEvent(about: Record<string, unknown>, event: JobEvent): void {
    switch (event.type) {
      case "started":
        this.#send("info", "jobs", { ...about, event: "started", queued: event.queuedSeconds });
        break;
      case "phase":
        this.#send("debug", "jobs", { ...about, event: "phase", phase: event.name });
        break;
      case "checkpoint":
        this.#send("debug", "jobs", { ...about, event: "checkpoint", path: event.path });
        break;
      case "warning":
        this.#send("warning", "jobs", { ...about, event: "warning", message: event.message });
        break;
    }
  }

  #tellEnd(about: Record<string, unknown>, answer: Answer): void {
    if ("executionReport" in answer) {
      const { framework, duration } = answer.executionReport;
      this.#send("info", "jobs", { ...about, event: "succeeded", framework, duration });
      return;
    }
    const { type, message, exitCode } = answer.error;
    const cancelled = type === "cancelled";
    const event = cancelled ? "cancelled" : "failed";
    const details = { event, type, message, exitCode };
    this.#send(cancelled ? "notice" : "error", "jobs", { ...about, ...details });
  }

  #send(level: LoggingLevel, logger: string, data: Record<string, unknown>): void {
    const { server, closed } = this.session;
    if (closed.aborted || LEVELS.indexOf(level) < LEVELS.indexOf(this.#level)) return;
    const now = performance.now();
    if (now - this.#windowStart > WINDOW_MILLISECONDS) {
      const dropped = this.#dropped;
      this.#windowStart = now;
      this.#sent = 0;
      this.#dropped = 0;
      if (dropped > 0)
        this.#send("warning", "server", { message: "messages were left out", dropped });
    }
    // Errors are never left out: there is one a job.
    if (this.#sent >= MOST_A_WINDOW && level !== "error") {
      this.#dropped += 1;
      return;
    }
    this.#sent += 1;
    // The client is gone where this fails, or has not finished its handshake.
    server
      .notification({ method: "notifications/message", params: { level, logger, data } })
      .catch(() => undefined);
  }
}
