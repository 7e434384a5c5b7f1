import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
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

/** Where a supervisor that was started afresh tells why it could not even begin. */
export const SUPERVISOR_LOG = "supervisor.log";

/** Starts every process afresh: where forking is unsafe, and where a fork did not come to be. */
export class SpawnLauncher implements Launcher {
  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly startSeconds = HELLO_SECONDS,
  ) {}

  async supervise({ executable }: Runtime, jobDir: string, onExit: OnExit, signal: AbortSignal) {
    signal.throwIfAborted();
    const stderr = await open(join(jobDir, SUPERVISOR_LOG), "a", 0o600);
    try {
      const { child, exited } = await spawnPython(this.config, executable, ["supervise", jobDir], {
        stderr: stderr.fd,
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

/** As `os.waitstatus_to_exitcode` tells it: negative for a signal. */
function statusOf({ code, signal }: Exit): number {
  return code ?? -(signal ? (constants.signals[signal] ?? 0) : 0);
}
