import type { JobRequest } from "../contract/index.js";
import type { Store } from "./store.js";

/** How often is looked: no directory of its own tells when one of the many jobs in it ends. */
const SWEEP_MILLISECONDS = 2000;

type Listener = (job: JobRequest) => void;
/** Every job that was there; of those that had not ended, the request. */
type Seen = ReadonlyMap<string, JobRequest | null>;

/** Sees jobs begin and end in the state directory, whichever server or command they belong to. */
export class Board {
  readonly #listeners = new Set<Listener>();
  #stop = new AbortController();
  #started: Promise<void> | null = null;

  constructor(private readonly store: Store) {}

  /**
   * Tells of each job that begins or ends from now on, until the returned function is called.
   *
   * Resolves once every later change will be told.
   */
  async watch(listener: Listener): Promise<() => void> {
    this.#listeners.add(listener);
    this.#started ??= this.#start();
    await this.#started;
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#stop.abort();
      this.#started = null;
    };
  }

  async #start(): Promise<void> {
    this.#stop = new AbortController();
    void this.#loop(await this.#sweep(new Map(), null), this.#stop.signal);
  }

  async #loop(first: Seen, stop: AbortSignal): Promise<void> {
    let seen = first;
    const tell = (job: JobRequest) => {
      for (const listener of this.#listeners) listener(job);
    };
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, SWEEP_MILLISECONDS).unref());
      if (stop.aborted) return;
      // A disk that fails is told by what needs it.
      seen = await this.#sweep(seen, tell).catch(() => seen);
    }
  }

  /** @param tell null: what is there was there before */
  async #sweep(before: Seen, tell: Listener | null): Promise<Seen> {
    const now = new Map<string, JobRequest | null>();
    for (const { id } of await this.store.latest()) {
      const known = before.get(id);
      if (known === null) {
        now.set(id, null);
        continue;
      }
      const ended = await this.store.ended(id);
      const job = known ?? (ended && !tell ? null : await this.store.read(id));
      if (job && (ended || !known)) tell?.(job);
      now.set(id, ended ? null : job);
    }
    return now;
  }
}
