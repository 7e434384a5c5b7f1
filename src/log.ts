import { type Logger, pino } from "pino";
import type { LogLevel } from "./config.js";

export type { Logger } from "pino";

/** Logs go to stderr: stdout belongs to JSON-RPC, or to the report. */
export function createLogger(level: LogLevel): Logger {
  // Synchronous: what is logged right before an exit must not be lost.
  return pino({ name: "ml-executor", level }, pino.destination({ fd: 2, sync: true }));
}
