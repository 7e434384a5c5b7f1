import type { Readable } from "node:stream";
import type { Config } from "../config.js";
import { ExecutorError } from "../contract/errors.js";
import { manifestSha256 } from "../contract/manifest-file.js";
import {
  type FromZygote,
  FromZygoteSchema,
  PROTOCOL_VERSION,
  type ToZygote,
} from "../contract/protocol.js";
import type { Logger } from "../log.js";
import { onLines } from "./lines.js";
import { openLog } from "./logs.js";
import { type Exit, spawnPython } from "./python.js";

type Ready = Extract<FromZygote, { type: "ready" }>;

/** How a child of the zygote ended, as `os.waitstatus_to_exitcode` gives it; null: the zygote died first. */
export type OnExit = (status: number | null) => void;

interface Waiting {
  resolve: (pid: number) => void;
  reject: (cause: Error) => void;
  onExit: OnExit;
}

/** How long an interpreter may take to its first word; imports come after that. */
export const HELLO_SECONDS = 60;

type Spawned = Awaited<ReturnType<typeof spawnPython>>;

/**
 * A Python process that has imported a framework and forks supervisors and resident processes.
 * It lives until `end`, or until it dies; `ended` tells either.
 */
export class Zygote {
  readonly ended: Promise<Exit>;
  /** Resolves when the framework is imported. Rejects where the process died or is not ours. */
  readonly ready: Promise<Ready>;
  /** When it was last asked for something, in milliseconds of `Date.now()`. */
  lastUsed = Date.now();
  #dead = false;
  readonly #late: NodeJS.Timeout;
  readonly #child: Spawned["child"];
  /** Supervisors that are being forked, by job directory: they are answered by name. */
  readonly #supervising = new Map<string, Waiting>();
  /** Resident processes that are being forked; they are answered in order. */
  readonly #residents: Waiting[] = [];
  readonly #children = new Map<number, OnExit>();

  private constructor(
    { child, exited }: Spawned,
    readonly label: string,
    private readonly log: Logger,
    helloSeconds: number,
  ) {
    this.#child = child;
    this.#late = setTimeout(() => {
      this.log.warn({ zygote: label }, `no word from the interpreter in ${helloSeconds} s`);
      this.kill();
    }, helloSeconds * 1000).unref();
    this.ready = new Promise((resolve, reject) => {
      onLines(child.stdout as Readable, (line) => {
        try {
          this.#receive(FromZygoteSchema.parse(JSON.parse(line)), resolve);
        } catch (error) {
          reject(error);
          this.kill();
        }
      });
      exited.then((exit) => reject(died(label, exit)));
    });
    this.ready.catch((error) => log.warn({ zygote: label, err: error }, "zygote failed"));
    this.ended = exited.then((exit) => {
      clearTimeout(this.#late);
      this.#bury(died(label, exit));
      return exit;
    });
  }

  /** Starts one. It imports in the background; `ready` tells when that is done. */
  static async start(
    config: Config,
    executable: string,
    framework: string,
    log: Logger,
    helloSeconds = HELLO_SECONDS,
  ) {
    const { path, file: stderr } = await openLog(config, `zygote-${framework}`);
    try {
      const spawned = await spawnPython(config, executable, ["zygote", "--framework", framework], {
        stdin: "pipe",
        stdout: "pipe",
        stderr: stderr.fd,
      });
      log.debug({ zygote: framework, pid: spawned.child.pid, executable, log: path }, "zygote");
      return new Zygote(spawned, framework, log, helloSeconds);
    } finally {
      await stderr.close();
    }
  }

  get alive(): boolean {
    return !this.#dead;
  }

  /** Whether no child of it is known to live. */
  get childless(): boolean {
    return this.#children.size === 0;
  }

  /**
   * Forks the supervisor of a job.
   *
   * @param onExit called once when the supervisor has gone
   * @returns its pid, once it exists
   * @throws Error where the zygote died first: whether the job was started is then unknown
   */
  async supervise(jobDir: string, onExit: OnExit): Promise<number> {
    return this.#ask({ type: "start", jobDir }, onExit);
  }

  /** Forks a resident process that will connect to `socket`; otherwise as `supervise`. */
  async resident(socket: string, threads: number, onExit: OnExit): Promise<number> {
    return this.#ask({ type: "resident", socket, threads }, onExit);
  }

  /** Asks it to end, by ending its stdin; kills it after two seconds. Supervisors stay. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.kill(), 2000);
    await this.ended;
    clearTimeout(timer);
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #ask(message: ToZygote, onExit: OnExit): Promise<number> {
    this.lastUsed = Date.now();
    await this.ready;
    if (this.#dead) throw new Error(`the zygote for ${this.label} has ended`);
    return new Promise<number>((resolve, reject) => {
      const waiting = { resolve, reject, onExit };
      if (message.type === "start") this.#supervising.set(message.jobDir, waiting);
      else this.#residents.push(waiting);
      this.#child.stdin?.write(`${JSON.stringify(message)}\n`);
    });
  }

  #receive(message: FromZygote, ready: (message: Ready) => void): void {
    switch (message.type) {
      case "hello":
        clearTimeout(this.#late);
        checkHello(message, `the zygote for ${this.label}`);
        break;
      case "ready":
        this.log.debug({ zygote: this.label, ...message }, "zygote ready");
        ready(message);
        break;
      case "supervising": {
        const waiting = this.#supervising.get(message.jobDir);
        this.#supervising.delete(message.jobDir);
        this.#born(message.pid, waiting);
        break;
      }
      case "resident":
        this.#born(message.pid, this.#residents.shift());
        break;
      case "exited": {
        const onExit = this.#children.get(message.pid);
        this.#children.delete(message.pid);
        onExit?.(message.status);
      }
    }
  }

  #born(pid: number, waiting: Waiting | undefined): void {
    if (!waiting) return;
    this.#children.set(pid, waiting.onExit);
    waiting.resolve(pid);
  }

  #bury(cause: Error): void {
    this.#dead = true;
    for (const waiting of [...this.#supervising.values(), ...this.#residents])
      waiting.reject(cause);
    for (const onExit of this.#children.values()) onExit(null);
    this.#children.clear();
  }
}

/**
 * Refuses a Python process that is not of the same package as this one.
 *
 * @throws ExecutorError (`internal-error`) where protocol or manifest differ
 */
export function checkHello(hello: { protocol: number; manifest: string }, who: string): void {
  const manifest = manifestSha256();
  if (hello.protocol === PROTOCOL_VERSION && hello.manifest === manifest) return;
  throw new ExecutorError(
    "internal-error",
    `${who} is of another version: protocol ${hello.protocol} and manifest ` +
      `${hello.manifest.slice(0, 12)}, this server has ${PROTOCOL_VERSION} and ${manifest.slice(0, 12)}`,
    {
      solution:
        "The package changed while the server was running, or is mixed from two versions: " +
        "restart the server; if that does not help, install ml-executor again.",
      metadata: { protocol: hello.protocol, manifest: hello.manifest },
    },
  );
}

function died(label: string, exit: Exit): Error {
  const how = exit.signal ? `signal ${exit.signal}` : `exit code ${exit.code}`;
  return new Error(`the zygote for ${label} ended with ${how}`);
}
