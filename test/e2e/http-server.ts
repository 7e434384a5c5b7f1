import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { FetchLike } from "@modelcontextprotocol/sdk/shared/transport.js";
import { ListRootsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { expect } from "vitest";
import { Caller } from "./caller.js";
import { BINARY, type Options, serverEnvironment, until } from "./client.js";
import { killAllOf } from "./processes.js";

const RECONNECTION = {
  initialReconnectionDelay: 100,
  maxReconnectionDelay: 100,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 5,
};

export interface ClientOptions {
  token?: string;
  transport?: "streamable" | "sse";
  fetch?: FetchLike;
  /** The directory that the client names as its root. */
  root?: string;
}

/** One client over HTTP. */
export class HttpClient extends Caller {
  constructor(
    client: Client,
    readonly transport: StreamableHTTPClientTransport | SSEClientTransport,
  ) {
    super(client);
  }

  async close(): Promise<void> {
    await this.client.close();
  }
}

/** The real binary, serving over HTTP on a free port. */
export class HttpServer {
  readonly #clients: HttpClient[] = [];
  stdout = "";

  private constructor(
    readonly process: ChildProcess,
    readonly url: string,
    readonly cwd: string,
    readonly home: string,
  ) {}

  /** @param program what is run instead of the binary: something that says where it serves as that does */
  static async start(
    { args = [], env = {}, cwd, home }: Options = {},
    program = [BINARY, "serve", "--http", "--port", "0"],
  ): Promise<HttpServer> {
    const directory = cwd ?? mkdtempSync(join(tmpdir(), "mlx-http-"));
    const state = home ?? join(directory, ".state");
    const child = spawn(process.execPath, [...program, ...args], {
      cwd: directory,
      env: serverEnvironment(state, env),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk;
    });
    const url = () => /^Serving MCP at (http:\S+)\/mcp /m.exec(stderr)?.[1];
    await until("it listens", () => {
      if (child.exitCode !== null) throw new Error(`the server ended: ${stderr}`);
      return url() !== undefined;
    });
    const server = new HttpServer(child, url()!, directory, state);
    child.stdout.on("data", (chunk: Buffer) => {
      server.stdout += chunk;
    });
    return server;
  }

  get pid(): number {
    return this.process.pid!;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Connects the SDK's own client. */
  async connect({ token, transport, fetch, root }: ClientOptions = {}): Promise<HttpClient> {
    const options = {
      ...(token !== undefined && {
        requestInit: { headers: { Authorization: `Bearer ${token}` } },
      }),
      ...(fetch && { fetch }),
    };
    const way =
      transport === "sse"
        ? new SSEClientTransport(new URL(`${this.url}/sse`), options)
        : new StreamableHTTPClientTransport(new URL(`${this.url}/mcp`), {
            ...options,
            reconnectionOptions: RECONNECTION,
          });
    const capabilities = root === undefined ? {} : { roots: {} };
    const client = new Client({ name: "test", version: "1" }, { capabilities });
    if (root !== undefined) {
      const roots = [{ uri: pathToFileURL(root).href }];
      client.setRequestHandler(ListRootsRequestSchema, () => ({ roots }));
    }
    await client.connect(way);
    await client.listTools();
    const connected = new HttpClient(client, way);
    this.#clients.push(connected);
    return connected;
  }

  /** Sends a signal and resolves with the exit code. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.process.exitCode !== null || this.process.signalCode !== null)
      return this.process.exitCode;
    const exited = once(this.process, "exit");
    this.process.kill(signal);
    return (await exited)[0];
  }

  /** Ends the clients, the server, its jobs and its directory; stdout must have stayed empty. */
  async dispose(): Promise<void> {
    for (const client of this.#clients) await client.close();
    await this.stop();
    killAllOf(this.home);
    rmSync(this.cwd, { recursive: true, force: true, maxRetries: 5 });
    expect(this.stdout).toBe("");
  }
}
