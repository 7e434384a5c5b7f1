import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { ERROR_TYPES, type ErrorShape, ExecutorError } from "../contract/index.js";

/** What a state directory that suffers is told as: a full disk, one that is read-only, damaged files. */

const WORDS: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  ENOTDIR: "a part of its path is no directory",
  EEXIST: "what stands there is no directory",
  EIO: "the disk fails",
};

/**
 * The error for a state directory that cannot be written to.
 *
 * @returns null where `error` is of another kind
 */
export async function cannotWrite(error: unknown, home: string): Promise<ExecutorError | null> {
  const { code = "" } = error as NodeJS.ErrnoException;
  const words = WORDS[code];
  if (!words) return null;
  const free = await freeBytes(home);
  const left =
    free !== null && (code === "ENOSPC" || code === "EDQUOT") ? `, ${free} bytes free` : "";
  return ExecutorError.invalidConfiguration(
    `The state directory '${home}' cannot be written to: ${words} (${code}${left}); no job was started`,
    {
      solution:
        code === "ENOSPC" || code === "EDQUOT"
          ? "Free space there, or start the server with another directory in ML_EXECUTOR_HOME."
          : "Make it writable for this user, or start the server with another one in ML_EXECUTOR_HOME.",
      metadata: { key: "ML_EXECUTOR_HOME", path: home, code, freeBytes: free },
      cause: error,
    },
  );
}

async function freeBytes(path: string): Promise<number | null> {
  for (let place = path; ; place = dirname(place)) {
    const found = await statfs(place).catch(() => null);
    if (found) return found.bavail * found.bsize;
    if (place === dirname(place)) return null;
  }
}

/** The error in place of a report that cannot be read. */
export function damagedReport(id: string, path: string, problem: string): ErrorShape {
  return {
    type: "runner-crashed",
    message: `The report of job ${id} cannot be read (${problem})`,
    exitCode: ERROR_TYPES["runner-crashed"].exitCode,
    metadata: { jobId: id, path },
    solution:
      "The file was damaged after the job had ended; what the job wrote elsewhere is untouched. " +
      "Call again for a new report.",
  };
}
