import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { forest } from "./calls.js";
import { data, until } from "./client.js";
import { type HttpClient, HttpServer } from "./http-server.js";
import { processesOf } from "./processes.js";

/** 300 calls at once from ten clients of two principals: each gets its own answer, and none is lost. */

const SLOTS = 2;
const TOKENS = ["first-secret", "second-secret"];
const CLIENTS = 10;

let server: HttpServer;
beforeAll(async () => {
  server = await HttpServer.start({
    args: ["--slots", String(SLOTS), ...TOKENS.flatMap((token) => ["--token", token])],
  });
});
afterAll(async () => {
  await server.dispose();
});

/** What one client calls: each call with a check that its answer is its own. */
function callsOf(client: HttpClient, name: string): Promise<void>[] {
  const times = (count: number, call: (id: string) => Promise<void>) =>
    Array.from({ length: count }, (_, n) => call(`${name}-${n}`));
  const content = async (tool: string, args: object): Promise<any> =>
    (await client.finish(tool, args as Record<string, unknown>)).structuredContent;
  return [
    ...times(6, async (id) => {
      const outputDir = `models/${id}`;
      const { executionReport } = await content("train", forest(3, { outputDir }));
      expect(executionReport).toMatchObject({ action: "train", status: "success", outputDir });
    }),
    ...times(9, async (id) => {
      const outputDir = `predictions/${id}`;
      const config = { modelPath: "model", inputData: data("digits.test.csv") };
      const { executionReport } = await content("predict", { config, outputDir });
      expect(executionReport).toMatchObject({ action: "predict", status: "success", outputDir });
    }),
    ...times(6, async () => {
      const path = data("iris.csv");
      expect((await content("describe", { path })).description).toMatchObject({ rows: 150 });
    }),
    ...times(4, async () => {
      expect((await content("job-list", { limit: 3 })).jobs).toBeInstanceOf(Array);
    }),
    ...times(5, async (id) => {
      const { error } = await content("job-status", { jobId: id });
      expect(error).toMatchObject({ type: "job-not-found", metadata: { sent: id } });
    }),
  ];
}

interface Job {
  lane: string;
  principal: string;
  started: number;
  ended: number;
}

/** Every job of the state directory, by its own files. */
function jobs(): Job[] {
  const directory = join(server.home, "jobs");
  return readdirSync(directory).map((id) => {
    const read = (name: string) => readFileSync(join(directory, id, name), "utf8");
    const { lane, principal } = JSON.parse(read("request.json"));
    const events = read("events.ndjson")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const started = events.find(({ type }) => type === "started")?.time;
    return { lane, principal, started, ended: events.at(-1).time };
  });
}

/** How many of the jobs ran at once, at most. */
function mostAtOnce(all: Job[]): number {
  const starts = all.map(({ started }) => started);
  return Math.max(
    ...starts.map(
      (now) => all.filter(({ started, ended }) => started <= now && now < ended).length,
    ),
  );
}

test("300 calls from 10 clients, and ping all along", { timeout: 300_000 }, async () => {
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, (_, n) => server.connect({ token: TOKENS[n % 2]! })),
  );
  const pinger = await server.connect({ token: TOKENS[0]! });
  await clients[0]!.report("train", forest(10, { outputDir: "model" }));
  const config = { modelPath: "model", inputData: data("digits.test.csv") };
  await clients[0]!.report("predict", { config });
  const processes = () => processesOf(server.home).length;
  await until("server, zygote and resident process are left", () => processes() === 3);

  let working = true;
  let pings = 0;
  const pinging = (async () => {
    while (working) {
      expect(await pinger.client.ping()).toEqual({});
      pings += 1;
    }
  })();
  const calls = clients.flatMap((client, n) => callsOf(client, `client${n}`));
  expect(calls).toHaveLength(300);
  const outcomes = await Promise.allSettled(calls);
  working = false;
  await pinging;
  const failed = outcomes.filter(({ status }) => status === "rejected");
  expect(failed).toEqual([]);
  expect(pings).toBeGreaterThan(50);

  const all = jobs();
  // Nothing twice, nothing lost: 15 jobs of each client, the model, and its first prediction.
  expect(all).toHaveLength(CLIENTS * 15 + 2);
  const owners = [...new Set(all.map(({ principal }) => principal))].map(
    (owner) => all.filter(({ principal }) => principal === owner).length,
  );
  expect(owners.sort()).toEqual([75, 77]);
  const onSlots = all.filter(({ lane }) => lane === "cpu");
  expect(onSlots.length).toBeGreaterThanOrEqual(61);
  expect(mostAtOnce(onSlots)).toBe(SLOTS);

  // And no supervisor, no slot, no session is left over.
  const report = await clients[1]!.report("train", forest(5));
  expect(report.status).toBe("success");
  await until("the jobs' processes are gone", () => processes() === 3);
  expect((await pinger.call("job-list", { state: "running" })).structuredContent).toEqual({
    jobs: [],
  });
});
