import type { ServerNotification } from "@modelcontextprotocol/sdk/types.js";
import type { Config } from "../config.js";
import type { JobHandle, JobService, Place } from "../jobs/service.js";
import type { Logger, TroubleFeed } from "../log.js";

/** What the server is made of; one set serves all its sessions. */
export interface Services {
  readonly config: Config;
  readonly log: Logger;
  readonly jobs: JobService;
  /** What goes wrong in the server itself, for the log messages of its sessions. */
  readonly trouble: TroubleFeed;
}

/** One call, as far as its handler needs to know the client. */
export interface CallContext {
  readonly services: Services;
  readonly signal: AbortSignal;
  readonly progressToken: string | number | undefined;
  readonly notify: (notification: ServerNotification) => Promise<void>;
  /** Once `signal` has aborted: whether the client wants the work ended, not only the waiting. */
  readonly cancelled: () => boolean;
  /** Where relative paths are taken from, what is within bounds, and whose jobs are seen. */
  readonly place: () => Promise<Place>;
  /** Has the session's log messages tell how a job fares. */
  readonly follow: (job: JobHandle) => void;
}
