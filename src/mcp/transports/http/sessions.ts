import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { Refusal, RPC } from "./answers.js";

/** Connects a new session's transport to an MCP server of its own. */
export type OpenSession = (
  transport: Transport,
  principal: string,
) => Promise<{ close(): Promise<void> }>;

/** One client's session, of either transport. */
export interface Session<T = unknown> {
  readonly id: string;
  readonly principal: string;
  readonly transport: T;
  /** Responses that are open: event streams, and answers under way. */
  open: number;
  usedAt: number;
  readonly close: () => Promise<void>;
  /** Whether calls are worked on. */
  readonly isBusy: () => boolean;
}

const MOST_PER_PRINCIPAL = 256;
const MOST_BETWEEN_LOOKS_MS = 30_000;

/** The sessions of one server. Those that nobody uses end; their jobs go on. */
export class Sessions {
  readonly #all = new Map<string, Session>();
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly idleMilliseconds: number) {
    const interval = Math.min(idleMilliseconds / 2, MOST_BETWEEN_LOOKS_MS);
    this.#timer = setInterval(() => this.#expire(), interval).unref();
  }

  /**
   * Makes room for one more, closing the one that was idle longest where there are too many.
   *
   * @throws Refusal 503 where all are in use
   */
  admit(principal: string): void {
    const own = [...this.#all.values()].filter((session) => session.principal === principal);
    if (own.length < MOST_PER_PRINCIPAL) return;
    const idle = own.filter(isIdle).sort((a, b) => a.usedAt - b.usedAt)[0];
    if (!idle) {
      throw new Refusal(503, `All ${MOST_PER_PRINCIPAL} sessions are in use`, undefined, {
        "Retry-After": "10",
      });
    }
    this.#close(idle);
  }

  add(session: Session): void {
    this.#all.set(session.id, session);
  }

  remove(id: string): void {
    this.#all.delete(id);
  }

  /**
   * The session of a request, which counts as used by it.
   *
   * @param kind of the transport that the request came in by
   * @throws Refusal 404; also for another principal's, whose existence is not told
   */
  get<T>(id: string, principal: string, kind: new (...args: never[]) => T): Session<T> {
    const session = this.#all.get(id);
    if (session?.principal !== principal || !(session.transport instanceof kind))
      throw new Refusal(404, "Session not found", RPC.noSession);
    session.usedAt = Date.now();
    return session as Session<T>;
  }

  async closeAll(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.allSettled([...this.#all.values()].map((session) => session.close()));
    this.#all.clear();
  }

  #expire(): void {
    const oldest = Date.now() - this.idleMilliseconds;
    for (const session of this.#all.values())
      if (isIdle(session) && session.usedAt < oldest) this.#close(session);
  }

  #close(session: Session): void {
    this.#all.delete(session.id);
    void session.close().catch(() => undefined);
  }
}

function isIdle(session: Session): boolean {
  return session.open === 0 && !session.isBusy();
}
