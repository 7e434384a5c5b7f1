import { randomUUID } from "node:crypto";
import type { EventStore } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";

interface Entry {
  readonly id: string;
  readonly stream: string;
  readonly message: JSONRPCMessage;
  readonly bytes: number;
  readonly at: number;
  /** Whether nothing comes after it on its stream. */
  readonly last: boolean;
}

/** What a session keeps at most. */
export interface Limits {
  readonly entries: number;
  readonly bytes: number;
  readonly milliseconds: number;
}

type Send = (id: string, message: JSONRPCMessage) => Promise<void>;

/**
 * What was sent on the event streams of one session, for a client that comes back with Last-Event-ID.
 *
 * It is bounded. Answers, and the events that streams begin with, are kept longer than progress and other
 * notices: a client that was away wants its answer.
 */
export class EventLog implements EventStore {
  readonly #answers = new Map<number, Entry>();
  readonly #notices = new Map<number, Entry>();
  /** Streams that have not ended, the one that was used last at the end. */
  readonly #open = new Set<string>();
  /** Tells this session's ids from another's. */
  readonly #mark = randomUUID().slice(0, 8);
  #bytes = 0;
  #seq = 0;

  /** @param isLast whether an answer is the last message of its stream */
  constructor(
    private readonly limits: Limits,
    private readonly isLast: (message: JSONRPCMessage) => boolean,
  ) {}

  async storeEvent(stream: string, message: JSONRPCMessage): Promise<string> {
    this.#seq += 1;
    const id = `${this.#mark}.${this.#seq}.${stream}`;
    const bytes = Buffer.byteLength(JSON.stringify(message));
    const entry = { id, stream, message, bytes, at: Date.now(), last: this.isLast(message) };
    // A stream begins with an empty message, which gives the client an id to come back with.
    (isNotice(message) ? this.#notices : this.#answers).set(this.#seq, entry);
    this.#bytes += bytes;
    this.#open.delete(stream);
    if (!entry.last) this.#open.add(stream);
    this.#trim();
    return id;
  }

  /** Whether a client can come back with this id: its stream goes on, or what it missed is still here. */
  has(id: string): boolean {
    const place = this.#placeOf(id);
    return place !== null && (this.#open.has(place.stream) || this.#endOf(place.stream) !== null);
  }

  /**
   * The id of the event with which a stream has ended.
   *
   * @param id of any event of the stream
   * @returns null while it goes on
   */
  endOf(id: string): string | null {
    const place = this.#placeOf(id);
    return place && this.#endOf(place.stream);
  }

  async replayEventsAfter(id: string, { send }: { send: Send }): Promise<string> {
    const place = this.#placeOf(id);
    if (!place) throw new Error(`no event ${id}`);
    const later = [...this.#notices, ...this.#answers]
      .filter(([seq, { stream }]) => seq > place.seq && stream === place.stream)
      .sort(([a], [b]) => a - b);
    for (const [, entry] of later) await send(entry.id, entry.message);
    return place.stream;
  }

  #placeOf(id: string): { seq: number; stream: string } | null {
    const [mark, number, ...stream] = id.split(".");
    const seq = Number(number);
    return mark === this.#mark && seq <= this.#seq ? { seq, stream: stream.join(".") } : null;
  }

  #endOf(stream: string): string | null {
    for (const entry of this.#answers.values())
      if (entry.stream === stream && entry.last) return entry.id;
    return null;
  }

  #trim(): void {
    const { entries, bytes, milliseconds } = this.limits;
    const oldest = Date.now() - milliseconds;
    for (const kept of [this.#notices, this.#answers]) {
      for (const [seq, entry] of kept) {
        const tooMany = this.#notices.size + this.#answers.size > entries || this.#bytes > bytes;
        if (seq === this.#seq || (!tooMany && entry.at >= oldest)) break;
        kept.delete(seq);
        this.#bytes -= entry.bytes;
      }
    }
    for (const stream of this.#open) {
      if (this.#open.size <= entries) break;
      this.#open.delete(stream);
    }
  }
}

function isNotice(message: JSONRPCMessage): boolean {
  return "method" in message;
}
