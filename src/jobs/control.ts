import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";

/**
 * What a job's control FIFO told:
 * - `supervised`: somebody has it open, so the job has a supervisor;
 * - `unread`: it is there and nobody reads it: ask Python, who alone may declare a job dead;
 * - `absent`: there is none (yet), or this is a light job.
 */
export type Control = "supervised" | "unread" | "absent";

/** Asks a job's control FIFO whether it is supervised, and sends `message` if it is. */
export async function control(jobDir: string, message?: "cancel"): Promise<Control> {
  // Opening a FIFO for writing without blocking fails at once where nobody reads it.
  const flags = constants.O_WRONLY | constants.O_NONBLOCK;
  try {
    const fifo = await open(join(jobDir, "control"), flags);
    try {
      // Anything else in its place is a broken job's, and nobody reads it.
      if (!(await fifo.stat()).isFIFO()) return "unread";
      if (message) await fifo.write(`${message}\n`);
    } finally {
      await fifo.close();
    }
    return "supervised";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENXIO" || code === "EPIPE" || code === "EISDIR") return "unread";
    if (code === "ENOENT") return "absent";
    throw error;
  }
}
