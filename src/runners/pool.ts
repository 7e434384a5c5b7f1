import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../config.js";
import { ExecutorError } from "../contract/errors.js";
import type { Logger } from "../log.js";
import { ForkLauncher } from "./fork.js";
import { type LightCall, LightLane, type LightOwner } from "./lane.js";
import { type Launcher, type Runtime, SpawnLauncher } from "./launch.js";
import { boundLogs, logsDirectory } from "./logs.js";
import type { ResidentCall } from "./resident.js";
import type { OnExit } from "./zygote.js";

/** A Unix socket's path may be 107 bytes long on Linux, 103 on macOS. */
const LONGEST_SOCKET_DIRECTORY = 80;
const LANE_UNUSED_MILLISECONDS = 10 * 60 * 1000;
const SWEEP_MILLISECONDS = 30 * 1000;

interface KnownLane {
  readonly lane: LightLane;
  lastUsed: number;
}

/** All Python processes of this server that are not jobs, and the ways to start jobs through them. */
export class RunnerPool {
  readonly #launcher: Launcher;
  readonly #spawn: SpawnLauncher;
  readonly #lanes = new Map<string, KnownLane>();
  #sockets: Promise<string> | null = null;
  #socketNumber = 0;
  readonly #sweep = setInterval(() => this.#tidy(), SWEEP_MILLISECONDS).unref();

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
  ) {
    this.#spawn = new SpawnLauncher(config, log);
    this.#launcher = config.startMethod === "fork" ? new ForkLauncher(config, log) : this.#spawn;
  }

  /**
   * Starts the supervisor of a job: by forking where that is the way, afresh where a fork did not come
   * to be. Starting twice is harmless: the job's lock lets one of them in.
   *
   * @param onExit called once for each supervisor that has gone, or can no longer be watched
   * @param signal gives up a start that has not been asked for yet
   * @throws the signal's reason; ExecutorError where the processes are of another version; Error
   *   where none could be started
   */
  async supervise(
    runtime: Runtime,
    jobDir: string,
    onExit: OnExit,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#launcher.supervise(runtime, jobDir, onExit, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ExecutorError || this.#launcher === this.#spawn) throw error;
      this.log.warn({ err: error, jobDir }, "no fork; the supervisor is started afresh");
      await this.#spawn.supervise(runtime, jobDir, onExit, signal);
    }
  }

  /**
   * Queues a call for the resident process of `runtime`.
   *
   * @param timeoutSeconds counted from when it runs
   */
  async light(
    runtime: Runtime,
    call: ResidentCall,
    timeoutSeconds: number,
    owner: LightOwner,
  ): Promise<LightCall> {
    const key = await this.#launcher.key(runtime);
    let known = this.#lanes.get(key);
    if (!known) {
      const lane = new LightLane(
        async () => this.#launcher.resident(runtime, await this.#nextSocket()),
        this.log,
      );
      known = { lane, lastUsed: 0 };
      this.#lanes.set(key, known);
    }
    known.lastUsed = Date.now();
    return known.lane.add(call, timeoutSeconds, owner);
  }

  /** Prepares the processes for `runtime`, so that its first job need not wait for an import. */
  async warm(runtime: Runtime): Promise<void> {
    await this.#launcher.warm(runtime);
  }

  #tidy(): void {
    this.#letLanesGo();
    void boundLogs(logsDirectory(this.config)).catch((error) =>
      this.log.debug({ err: error }, "logs could not be bounded"),
    );
  }

  /** Lets resident processes go that were not used for a while; their zygotes can then end too. */
  #letLanesGo(): void {
    const oldest = Date.now() - LANE_UNUSED_MILLISECONDS;
    for (const [key, { lane, lastUsed }] of this.#lanes) {
      if (!lane.idle || lastUsed > oldest) continue;
      lane.close();
      this.#lanes.delete(key);
    }
  }

  /** Ends every process that is not a supervisor or a job. */
  async close(): Promise<void> {
    clearInterval(this.#sweep);
    for (const { lane } of this.#lanes.values()) lane.close();
    await this.#launcher.close();
    if (this.#sockets) await rm(await this.#sockets, { recursive: true, force: true });
  }

  async #nextSocket(): Promise<string> {
    this.#sockets ??= mkdtemp(
      // mkdtemp makes it for this user alone (0700).
      join(tmpdir().length <= LONGEST_SOCKET_DIRECTORY ? tmpdir() : "/tmp", "mlx-"),
    );
    this.#socketNumber += 1;
    return join(await this.#sockets, `${this.#socketNumber}.sock`);
  }
}
