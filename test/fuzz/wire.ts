import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { BINARY, serverEnvironment } from "../e2e/client.js";
import { toJsonText } from "./values.js";

/** A server with nothing between: what goes over its stdin and stdout, line by line. */
export class Wire {
  /** What stdout carried beyond one answer to each request, and how the process ended. */
  readonly faults: string[] = [];
  readonly #waiting = new Map<number, (message: any) => void>();
  readonly #process: ChildProcess;
  #stderr = "";
  #id = 0;
  #closing = false;

  private constructor(cwd: string, home: string, args: readonly string[]) {
    this.#process = spawn(process.execPath, [BINARY, "serve", ...args], {
      cwd,
      env: serverEnvironment(home),
      stdio: ["pipe", "pipe", "pipe"],
    });
    createInterface({ input: this.#process.stdout! }).on("line", (line) => this.#receive(line));
    this.#process.stderr!.on("data", (data) => {
      this.#stderr = (this.#stderr + data).slice(-5000);
    });
    this.#process.once("exit", (code, signal) => {
      if (!this.#closing) this.faults.push(`server died (${code}, ${signal}): ${this.#stderr}`);
      for (const [id, settle] of this.#waiting) settle({ id, died: true });
    });
    this.#process.stdin!.on("error", () => undefined);
  }

  static async start(cwd: string, home: string, args: readonly string[]): Promise<Wire> {
    const wire = new Wire(cwd, home, args);
    await wire.request("initialize", {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "hostile", version: "1" },
    });
    wire.#send({ jsonrpc: "2.0", method: "notifications/initialized" });
    return wire;
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** The whole answer to a request; `{died: true}` where none comes any more. */
  async request(method: string, params: unknown): Promise<any> {
    const id = ++this.#id;
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return { died: true };
    return await new Promise((settle) => {
      this.#waiting.set(id, settle);
      this.#send({ jsonrpc: "2.0", id, method, params });
    });
  }

  async close(): Promise<void> {
    this.#closing = true;
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.stdin!.end();
    await gone;
  }

  #send(message: unknown): void {
    this.#process.stdin!.write(`${toJsonText(message)}\n`);
  }

  #receive(line: string): void {
    let message: any;
    try {
      message = JSON.parse(line);
    } catch {
      this.faults.push(`no JSON on stdout: ${line.slice(0, 200)}`);
      return;
    }
    if (message.jsonrpc !== "2.0") this.faults.push(`no JSON-RPC on stdout: ${line.slice(0, 200)}`);
    if (message.id === undefined) return; // a notification
    const settle = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (settle) settle(message);
    else this.faults.push(`a second answer, or one to nothing: ${line.slice(0, 200)}`);
  }
}
