import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Case } from "./cases.js";
import { median, ms, quantile, timed } from "./measure.js";

const CLIENTS = 10;
const CALLS_EACH = 30;
const LIMIT_MS = 250;

/** The real binary over HTTP, in a directory of its own. */
async function start(root: string, python: string) {
  const directory = mkdtempSync(join(tmpdir(), "mlx-bench-http-"));
  const args = [join(root, "dist/ml-executor.js"), "serve", "--http", "--port", "0"];
  const server = spawn(process.execPath, args, {
    cwd: directory,
    env: {
      PATH: process.env.PATH,
      HOME: directory,
      ML_EXECUTOR_HOME: join(directory, "state"),
      ML_EXECUTOR_PYTHON: python,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [line] = await once(server.stderr, "data");
  const url = /http:\S+/.exec(String(line))?.[0];
  if (!url) throw new Error(`the server says: ${line}`);
  return {
    connect: async (): Promise<Client> => {
      const client = new Client({ name: "bench", version: "1" });
      await client.connect(new StreamableHTTPClientTransport(new URL(url)));
      return client;
    },
    close: async () => {
      const gone = once(server, "exit");
      server.kill();
      await gone;
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** What one client calls at once: trainings, predictions, looks, and calls that are wrong. */
function callsOf(client: Client, data: string): Promise<unknown>[] {
  const table = join(data, "breast_cancer.csv");
  const inputData = join(data, "breast_cancer.test.csv");
  const kinds = [
    { name: "predict", arguments: { config: { modelPath: "model", inputData } } },
    { name: "describe", arguments: { path: table } },
    { name: "predict", arguments: { config: { modelPath: "model", inputData } } },
    { name: "job-list", arguments: { limit: 5 } },
    { name: "train", arguments: { ...tree(table), waitSeconds: 50 } },
    { name: "predict", arguments: { config: {} } },
  ];
  return Array.from({ length: CALLS_EACH }, (_, n) =>
    client.callTool(kinds[n % kinds.length] ?? { name: "job-list" }, undefined, {
      timeout: 120_000,
    }),
  );
}

const tree = (dataPath: string) => ({
  framework: "sklearn",
  config: { algorithm: "DecisionTreeClassifier", dataPath, targetColumn: "target" },
});

export const ping: Case = async ({ root, python, data }) => {
  const server = await start(root, python);
  try {
    const pinger = await server.connect();
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => server.connect()));
    const table = join(data, "breast_cancer.train.csv");
    const trained = { ...tree(table), outputDir: "model", waitSeconds: 50 };
    await pinger.callTool({ name: "train", arguments: trained });
    const idle: number[] = [];
    for (let n = 0; n < 200; n++) idle.push(await timed(() => pinger.ping()));
    let working = true;
    const calls = Promise.all(clients.flatMap((client) => callsOf(client, data))).finally(() => {
      working = false;
    });
    const busy: number[] = [];
    while (working) {
      busy.push(await timed(() => pinger.ping()));
      // Not back to back: the pings themselves are not the load.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await calls;
    const p99 = quantile(busy, 0.99);
    return [
      {
        claim: `\`ping\` over HTTP while ${CLIENTS * CALLS_EACH} calls from ${CLIENTS} clients run`,
        measured: `p50 ${ms(median(busy))}, p99 ${ms(p99)} (${busy.length} pings)`,
        against: `of an idle server: p50 ${ms(median(idle))}, p99 ${ms(quantile(idle, 0.99))}`,
        aim: `p99 under ${LIMIT_MS} ms`,
        holds: p99 < LIMIT_MS,
      },
    ];
  } finally {
    await server.close();
  }
};
