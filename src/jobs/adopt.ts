import { access } from "node:fs/promises";
import type { Config } from "../config.js";
import type { JobRequest } from "../contract/index.js";
import type { Logger } from "../log.js";
import { runPython } from "../runners/python.js";
import { control } from "./control.js";
import type { Store } from "./store.js";

const ADOPT_SECONDS = 30;
const FIRST_PAUSE_MILLISECONDS = 1000;
const LONGEST_PAUSE_MILLISECONDS = 16_000;
/** A job younger than this may still be on its way to its supervisor. */
const YOUNG_MILLISECONDS = 10_000;

interface Attempt {
  readonly at: number;
  readonly pause: number;
}

/**
 * Sees to jobs that nobody supervises. Only Python can tell that (it takes their locks), so this asks
 * `ml_runner adopt`: it publishes a result that is complete, declares a job dead that had started, and
 * becomes the supervisor of one that had not.
 */
export class Adopter {
  readonly #running = new Map<string, Promise<boolean>>();
  readonly #attempts = new Map<string, Attempt>();

  constructor(
    private readonly config: Config,
    private readonly store: Store,
    private readonly log: Logger,
  ) {}

  /**
   * Has one job seen to.
   *
   * @returns whether Python did it; false where none could be run
   */
  adopt(job: JobRequest): Promise<boolean> {
    const running = this.#running.get(job.id);
    if (running) return running;
    const adopting = this.#adopt(job.python.executable, [job.id]).finally(() => {
      this.#running.delete(job.id);
    });
    this.#running.set(job.id, adopting);
    return adopting;
  }

  /** As `adopt`, where the job's FIFO says that nobody reads it; asked often, it acts ever more rarely. */
  async adoptIfLost(job: JobRequest): Promise<void> {
    const state = await control(this.store.directory(job.id));
    if (state === "supervised") {
      this.#attempts.delete(job.id);
      return;
    }
    if (state === "absent" && Date.now() - Date.parse(job.createdAt) < YOUNG_MILLISECONDS) return;
    const last = this.#attempts.get(job.id);
    const now = Date.now();
    if (last && now < last.at + last.pause) return;
    const pause = last
      ? Math.min(2 * last.pause, LONGEST_PAUSE_MILLISECONDS)
      : FIRST_PAUSE_MILLISECONDS;
    this.#attempts.set(job.id, { at: now, pause });
    await this.adopt(job);
  }

  /** Sees to every job in the state directory that seems to be lost. */
  async adoptOrphans(): Promise<void> {
    const lost = new Map<string, string[]>();
    // The oldest first: those that wait for a slot get their places in this order.
    for (const { id, madeAt } of (await this.store.latest()).reverse()) {
      if (Date.now() - madeAt < YOUNG_MILLISECONDS || (await this.store.ended(id))) continue;
      if ((await control(this.store.directory(id))) === "supervised") continue;
      const job = await this.store.read(id);
      if (!job) continue;
      const { executable } = job.python;
      lost.set(executable, [...(lost.get(executable) ?? []), id]);
    }
    for (const [executable, ids] of lost) await this.#adopt(executable, ids);
  }

  async #adopt(executable: string, ids: readonly string[]): Promise<boolean> {
    const there = await access(executable).then(
      () => true,
      () => false,
    );
    // It needs the standard library alone: where the job's own environment is gone, any Python does.
    const python = there ? executable : "python3";
    const directories = ids.map((id) => this.store.directory(id));
    try {
      const args = ["adopt", ...directories];
      const { ok, stdout, stderr } = await runPython(this.config, python, args, ADOPT_SECONDS);
      this.log[ok ? "debug" : "warn"](
        { ids, python, stdout, stderr },
        ok
          ? "jobs without a supervisor were seen to"
          : "jobs without a supervisor could not be seen to",
      );
      return ok;
    } catch (error) {
      this.log.warn({ ids, python, err: error }, "adopt could not be run");
      return false;
    }
  }
}
