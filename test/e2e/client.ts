import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ListRootsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterEach, expect, inject } from "vitest";
import { until } from "../support.js";
import { Caller } from "./caller.js";
import { killAllOf, processesOf } from "./processes.js";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const BINARY = join(ROOT, "dist/ml-executor.js");

export interface Options {
  /** Arguments of `serve`. */
  args?: string[];
  env?: Record<string, string>;
  /** The server's working directory; a new temporary one where left out. */
  cwd?: string;
  /** The state directory; a new one in the working directory where left out. */
  home?: string;
  /**
   * Shell commands that mount file systems for the server alone, in a namespace of its own; see
   * `canMount`. `$HOME_OF_STATE` is the state directory.
   */
  mounts?: string;
  /** The client's MCP roots, as URIs; it has none where left out. */
  roots?: string[];
}

/** Whether this user may mount file systems in a namespace of their own: a kernel's decision. */
export function canMount(): boolean {
  const script = 'mount -t tmpfs -o size=64k none "$0"';
  return (
    process.platform === "linux" &&
    spawnSync("unshare", ["-rm", "sh", "-c", script, tmpdir()]).status === 0
  );
}

/** The variables that a server under test gets: nothing of the developer's own Python environments. */
export function serverEnvironment(
  home: string,
  more: Record<string, string> = {},
): Record<string, string> {
  return {
    PATH: process.env.PATH ?? "",
    HOME: process.env.HOME ?? "",
    ML_EXECUTOR_HOME: home,
    ML_EXECUTOR_PYTHON: inject("python"),
    ...more,
  };
}

/** The real binary, with the SDK's own client at the other end of its stdio. */
export class Server extends Caller {
  /** What the client could not read as JSON-RPC: stdout must carry nothing else. */
  readonly impurities: Error[] = [];
  readonly stderr: string[] = [];

  private constructor(
    client: Client,
    readonly transport: StdioClientTransport,
    readonly cwd: string,
    readonly home: string,
  ) {
    super(client);
  }

  static async start(options: Options = {}): Promise<Server> {
    const { args = [], env = {}, cwd, home, mounts, roots } = options;
    const directory = cwd ?? mkdtempSync(join(tmpdir(), "mlx-e2e-"));
    const state = home ?? join(directory, ".state");
    const command = [process.execPath, BINARY, "serve", ...args];
    // Both replace themselves by what they run: the transport's pid is the server's.
    const script = `set -e; HOME_OF_STATE='${state}'; ${mounts}; exec "$@"`;
    const [program = "", ...rest] = mounts
      ? ["unshare", "-rm", "sh", "-c", script, "sh", ...command]
      : command;
    const transport = new StdioClientTransport({
      command: program,
      args: rest,
      env: serverEnvironment(state, env),
      cwd: directory,
      stderr: "pipe",
    });
    const capabilities = roots ? { roots: {} } : {};
    const client = new Client({ name: "test", version: "1" }, { capabilities });
    if (roots) {
      const listed = { roots: roots.map((uri) => ({ uri })) };
      client.setRequestHandler(ListRootsRequestSchema, () => listed);
    }
    const server = new Server(client, transport, directory, state);
    transport.stderr?.on("data", (chunk: Buffer) => server.stderr.push(chunk.toString()));
    client.onerror = (error) => server.impurities.push(error);
    await client.connect(transport);
    // The client validates results against the output schemas that it has seen listed.
    await client.listTools();
    return server;
  }

  get pid(): number {
    return this.transport.pid!;
  }

  /** A path as the server sees it, whatever it has mounted there. */
  inside(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  /**
   * After a file's faults: a good call works, and when the server ends nothing of it is left, though
   * jobs outlive their servers.
   */
  async expectUnhurt(): Promise<void> {
    const report = await this.report("train", {
      framework: "sklearn",
      config: {
        dataPath: data("wine.csv"),
        algorithm: "DecisionTreeClassifier",
        targetColumn: "target",
      },
    });
    expect(report.status).toBe("success");
    await this.close();
    await until("its processes are gone", () => processesOf(this.home).length === 0);
  }

  /** Ends the server, its jobs and its directory; fails where stdout carried anything but JSON-RPC. */
  async dispose(): Promise<void> {
    await this.close();
    // A job outlives its server, and so would that of a test that failed: minutes, and gigabytes.
    killAllOf(this.home);
    rmSync(this.cwd, { recursive: true, force: true });
    expect(this.impurities).toEqual([]);
  }
}

/** Starts servers that end, with their directories, after each test of the file that calls this. */
export function startsServers(): (options?: Options) => Promise<Server> {
  const servers: Server[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0).reverse()) await server.dispose();
  });
  return async (options = {}) => {
    const server = await Server.start(options);
    servers.push(server);
    return server;
  };
}

/** Makes directories that are gone after each test of the file that calls this; links resolved. */
export function makesFolders(): () => string {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const made = realpathSync(mkdtempSync(join(tmpdir(), "mlx-folder-")));
    folders.push(made);
    return made;
  };
}

/** The job in the answer of a call that did not wait for its end. */
export const jobOf = (result: { structuredContent?: unknown }): any =>
  (result.structuredContent as any).job;

/** All that a job has told so far. */
export function eventsOf({ home }: { home: string }, id: string): any[] {
  const path = join(home, "jobs", id, "events.ndjson");
  if (!existsSync(path)) return [];
  // The last line may be half written.
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.filter(Boolean).map((line) => JSON.parse(line));
}

export { until } from "../support.js";

/** The path of one of the data sets that `test/plain/datasets.py` writes. */
export const data = (name: string): string => join(inject("data"), name);
