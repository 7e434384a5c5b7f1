import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  type Answer,
  type Call,
  ExecutorError,
  type JobEvent,
  type JobRequest,
  type JobState,
} from "../contract/index.js";
import type { Adopter } from "./adopt.js";
import { control } from "./control.js";
import { EventReader, Waker } from "./follow.js";
import { type Launch, timeoutOf } from "./launches.js";
import {
  advance,
  type History,
  metricsOf,
  NO_HISTORY,
  type Snapshot,
  snapshotOf,
  stateOf,
} from "./state.js";
import type { Store } from "./store.js";

/** Most light calls are answered within this; only then is it worth following files. */
const LIGHT_MILLISECONDS = 15;
const PROBE_MILLISECONDS = 1000;
const CANCEL_SECONDS = 10;
const RETRY_MILLISECONDS = 50;
const RESEND_MILLISECONDS = 3000;
const EVENTS = "events.ndjson";
const REPORT = "report.json";

/** One job, for whoever asks about it. Its files are the truth; nothing is kept here but a place in them. */
export class JobHandle {
  readonly id: string;
  readonly directory: string;
  /** Where the relative paths of its request, and of its report, are taken from. */
  readonly baseDir: string;
  readonly #reader: EventReader;
  #history: History = NO_HISTORY;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(
    readonly request: JobRequest,
    private readonly store: Store,
    private readonly adopter: Adopter,
    private readonly launchOf: (id: string) => Launch | null,
  ) {
    this.id = request.id;
    this.baseDir = request.baseDir;
    this.directory = store.directory(request.id);
    this.#reader = new EventReader(join(this.directory, EVENTS));
  }

  async state(): Promise<JobState> {
    const answer = await this.store.report(this.id);
    return stateOf(answer, answer === null ? await this.#catchUp() : NO_HISTORY);
  }

  /**
   * Waits for the end.
   *
   * @param seconds at most; 0: only looks
   * @param onEvent gets each event; of the progress told before this call, only the last
   * @param signal ends the waiting, and nothing else
   * @returns the job's answer; null while it goes on
   */
  async wait(
    seconds: number,
    onEvent?: (event: JobEvent) => void,
    signal?: AbortSignal,
  ): Promise<Answer | null> {
    const until = performance.now() + seconds * 1000;
    const light = await this.#lightAnswer(Math.min(LIGHT_MILLISECONDS, seconds * 1000));
    if (light && !onEvent) return light;
    const tell = onEvent && this.#teller(onEvent);
    const waker = new Waker(this.directory, tell ? [EVENTS, REPORT] : [REPORT]);
    const wake = () => waker.wake();
    signal?.addEventListener("abort", wake);
    // Where the disk is full, the answer of a job that was not brought on its way is here alone.
    let unwritten: Answer | null = null;
    void this.launchOf(this.id)?.done.then((answer) => {
      unwritten = answer;
      wake();
    });
    let probedAt = performance.now();
    try {
      for (;;) {
        // The report first: every event comes before it, so that none is missed.
        const answer = (await this.store.report(this.id)) ?? unwritten;
        await tell?.();
        const now = performance.now();
        if (answer || now >= until || signal?.aborted) return answer;
        if (now - probedAt >= PROBE_MILLISECONDS && !this.launchOf(this.id)) {
          probedAt = now;
          await this.adopter.adoptIfLost(this.request);
        } else {
          await waker.next(until - now);
        }
      }
    } finally {
      signal?.removeEventListener("abort", wake);
      waker.close();
    }
  }

  /** Passes on, at each call, the events since the last one. */
  #teller(onEvent: (event: JobEvent) => void): () => Promise<void> {
    const reader = new EventReader(join(this.directory, EVENTS));
    let backlog = true;
    return async () => {
      const events = await reader.read();
      for (const event of backlog ? withoutOldProgress(events) : events) onEvent(event);
      backlog = false;
    };
  }

  /**
   * How far the job is.
   *
   * @param since also gives the metrics told after the event of this number
   */
  async snapshot(since?: number): Promise<Snapshot> {
    const answer = await this.store.report(this.id);
    const history = await this.#catchUp();
    const state = stateOf(answer, history);
    // The supervisor makes the FIFO before it waits for its slot.
    const supervised = existsSync(join(this.directory, "control"));
    const timeout = timeoutOf(this.request);
    const snapshot = snapshotOf(state, history, timeout, Date.now() / 1000, supervised);
    if (since === undefined) return snapshot;
    const later = (await this.events()).filter(({ seq }) => seq > since && seq <= history.lastSeq);
    return { ...snapshot, metricsSince: metricsOf(later) };
  }

  /** All that the job has told. */
  async events(): Promise<JobEvent[]> {
    return await new EventReader(join(this.directory, EVENTS)).read();
  }

  /** The last bytes that the job printed. */
  async logs(which: "stdout" | "stderr", tailBytes: number): Promise<string> {
    return await this.store.tail(this.id, `${which}.log`, tailBytes);
  }

  /**
   * Ends the job, and resolves when its report is there; does nothing where it has ended.
   *
   * @throws ExecutorError `internal-error` where that took more than 10 seconds
   */
  async cancel(): Promise<void> {
    const until = performance.now() + CANCEL_SECONDS * 1000;
    const waker = new Waker(this.directory, [REPORT]);
    let sentAt = Number.NEGATIVE_INFINITY;
    let noted = false;
    try {
      await this.launchOf(this.id)?.cancel();
      while (!(await this.store.ended(this.id))) {
        const now = performance.now();
        if (now > until) throw this.#notCancelled();
        if (now - sentAt >= RESEND_MILLISECONDS) {
          const state = await control(this.directory, "cancel");
          if (state === "supervised") sentAt = now;
          else if (!this.launchOf(this.id)) {
            await (noted ? this.adopter.adoptIfLost(this.request) : this.#leaveNote());
            noted = true;
          }
        }
        await waker.next(sentAt === now ? until - now : RETRY_MILLISECONDS);
      }
    } finally {
      waker.close();
    }
  }

  /** For a job that another server is bringing on its way, or has in its resident process. */
  async #leaveNote(): Promise<void> {
    await this.store.askToStop(this.id);
    // Where nobody has it yet, this ends it; whoever comes to it later finds it ended.
    await this.adopter.adopt(this.request);
  }

  #notCancelled(): ExecutorError {
    const { id } = this;
    const next: Call = { tool: "job-status", arguments: { jobId: id } };
    return new ExecutorError(
      "internal-error",
      `Job ${id} did not end within ${CANCEL_SECONDS} seconds`,
      {
        solution:
          "Its processes may hang in the kernel (a dead network mount, a GPU driver): see job-status.",
        metadata: { jobId: id },
        nextCall: next,
      },
    );
  }

  /** The answer of a light job of this server that is answered right away. */
  async #lightAnswer(milliseconds: number): Promise<Answer | null> {
    const launch = this.launchOf(this.id);
    if (!launch || this.request.lane !== "light") return null;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), milliseconds);
    });
    const answer = await Promise.race([launch.done, late]);
    clearTimeout(timer);
    return answer;
  }

  /** Reads on, one at a time: two readers at once would see the same events twice. */
  #catchUp(): Promise<History> {
    const next = this.#reading.then(async () => {
      this.#history = (await this.#reader.read()).reduce(advance, this.#history);
      return this.#history;
    });
    this.#reading = next.catch(() => undefined);
    return next;
  }
}

function withoutOldProgress(events: readonly JobEvent[]): JobEvent[] {
  const last = events.findLast(({ type }) => type === "progress");
  return events.filter((event) => event.type !== "progress" || event === last);
}
