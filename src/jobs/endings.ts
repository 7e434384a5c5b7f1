import { constants } from "node:os";
import { type Call, ERROR_TYPES, type ErrorShape, type JobRequest } from "../contract/index.js";

/**
 * How this server words the end of a job that no supervisor tells: those of the light lane, and those
 * that never came to run. The runner's words for the same are in `ml_runner/process/ending.py`.
 */

/** The same call again, with `changes`. */
export function sameCall({ request }: JobRequest, changes: Record<string, unknown> = {}): Call {
  const { action, ...rest } = request;
  return { tool: action, arguments: { ...rest, ...changes } };
}

export function cancelled(job: JobRequest, ran: boolean): ErrorShape {
  const when = ran ? "while it ran" : "before it ran";
  return {
    type: "cancelled",
    message: `The job was cancelled on request ${when}`,
    exitCode: ERROR_TYPES.cancelled.exitCode,
    metadata: { jobId: job.id },
    solution: "Call again to start anew.",
  };
}

export function timedOut(job: JobRequest, timeoutSeconds: number): ErrorShape {
  const timeout = 2 * timeoutSeconds;
  return {
    type: "timeout-exceeded",
    message: `The job ran longer than its timeout of ${timeoutSeconds} seconds`,
    exitCode: ERROR_TYPES["timeout-exceeded"].exitCode,
    metadata: { timeout: timeoutSeconds, jobId: job.id },
    solution: `Send a longer timeout (${timeout} seconds), or give the job less to do.`,
    nextCall: sameCall(job, { timeout }),
  };
}

/** @param status exit code, or minus the signal; null where nobody knows */
export function crashed(job: JobRequest, status: number | null, stderr: string): ErrorShape {
  const signal = status !== null && status < 0 ? signalName(-status) : null;
  const died =
    signal !== null
      ? `died of signal ${-(status ?? 0)} (${signal})`
      : status === null
        ? "is gone"
        : `ended by itself with exit code ${status}, without an answer`;
  return {
    type: "runner-crashed",
    message: `The process of the job ${died}`,
    exitCode:
      status === null ? 128 + constants.signals.SIGKILL : status < 0 ? 128 - status : status || 1,
    ...(stderr && { stderr }),
    metadata: { jobId: job.id, ...(signal && { signal }), python: job.python.executable },
    solution:
      "nextCall repeats the call. If it happens again, stderr and the server's log say more.",
    nextCall: sameCall(job),
  };
}

/** The interpreter that was chosen for the job does not run. */
export function notStarted(job: JobRequest, cause: unknown): ErrorShape {
  const why = cause instanceof Error ? cause.message : String(cause);
  return {
    type: "invalid-configuration",
    message: `The Python interpreter '${job.python.executable}' cannot be started: ${why}`,
    exitCode: ERROR_TYPES["invalid-configuration"].exitCode,
    metadata: { key: "pythonEnv", sent: job.request.pythonEnv ?? null, chosen: job.python.why },
    solution:
      "Name an interpreter or an environment that runs as pythonEnv; environment lists them.",
  };
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}
