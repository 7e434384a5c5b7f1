import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import type { Socket } from "node:net";
import { constants } from "node:os";
import { join } from "node:path";
import type { Config } from "../config.js";
import type { Logger } from "../log.js";
import { openLog } from "./logs.js";
import { type Exit, spawnPython } from "./python.js";
import { Resident } from "./resident.js";
import { HELLO_SECONDS, type OnExit } from "./zygote.js";

/** Which Python, with which framework in it, a process is wanted from. */
export interface Runtime {
  readonly executable: string;
  /** The framework to have imported: a hint, the job itself decides for certain. */
  readonly framework: string;
}

/** A way of bringing supervisors and resident processes to life. */
export interface Launcher {
  /**
   * Starts the supervisor of a job and resolves once it exists.
   *
   * @param onExit called once when the supervisor has gone, or can no longer be watched
   * @param signal gives up a start that has not been asked for yet: it then rejects with the reason
   * @throws ExecutorError where the processes are of another version; Error where it failed
   */
  supervise(runtime: Runtime, jobDir: string, onExit: OnExit, signal: AbortSignal): Promise<void>;
  /** Starts a resident process that connects to a Unix socket at `socket`. */
  resident(runtime: Runtime, socket: string): Promise<Resident>;
  /** Has the processes for `runtime` ready; does nothing where there is nothing to prepare. */
  warm(runtime: Runtime): Promise<void>;
  /** Names what `runtime` is now, so that resident processes of a changed environment are not used. */
  key(runtime: Runtime): Promise<string>;
  /** Ends every process of this launcher that is not a supervisor. */
  close(): Promise<void>;
}

/** Lets things that take their time begin one after the other, in the order in which they were asked. */
export class InOrder {
  #last: Promise<unknown> = Promise.resolve();

  /** @param begin may take its time; the next begins when it has settled */
  next<T>(begin: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(begin);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}

/** Where a supervisor that was started afresh tells why it could not even begin. */
export const SUPERVISOR_LOG = "supervisor.log";

/** Starts every process afresh: where forking is unsafe, and where a fork did not come to be. */
export class SpawnLauncher implements Launcher {
  readonly #inOrder = new InOrder();

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly startSeconds = HELLO_SECONDS,
  ) {}

  async supervise({ executable }: Runtime, jobDir: string, onExit: OnExit, signal: AbortSignal) {
    const started = new Promise<void>((resolve, reject) => {
      const begin = async () => {
        const { inQueue } = await this.#supervise(executable, jobDir, onExit, signal);
        resolve();
        // Only then may the next one begin.
        await inQueue;
      };
      this.#inOrder.next(begin).catch(reject);
    });
    await abortable(started, signal);
  }

  async #supervise(executable: string, jobDir: string, onExit: OnExit, signal: AbortSignal) {
    signal.throwIfAborted();
    const stderr = await open(join(jobDir, SUPERVISOR_LOG), "a", 0o600);
    try {
      const { child, exited } = await spawnPython(this.config, executable, ["supervise", jobDir], {
        stderr: stderr.fd,
        stdout: "pipe",
        detached: true,
      });
      this.log.debug({ jobDir, pid: child.pid }, "supervisor spawned");
      // Its first act is to make the FIFO. An interpreter that hangs never comes to that.
      const late = setTimeout(() => {
        if (!existsSync(join(jobDir, "control"))) child.kill("SIGKILL");
      }, this.startSeconds * 1000).unref();
      exited.then((exit) => {
        clearTimeout(late);
        onExit(statusOf(exit));
      });
      return { inQueue: endOf(child.stdout as Socket, this.startSeconds) };
    } finally {
      await stderr.close();
    }
  }

  async resident({ executable, framework }: Runtime, socket: string): Promise<Resident> {
    const threads = String(this.config.threads);
    const args = ["resident", "--socket", socket, "--framework", framework, "--threads", threads];
    return Resident.start(socket, async (_socket, onExit) => {
      const { file: stderr } = await openLog(this.config, `resident-${framework}`);
      try {
        const { child, exited } = await spawnPython(this.config, executable, args, {
          stderr: stderr.fd,
        });
        exited.then((exit) => onExit(statusOf(exit)));
        return { kill: () => void child.kill("SIGKILL") };
      } finally {
        await stderr.close();
      }
    });
  }

  async warm(): Promise<void> {
    // A process that is started afresh for each job cannot be prepared.
  }

  async key({ executable, framework }: Runtime): Promise<string> {
    return `${executable}\0${framework}`;
  }

  async close(): Promise<void> {
    // Residents end with their connection.
  }
}

/** What `promise` gives; rejects with the signal's reason as soon as that is aborted. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const gone = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { signal: gone.signal });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    gone.abort();
  }
}

/**
 * A supervisor closes its stdout once it has its place in the queue; one that hangs is killed after
 * `seconds`, and what it may have left must not keep the pipe.
 */
async function endOf(stdout: Socket, seconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000).unref();
  });
  // Neither keeps this program from ending.
  stdout.unref();
  const closed = new Promise<void>((resolve) => stdout.once("close", () => resolve()).resume());
  await Promise.race([closed, late]);
  clearTimeout(timer);
  stdout.destroy();
}

/** As `os.waitstatus_to_exitcode` tells it: negative for a signal. */
function statusOf({ code, signal }: Exit): number {
  return code ?? -(signal ? (constants.signals[signal] ?? 0) : 0);
}
