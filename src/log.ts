import { type Logger, multistream, pino, type StreamEntry } from "pino";
import type { LogLevel } from "./config.js";

export type { Logger } from "pino";

/** How grave each level is, as pino counts. */
const VALUES: Record<LogLevel, number> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
  silent: Number.POSITIVE_INFINITY,
};

/** Something that went wrong in this program itself. */
export interface Trouble {
  readonly level: "warning" | "error";
  /** In fixed words: names no path and no job. */
  readonly message: string;
  /** What was met, in words that may name paths. */
  readonly cause?: string;
}

/** The log's warnings and errors, for those who do not see stderr. */
export class TroubleFeed {
  readonly #listeners = new Set<(trouble: Trouble) => void>();

  /** Tells of each trouble from now on, until the returned function is called. */
  listen(listener: (trouble: Trouble) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Takes a line of the log. */
  write(line: string): void {
    if (this.#listeners.size === 0) return;
    const { level, msg, err } = JSON.parse(line);
    const cause = typeof err?.message === "string" ? err.message : undefined;
    const trouble: Trouble = {
      level: level >= VALUES.error ? "error" : "warning",
      message: String(msg ?? ""),
      ...(cause !== undefined && { cause }),
    };
    for (const listener of this.#listeners) listener(trouble);
  }
}

/**
 * Logs go to stderr: stdout belongs to JSON-RPC, or to the report.
 *
 * @param trouble gets warnings and errors too, whatever the level
 */
export function createLogger(level: LogLevel, trouble?: TroubleFeed): Logger {
  // Synchronous: what is logged right before an exit must not be lost.
  const stderr = pino.destination({ fd: 2, sync: true });
  if (!trouble) return pino({ name: "ml-executor", level }, stderr);
  const streams: StreamEntry[] = [{ level: "warn", stream: trouble }];
  if (level !== "silent") streams.push({ level, stream: stderr });
  const lowest = VALUES[level] < VALUES.warn ? level : "warn";
  return pino({ name: "ml-executor", level: lowest }, multistream(streams));
}
