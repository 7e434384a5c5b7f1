import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterEach, describe, expect, test } from "vitest";
import { FOREVER, forest } from "./calls.js";
import { data, type Options, until } from "./client.js";
import { type HttpClient, HttpServer } from "./http-server.js";
import { isAlive, processesOf } from "./processes.js";
import { begin, Raw } from "./raw-http.js";

/** MCP over HTTP, through the SDK's own clients. */

const servers: HttpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
});
async function start(options: Options = {}): Promise<HttpServer> {
  const server = await HttpServer.start(options);
  servers.push(server);
  return server;
}

const TWO = ["--token", "first-secret", "--token", "second-secret"];
const [FIRST, SECOND] = [{ token: "first-secret" }, { token: "second-secret" }];

const content = async (client: HttpClient, name: string, args = {}): Promise<any> =>
  (await client.call(name, args)).structuredContent;
const jobs = async (client: HttpClient, args = {}): Promise<any[]> =>
  (await content(client, "job-list", args)).jobs;
const startForest = async (client: HttpClient, more = {}): Promise<string> =>
  (await content(client, "train", forest(FOREVER, { waitSeconds: 0, ...more }))).job.id;
const isRunning = async (client: HttpClient, id: string): Promise<boolean> =>
  (await content(client, "job-status", { jobId: id })).job?.state === "running";

describe.each(["streamable", "sse"] as const)("the main job over %s", (transport) => {
  test("train → evaluate → predict, with progress", async () => {
    const server = await start();
    const client = await server.connect({ transport });
    const told: (string | undefined)[] = [];
    await client.call("train", forest(600, { waitSeconds: 50, outputDir: "model" }), {
      onprogress: ({ message }) => void told.push(message),
    });
    expect(told.length).toBeGreaterThan(2);
    expect(told.at(-1)).toMatch(/tree \d+\/600/);
    const evaluated = await client.report("evaluate", {
      config: { modelPath: "model", dataPath: data("digits.test.csv") },
    });
    expect(evaluated.metrics!.accuracy).toBeGreaterThan(0.9);
    const predicted = await client.report("predict", {
      config: { modelPath: "model", inputData: data("digits.test.csv") },
      outputDir: "predictions",
    });
    for (const path of Object.values(predicted.artifacts!))
      expect(existsSync(resolve(server.cwd, path)), path).toBe(true);
    const error = await client.error("predict", { config: { modelPath: "model" } });
    expect(error.type).toBe("invalid-configuration");
  });

  test("cancelling the call ends the job; a connection that is lost does not", async () => {
    const server = await start();
    const client = await server.connect({ transport });
    const observer = await server.connect();
    const abort = new AbortController();
    const call = client
      .call("train", forest(FOREVER, { waitSeconds: 50 }), { signal: abort.signal })
      .catch((error: Error) => error);
    await until("it runs", async () => (await jobs(observer, { state: "running" })).length === 1);
    abort.abort("the user pressed stop");
    expect(await call).toBeInstanceOf(Error);
    await until(
      "it is cancelled",
      async () => (await jobs(observer, { state: "cancelled" })).length === 1,
    );

    const lost = client
      .call("train", forest(FOREVER, { waitSeconds: 50 }))
      .catch((error: Error) => error);
    await until("it runs", async () => (await jobs(observer, { state: "running" })).length === 1);
    await client.close();
    expect(await lost).toBeInstanceOf(Error);
    const [job] = await jobs(observer, { state: "running" });
    // Longer than a cancelled job takes to end.
    await until("it makes progress", async () =>
      /tree [1-9]/.test((await content(observer, "job-status", { jobId: job.id })).job.progress),
    );
    expect(await isRunning(observer, job.id)).toBe(true);
    await observer.call("job-cancel", { jobId: job.id });
  });
});

test("a client is asked for its roots on the stream of its call, if it has no other", async () => {
  const server = await start();
  const root = join(server.cwd, "project");
  mkdirSync(root);
  const client = await server.connect({
    root,
    fetch: async (url, init) =>
      init?.method === "GET" ? new Response(null, { status: 405 }) : await fetch(url, init),
  });
  await client.report("train", forest(5, { outputDir: "model" }));
  expect(existsSync(join(root, "model/model.pkl"))).toBe(true);
});

describe("event streams that break", () => {
  test("a client that comes back gets the answer of the call that ended while it was away", async () => {
    const server = await start();
    const observer = await server.connect();
    const line = new AbortController();
    let mendLine = (): void => undefined;
    const mended = new Promise<void>((resolve) => {
      mendLine = resolve;
    });
    let resumed = 0;
    const client = await server.connect({
      fetch: async (url, init = {}) => {
        if (new Headers(init.headers).has("last-event-id")) {
          resumed += 1;
          await mended;
          return await fetch(url, init);
        }
        const signals = [init.signal, init.method === "POST" ? line.signal : null];
        return await fetch(url, {
          ...init,
          signal: AbortSignal.any(signals.filter((signal) => signal instanceof AbortSignal)),
        });
      },
    });
    const told: number[] = [];
    const call = client.call("train", forest(900, { waitSeconds: 50 }), {
      onprogress: ({ progress }) => void told.push(progress),
    });
    await until("progress is told", () => told.length > 1);
    line.abort();
    await until("the client wants to resume", () => resumed > 0);
    const before = told.length;
    await until(
      "the job has ended",
      async () => (await jobs(observer, { state: "succeeded" })).length === 1,
    );
    mendLine();
    const { structuredContent } = await call;
    expect((structuredContent as any).executionReport.status).toBe("success");
    expect(told.length).toBeGreaterThan(before);
    expect(told).toEqual([...told].sort((a, b) => a - b));
  });

  test("exactly what was missed is sent again, on a stream that then ends", async () => {
    const server = await start();
    const raw = new Raw(server);
    const session = await begin(raw);
    const body = JSON.stringify({ jsonrpc: "2.0", id: "a", method: "tools/list" });
    const events = (await raw.post(body, session)).events;
    expect(events).toHaveLength(2);
    expect(events[0]!.data).toBe("");
    const get = { ...session, accept: "text/event-stream" };
    const again = await raw.get({ ...get, "last-event-id": events[0]!.id! });
    expect(again.events).toEqual([events[1]]);
    const nothing = await raw.get({ ...get, "last-event-id": events[1]!.id! });
    expect(nothing.status).toBe(204);
    for (const id of ["nonsense", events[0]!.id!.replace(/^\w+/, "00000000")])
      expect((await raw.get({ ...get, "last-event-id": id })).status, id).toBe(400);
    // And not to another session.
    const other = { ...(await begin(raw)), accept: "text/event-stream" };
    expect((await raw.get({ ...other, "last-event-id": events[0]!.id! })).status).toBe(400);
  });
});

describe("principals", () => {
  test("see, follow and cancel their own jobs alone", async () => {
    const server = await start({ args: TWO });
    const owner = await server.connect(FIRST);
    const id = await startForest(owner);
    await until("it runs", () => isRunning(owner, id));
    const stranger = await server.connect(SECOND);
    expect(await jobs(stranger)).toEqual([]);
    for (const tool of ["job-status", "job-logs", "job-cancel"]) {
      const error = await stranger.error(tool, { jobId: id });
      expect(error, tool).toMatchObject({ type: "job-not-found", metadata: { latest: [] } });
    }
    expect(await isRunning(owner, id)).toBe(true);
    // Another session with the same token is the same principal.
    const colleague = await server.connect({ ...FIRST, transport: "sse" });
    expect((await jobs(colleague)).map((job) => job.id)).toEqual([id]);
    await colleague.call("job-cancel", { jobId: id });
    await until("it has ended", async () => !(await isRunning(owner, id)));
  });

  test("a requestId is one principal's own", async () => {
    const server = await start({ args: TWO });
    const [first, second] = [await server.connect(FIRST), await server.connect(SECOND)];
    const call = forest(5, { requestId: "once", waitSeconds: 50 });
    const report = await first.report("train", call);
    expect(await first.report("train", call)).toEqual(report);
    expect(await second.report("train", call)).not.toEqual(report);
    expect([(await jobs(first)).length, (await jobs(second)).length]).toEqual([1, 1]);
  });

  test("read and follow the resources of their own jobs alone", async () => {
    const server = await start({ args: TWO });
    const owner = await server.connect(FIRST);
    const stranger = await server.connect(SECOND);
    const id = await startForest(owner);
    const uri = `ml-executor://jobs/${id}`;
    const updated: string[] = [];
    owner.client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
      updated.push(params.uri);
    });
    await owner.client.subscribeResource({ uri });
    await until("its progress is told on the session's own stream", () => updated.includes(uri));
    await expect(stranger.client.readResource({ uri })).rejects.toThrow();
    await expect(stranger.client.subscribeResource({ uri })).rejects.toThrow();
    const listed = async ({ client }: HttpClient) =>
      (await client.listResources()).resources.filter((one) => one.uri.includes(id)).length;
    expect(await listed(owner)).toBeGreaterThan(0);
    expect(await listed(stranger)).toBe(0);
    await owner.call("job-cancel", { jobId: id });
  });

  test("tokens come from the environment as well, and jobs never see them", async () => {
    const server = await start({ env: { ML_EXECUTOR_TOKEN: "first-secret, second-secret" } });
    const first = await server.connect(FIRST);
    await server.connect(SECOND);
    await expect(server.connect()).rejects.toThrow(/401|token/i);
    const id = await startForest(first);
    await until("it runs", () => isRunning(first, id));
    const own = processesOf("first-secret").filter(({ pid }) => pid !== server.pid);
    expect(own).toEqual([]);
    await first.call("job-cancel", { jobId: id });
  });
});

describe("sessions", () => {
  test("end when idle; one with an open stream does not", async () => {
    const server = await start({ args: ["--session-timeout", "1"] });
    const client = await server.connect();
    const raw = new Raw(server);
    const session = await begin(raw);
    const ping = JSON.stringify({ jsonrpc: "2.0", id: 2, method: "ping" });
    expect((await raw.post(ping, session)).status).toBe(200);
    await until("it has ended", async () => {
      await new Promise((resolve) => setTimeout(resolve, 2500));
      return (await raw.post(ping, session)).status === 404;
    });
    expect(await client.client.ping()).toEqual({});
  });

  test("DELETE ends one, and no job", async () => {
    const server = await start();
    const client = await server.connect();
    const id = await startForest(client);
    const other = await server.connect();
    await until("it runs", () => isRunning(other, id));
    const { transport } = client as any;
    const session = { "mcp-session-id": transport.sessionId };
    await transport.terminateSession();
    const raw = new Raw(server);
    const ping = JSON.stringify({ jsonrpc: "2.0", id: 2, method: "ping" });
    expect((await raw.post(ping, session)).status).toBe(404);
    expect(await isRunning(other, id)).toBe(true);
    await other.call("job-cancel", { jobId: id });
  });

  test("a new one takes the place of the one that was idle longest, of the same principal", async () => {
    const server = await start({ args: TWO });
    const raw = new Raw(server);
    const mine = { authorization: "Bearer first-secret" };
    const theirs = { authorization: "Bearer second-secret" };
    const stranger = { ...theirs, ...(await begin(raw, theirs)) };
    const oldest = { ...mine, ...(await begin(raw, mine)) };
    const second = { ...mine, ...(await begin(raw, mine)) };
    const client = await server.connect(FIRST);
    for (let more = 3; more < 256; more++) await begin(raw, mine);
    const ping = JSON.stringify({ jsonrpc: "2.0", id: 2, method: "ping" });
    const status = async (headers: Record<string, string>) =>
      (await raw.post(ping, headers)).status;
    expect(await status(oldest)).toBe(200); // and so it is not the oldest any more
    await begin(raw, mine);
    expect([await status(second), await status(oldest), await status(stranger)]).toEqual([
      404, 200, 200,
    ]);
    expect(await client.client.ping()).toEqual({});
  });
});

describe("the end of the server", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s: streams end, jobs go on, and a later server reports them",
    async (signal) => {
      const server = await start({ args: ["--token", "secret"] });
      const client = await server.connect({ token: "secret" });
      await client.report("train", forest(1)); // what follows is then not spent on imports
      const legacy = await server.connect({ token: "secret", transport: "sse" });
      const id = (await content(legacy, "train", forest(900, { waitSeconds: 0 }))).job.id;
      await until("it runs", () => isRunning(client, id));
      const waiting = client.call("job-status", { jobId: id, waitSeconds: 50 });
      const failed = waiting.catch((error: Error) => error);
      const pid = server.pid;
      expect(await server.stop(signal)).toBe(0);
      expect(isAlive(pid)).toBe(false);
      await client.close();
      expect(await failed).toBeInstanceOf(Error);

      const later = await start({ home: server.home, args: ["--token", "secret"] });
      const again = await later.connect({ token: "secret" });
      const report = await again.report("job-status", { jobId: id, waitSeconds: 50 });
      expect(report.status).toBe("success");
    },
  );
});
