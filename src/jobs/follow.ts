import { type FSWatcher, watch } from "node:fs";
import { open } from "node:fs/promises";
import { type JobEvent, JobEventSchema } from "../contract/index.js";

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

/** Reads a job's events from where it last stopped; an unfinished last line is left for the next time. */
export class EventReader {
  #offset = 0;
  #lastSeq = 0;

  constructor(private readonly path: string) {}

  /** The events that were appended since the last call; none where the file is not there yet, or is damaged. */
  async read(): Promise<JobEvent[]> {
    const file = await open(this.path, "r").catch(() => null);
    if (!file) return [];
    try {
      // Anything else in its place is a damaged job's.
      if (!(await file.stat()).isFile()) return [];
      const events: JobEvent[] = [];
      let tail: Buffer = Buffer.alloc(0);
      for (;;) {
        const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
        const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, this.#offset + tail.length);
        if (bytesRead === 0) return events;
        const data = Buffer.concat([tail, buffer.subarray(0, bytesRead)]);
        const whole = data.lastIndexOf(NEWLINE) + 1;
        this.#take(data.toString("utf8", 0, whole), events);
        this.#offset += whole;
        tail = data.subarray(whole);
      }
    } finally {
      await file.close();
    }
  }

  #take(text: string, events: JobEvent[]): void {
    for (const line of text.split("\n")) {
      const event = parse(line);
      // A write that a full disk cut short leaves a torn line; its event was written again after it.
      if (!event || event.seq <= this.#lastSeq) continue;
      this.#lastSeq = event.seq;
      events.push(event);
    }
  }
}

function parse(line: string): JobEvent | null {
  if (line === "") return null;
  try {
    // Types of events that a later version adds are passed over.
    return JobEventSchema.safeParse(JSON.parse(line)).data ?? null;
  } catch {
    return null;
  }
}

const POLL_MILLISECONDS = 250;

/** Wakes whoever waits for certain files of a directory to change. */
export class Waker {
  #watcher: FSWatcher | null = null;
  #changed = false;
  #wake: () => void = () => undefined;

  /** @param names the files that matter; a job that floods its logs must not wake anyone */
  constructor(directory: string, names: readonly string[]) {
    try {
      this.#watcher = watch(directory, { persistent: false }, (_, name) => {
        if (name === null || names.includes(name)) this.wake();
      });
      this.#watcher.on("error", () => this.#watcher?.close());
    } catch {
      // Out of watches, or a file system that has none: polling is always there.
    }
  }

  /** Ends the current wait, or the next one if there is none. */
  wake(): void {
    this.#changed = true;
    this.#wake();
  }

  /** Resolves when something changed, or after the poll's interval or `milliseconds`, if that is less. */
  async next(milliseconds: number): Promise<void> {
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(POLL_MILLISECONDS, milliseconds));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#changed = false;
  }

  close(): void {
    this.#watcher?.close();
  }
}
