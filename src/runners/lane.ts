import type { Logger } from "../log.js";
import { type Outcome, type Resident, type ResidentCall, ResidentDied } from "./resident.js";

/** Why a call of the light lane was ended before it answered. */
export type Ending = "timeout" | "cancelled";

/** What a light call came to. */
export type LightOutcome =
  | Outcome
  /** It ran, and its process died; `ending` says where that was our doing. */
  | { readonly died: number | null; readonly ending: Ending | null }
  /** It never ran. */
  | { readonly ended: Ending };

interface Entry {
  readonly call: ResidentCall;
  readonly timeoutSeconds: number;
  readonly resolve: (outcome: LightOutcome) => void;
  readonly owner: LightOwner;
  ending: Ending | null;
  /** Whether it was sent to a process before, which died without having begun it. */
  resent: boolean;
}

/** What the owner of a call does about the death of the process. */
export interface LightOwner {
  /** Called right before the process is killed under the call. */
  beforeKill(ending: Ending): Promise<void>;
  /** Whether the call had begun when the process died; one that had not is sent to the next. */
  hasBegun(): Promise<boolean>;
}

/** A call in the lane, as its owner sees it. */
export interface LightCall {
  readonly outcome: Promise<LightOutcome>;
  /** Takes it out of the queue, or kills the process that runs it. */
  cancel(): Promise<void>;
}

const MOST_FAILED_STARTS = 2;

/**
 * Light calls on one resident process after another: in order, one at a time. Where the process dies
 * or is killed, the call that ran in it has ended; those behind it go to the next process.
 */
export class LightLane {
  readonly #queue: Entry[] = [];
  #running: Entry | null = null;
  #resident: Resident | null = null;
  #working = false;
  #closed = false;

  /** @param start brings a new resident process up */
  constructor(
    private readonly start: () => Promise<Resident>,
    private readonly log: Logger,
  ) {}

  get idle(): boolean {
    return !this.#working;
  }

  /**
   * Queues a call.
   *
   * @param timeoutSeconds counted from when it runs; the process is killed after it
   */
  add(call: ResidentCall, timeoutSeconds: number, owner: LightOwner): LightCall {
    let resolve: (outcome: LightOutcome) => void = () => undefined;
    const outcome = new Promise<LightOutcome>((settle) => {
      resolve = settle;
    });
    const entry: Entry = { call, timeoutSeconds, owner, resolve, ending: null, resent: false };
    this.#queue.push(entry);
    void this.#work();
    return { outcome, cancel: () => this.#end(entry, "cancelled") };
  }

  /** Ends the process; what still waits is declined. */
  close(): void {
    this.#closed = true;
    this.#resident?.kill();
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    try {
      for (let entry = this.#queue[0]; entry; entry = this.#queue[0]) {
        const resident = await this.#ready();
        // It may have been cancelled while the process came up.
        if (this.#queue[0] !== entry) continue;
        this.#queue.shift();
        if (resident) await this.#run(entry, resident);
        else entry.resolve({ declined: "no resident process could be started" });
      }
    } finally {
      this.#working = false;
    }
  }

  async #ready(): Promise<Resident | null> {
    for (let failed = 0; !this.#closed && failed < MOST_FAILED_STARTS; failed += 1) {
      if (this.#resident?.alive) return this.#resident;
      try {
        this.#resident = await this.start();
      } catch (error) {
        this.log.warn({ err: error }, "the resident process did not start");
      }
    }
    return !this.#closed && this.#resident?.alive ? this.#resident : null;
  }

  async #run(entry: Entry, resident: Resident): Promise<void> {
    this.#running = entry;
    // setTimeout takes at most 2^31 - 1 milliseconds.
    const milliseconds = Math.min(entry.timeoutSeconds * 1000, 2 ** 31 - 1);
    const timer = setTimeout(() => void this.#end(entry, "timeout"), milliseconds);
    try {
      entry.resolve(await resident.call(entry.call));
    } catch (error) {
      const died = error instanceof ResidentDied ? error.status : null;
      // A process that was killed while it was idle is found out by the next call.
      if (!entry.ending && !entry.resent && !(await entry.owner.hasBegun())) {
        entry.resent = true;
        this.#queue.unshift(entry);
      } else entry.resolve({ died, ending: entry.ending });
    } finally {
      clearTimeout(timer);
      this.#running = null;
    }
  }

  async #end(entry: Entry, ending: Ending): Promise<void> {
    const place = this.#queue.indexOf(entry);
    if (place !== -1) {
      this.#queue.splice(place, 1);
      entry.resolve({ ended: ending });
    } else if (this.#running === entry && entry.ending === null) {
      entry.ending = ending;
      await entry.owner.beforeKill(ending);
      // It may have answered meanwhile, and the next call runs.
      if (this.#running === entry) this.#resident?.kill();
    }
  }
}
