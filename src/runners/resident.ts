import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { type FromResident, FromResidentSchema, type ToResident } from "../contract/protocol.js";
import { onLines } from "./lines.js";
import { checkHello, type OnExit } from "./zygote.js";

export type Outcome = { readonly answer: Record<string, unknown> } | { readonly declined: string };

/** A request without its number: the connection gives it one. */
export type ResidentCall = ToResident extends infer Message
  ? Message extends { id: number }
    ? Omit<Message, "id">
    : never
  : never;

/** A process that can be ended at once. */
export interface Killable {
  kill(): void;
}

/** Brings a process to life that connects to `socket`; calls `onExit` once it has gone. */
export type StartResident = (socket: string, onExit: OnExit) => Promise<Killable>;

const CONNECT_SECONDS = 60;
const REAP_SECONDS = 1;

/** The resident process died while this call ran in it. */
export class ResidentDied extends Error {
  override readonly name = "ResidentDied";
  /** @param status as `os.waitstatus_to_exitcode` gives it; null where nobody could tell */
  constructor(readonly status: number | null) {
    super(`the resident process ended with status ${status}`);
  }
}

interface Pending {
  readonly id: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (cause: Error) => void;
}

/** One resident process and the connection to it: one call at a time. */
export class Resident {
  /** Resolves, never rejects, when the process has gone, with its status. */
  readonly ended: Promise<number | null>;
  readonly #hello: Promise<void>;
  #alive = true;
  #number = 0;
  #pending: Pending | null = null;

  private constructor(
    private readonly socket: Socket,
    private readonly process: Killable,
    exited: Promise<number | null>,
  ) {
    socket.on("error", () => undefined);
    const closed = new Promise<void>((resolve) => {
      socket.once("close", () => {
        this.#alive = false;
        resolve();
      });
    });
    // The connection ends first; the status comes from whoever reaps the process.
    this.ended = closed.then(() => Promise.race([exited, delay(REAP_SECONDS).then(() => null)]));
    this.ended.then((status) => this.#pending?.reject(new ResidentDied(status)));
    this.#hello = new Promise((resolve, reject) => {
      onLines(socket, (line) => {
        try {
          this.#receive(FromResidentSchema.parse(JSON.parse(line)), resolve);
        } catch (error) {
          reject(error);
          this.kill();
        }
      });
    });
    this.#hello.catch(() => undefined);
  }

  /**
   * Starts one and waits until it has connected and is known to be of this package.
   *
   * @param path of the Unix socket to listen on, at most 100 bytes; gone again afterwards
   * @throws Error where it does not come up; ExecutorError where it is of another version
   */
  static async start(path: string, start: StartResident): Promise<Resident> {
    const server = createServer();
    let exit: OnExit = () => undefined;
    const exited = new Promise<number | null>((resolve) => {
      exit = resolve;
    });
    let process: Killable | null = null;
    try {
      const connection = await listen(server, path);
      process = await start(path, exit);
      const failed = Promise.race([
        exited.then((status) => Promise.reject(new ResidentDied(status))),
        delay(CONNECT_SECONDS).then(() =>
          Promise.reject(new Error(`no connection within ${CONNECT_SECONDS} s`)),
        ),
      ]);
      const socket = await Promise.race([connection.next, failed]);
      const resident = new Resident(socket, process, exited);
      await Promise.race([resident.#hello, failed]);
      return resident;
    } catch (error) {
      process?.kill();
      throw error;
    } finally {
      server.close();
      await rm(path, { force: true });
    }
  }

  get alive(): boolean {
    return this.#alive;
  }

  /**
   * Makes one call; the one before must have ended.
   *
   * @throws ResidentDied where the process dies before it answers
   */
  async call(message: ResidentCall): Promise<Outcome> {
    if (this.#pending) throw new Error("the resident process takes one call at a time");
    this.#number += 1;
    const id = this.#number;
    try {
      return await new Promise<Outcome>((resolve, reject) => {
        this.#pending = { id, resolve, reject };
        this.socket.write(`${JSON.stringify({ ...message, id })}\n`);
        if (!this.#alive) this.ended.then((status) => reject(new ResidentDied(status)));
      });
    } finally {
      this.#pending = null;
    }
  }

  /** Ends the process at once; a call that runs in it ends with `ResidentDied`. */
  kill(): void {
    this.process.kill();
  }

  #receive(message: FromResident, greeted: () => void): void {
    if (message.type === "hello") {
      checkHello(message, "the resident process");
      greeted();
    } else if (message.id === this.#pending?.id) {
      const { resolve } = this.#pending;
      resolve(message.type === "answer" ? { answer: message.answer } : { declined: message.why });
    }
  }
}

async function listen(server: Server, path: string): Promise<{ next: Promise<Socket> }> {
  const next = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return { next };
}

function delay(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000).unref());
}
