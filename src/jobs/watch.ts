import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Waker } from "./follow.js";
import type { JobHandle } from "./handle.js";

/** The files of a job that others look at while it runs. */
const WATCHED = ["events.ndjson", "report.json", "stdout.log", "stderr.log"] as const;
export type WatchedFile = (typeof WATCHED)[number];

type Stamps = Map<WatchedFile, string>;

/** Watches what a job writes, whoever started it, until it has ended. */
export class JobWatch {
  readonly #job: JobHandle;
  readonly #onChange: (files: ReadonlySet<WatchedFile>) => void;
  readonly #stop = new AbortController();

  private constructor(job: JobHandle, onChange: (files: ReadonlySet<WatchedFile>) => void) {
    this.#job = job;
    this.#onChange = onChange;
  }

  /**
   * Resolves once every later change will be told.
   */
  static async start(
    job: JobHandle,
    onChange: (files: ReadonlySet<WatchedFile>) => void,
  ): Promise<JobWatch> {
    const watch = new JobWatch(job, onChange);
    const ended = (await job.wait(0)) !== null;
    const stamps = await watch.#stamps();
    if (!ended) void watch.#run(stamps);
    return watch;
  }

  close(): void {
    this.#stop.abort();
  }

  async #run(first: Stamps): Promise<void> {
    const { signal } = this.#stop;
    const waker = new Waker(this.#job.directory, WATCHED);
    let known = first;
    let ended = false;
    // It also sees to a job that lost its supervisor.
    const end = this.#job.wait(Number.POSITIVE_INFINITY, undefined, signal).catch(() => null);
    void end.then(() => {
      ended = true;
      waker.wake();
    });
    try {
      while (!signal.aborted) {
        // Told apart before the files are looked at: every change comes before the end.
        const last = ended;
        const stamps = await this.#stamps();
        const changed = new Set(WATCHED.filter((name) => stamps.get(name) !== known.get(name)));
        known = stamps;
        if (changed.size > 0 && !signal.aborted) this.#onChange(changed);
        if (last) return;
        await waker.next(Number.POSITIVE_INFINITY);
      }
    } finally {
      waker.close();
    }
  }

  async #stamps(): Promise<Stamps> {
    const entries = await Promise.all(
      WATCHED.map(async (name): Promise<[WatchedFile, string]> => {
        const found = await stat(join(this.#job.directory, name)).catch(() => null);
        return [name, found ? `${found.ino} ${found.size} ${found.mtimeMs}` : ""];
      }),
    );
    return new Map(entries);
  }
}
