import {
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  type McpError,
  type Resource,
  ResourceListChangedNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { describe, expect, test } from "vitest";
import { MANIFEST } from "../../src/contract/index.js";
import { endedJob, makeFifo } from "../support.js";
import { boosting, FOREVER } from "./calls.js";
import { data, type Server, startsServers, until } from "./client.js";

/** Jobs, reports, metrics, logs, artifacts and schemas, as a client reads and follows them. */

const start = startsServers();

/** Seconds until Python has been started for the first time, on a machine that does much else. */
const PATIENCE = 45;
const startForever = async (server: Server): Promise<string> =>
  ((await server.call("train", boosting(FOREVER, { waitSeconds: 0 }))).structuredContent as any).job
    .id;

const uri = (id: string, rest = "") => `ml-executor://jobs/${id}${rest}`;
async function read(server: Server, address: string): Promise<any> {
  const { contents } = await server.client.readResource({ uri: address });
  expect(contents).toHaveLength(1);
  expect(contents[0]!.uri).toBe(address);
  return contents[0];
}
const readJson = async (server: Server, address: string): Promise<any> =>
  JSON.parse((await read(server, address)).text);
const refusal = async (promise: Promise<unknown>): Promise<McpError> =>
  await promise.then(
    () => expect.unreachable("it was answered"),
    (error) => error,
  );

/** Every URI that the server said was updated. */
function updates(server: Server): string[] {
  const told: string[] = [];
  server.client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
    told.push(params.uri);
  });
  return told;
}
async function listAll(server: Server): Promise<Resource[]> {
  const found: Resource[] = [];
  let cursor: string | undefined;
  do {
    const page = await server.client.listResources({ cursor });
    found.push(...page.resources);
    cursor = page.nextCursor;
  } while (cursor);
  return found;
}

describe("reading", () => {
  test("all that a training left behind", async () => {
    const server = await start();
    const { content, structuredContent } = await server.finish(
      "train",
      boosting(30, { outputDir: "out" }),
    );
    const report = (structuredContent as any).executionReport;
    const [job] = ((await server.call("job-list", {})).structuredContent as any).jobs;

    expect(await readJson(server, uri(job.id, "/report"))).toEqual(structuredContent);
    const summary = (await readJson(server, uri(job.id))).job;
    expect(summary).toMatchObject({ ...job, state: "succeeded", outputDir: "out" });
    expect(Object.keys(summary.resources.artifacts)).toEqual(Object.keys(report.artifacts));

    const links = content.filter(({ type }) => type === "resource_link") as any[];
    expect(links.map(({ title }) => title)).toEqual(Object.keys(report.artifacts));
    for (const { title, uri: address, size, mimeType } of links) {
      expect(address).toBe(summary.resources.artifacts[title]);
      const bytes = readFileSync(join(server.cwd, report.artifacts[title]));
      const found = await read(server, address);
      const sent = found.blob ? Buffer.from(found.blob, "base64") : Buffer.from(found.text);
      expect(sent.equals(bytes), title).toBe(true);
      expect(size).toBe(bytes.length);
      if (mimeType) expect(found.mimeType).toBe(mimeType);
    }
    expect(await read(server, uri(job.id, "/artifacts/model"))).toHaveProperty("blob");
    expect(links.map(({ mimeType }) => mimeType)).toEqual(
      expect.arrayContaining(["image/png", "text/csv", "text/plain"]),
    );

    const metrics = await read(server, uri(job.id, "/metrics"));
    expect(metrics.mimeType).toBe("text/csv");
    expect(metrics.text).toBe(readFileSync(join(server.cwd, "out/metrics.csv"), "utf8"));
    for (const stream of ["stdout", "stderr"] as const) {
      const log = await read(server, uri(job.id, `/logs/${stream}`));
      expect(log.text).toBe(
        readFileSync(join(server.home, "jobs", job.id, `${stream}.log`), "utf8").slice(-65536),
      );
    }
  });

  test("what a job printed, from the script that it runs", async () => {
    const server = await start();
    writeFileSync(
      join(server.cwd, "own.py"),
      "from sklearn.tree import DecisionTreeClassifier\n" +
        "def build():\n    print('grüße ' * 20000)\n    print('the end')\n    return DecisionTreeClassifier()\n",
    );
    const config = { modelScript: "own.py", modelClass: "build", dataPath: data("wine.csv") };
    await server.report("train", {
      framework: "sklearn",
      config: { ...config, targetColumn: "target" },
    });
    const [job] = ((await server.call("job-list", {})).structuredContent as any).jobs;
    const { text } = await read(server, uri(job.id, "/logs/stdout"));
    expect(text).toMatch(/grüße \nthe end\n$/);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(64 * 1024);
    expect(Buffer.byteLength(text)).toBeGreaterThan(63 * 1024);
  });

  test("a job that runs: its state, its metrics so far, and no report yet", async () => {
    const server = await start();
    const id = await startForever(server);
    let lines: string[] = [];
    await until("its metrics are there", async () => {
      lines = (await read(server, uri(id, "/metrics"))).text.trim().split("\n");
      return lines.length > 2;
    });
    expect(lines[0]).toBe("seq,unit,done,train_mlogloss,val_mlogloss");
    expect(lines.at(-1)).toMatch(/^\d+,round,\d+,[\d.]+,[\d.]+$/);
    const { job } = await readJson(server, uri(id));
    expect(job).toMatchObject({ id, state: "running", action: "train" });
    expect(job.next).toMatchObject({ tool: "job-status", arguments: { jobId: id } });
    expect(job.resources).not.toHaveProperty("report");
    const error = await refusal(server.client.readResource({ uri: uri(id, "/report") }));
    expect(error).toMatchObject({ code: -32002, data: { uri: uri(id, "/report") } });
    expect(error.message).toMatch(/has not ended/);
    await server.call("job-cancel", { jobId: id });
    expect((await readJson(server, uri(id, "/report"))).error.type).toBe("cancelled");
    expect((await readJson(server, uri(id))).job).toMatchObject({ state: "cancelled" });
  });

  test("a failed job: its error", async () => {
    const server = await start();
    const error = await server.error("train", {
      framework: "sklearn",
      config: { algorithm: "SVC", dataPath: "nowhere.csv", targetColumn: "target" },
    });
    const [job] = ((await server.call("job-list", {})).structuredContent as any).jobs;
    expect(await readJson(server, uri(job.id, "/report"))).toEqual({ error });
    expect((await readJson(server, uri(job.id))).job).toMatchObject({ error: error.message });
  });

  test("the full schema of every tool", async () => {
    const server = await start();
    for (const { name } of (await server.client.listTools()).tools) {
      const { schema } = await readJson(server, `ml-executor://schema/${name}`);
      expect(schema).toEqual((MANIFEST.actions[name] ?? MANIFEST.tools[name])!.input);
    }
    const { description } = (await server.call("describe", { action: "train" }))
      .structuredContent as any;
    expect(await readJson(server, "ml-executor://schema/train")).toEqual(description);
  });
});

describe("artifacts by hand", () => {
  /** A job whose report names these, in a directory of its own below the server's. */
  async function withArtifacts(artifacts: Record<string, string>): Promise<[Server, string]> {
    const server = await start();
    mkdirSync(join(server.cwd, "out"));
    endedJob(server.home, "byhand", {
      baseDir: server.cwd,
      request: { action: "train", config: {}, outputDir: "out" },
      report: { artifacts },
    });
    return [server, join(server.cwd, "out")];
  }

  test("a directory is listed, and what lies in it can be read", async () => {
    const [server, out] = await withArtifacts({ savedModel: "out/saved_model" });
    mkdirSync(join(out, "saved_model/variables"), { recursive: true });
    writeFileSync(join(out, "saved_model/a b%2F.txt"), "text");
    writeFileSync(join(out, "saved_model/variables/data"), Buffer.from([0, 1, 255]));
    symlinkSync("/etc", join(out, "saved_model/elsewhere"));
    const address = uri("byhand", "/artifacts/savedModel");
    const listing = await readJson(server, address);
    expect(listing.path).toBe(realpathSync(join(out, "saved_model")));
    expect(listing.entries).toEqual([
      { name: "a b%2F.txt", uri: `${address}/a%20b%252F.txt`, sizeBytes: 4 },
      { name: "variables", uri: `${address}/variables`, directory: true },
    ]);
    expect((await read(server, listing.entries[0].uri)).text).toBe("text");
    const [inner] = (await readJson(server, listing.entries[1].uri)).entries;
    expect(inner.uri).toBe(`${address}/variables/data`);
    expect(await read(server, inner.uri)).toMatchObject({
      mimeType: "application/octet-stream",
      blob: "AAH/",
    });
    for (const way of ["elsewhere/passwd", "elsewhere", "none", "variables/data/deeper"]) {
      const error = await refusal(server.client.readResource({ uri: `${address}/${way}` }));
      expect(error.code, way).toBe(-32002);
    }
  });

  test("links that lead elsewhere, and what is no file, are not there", async () => {
    const [server, out] = await withArtifacts({
      link: "out/link.txt",
      through: "out/plots/passwd",
      fifo: "out/fifo",
      gone: "out/gone.txt",
    });
    symlinkSync("/etc/passwd", join(out, "link.txt"));
    symlinkSync("/etc", join(out, "plots"));
    makeFifo(join(out, "fifo"));
    for (const name of ["link", "through", "fifo", "gone"]) {
      const error = await refusal(
        server.client.readResource({ uri: uri("byhand", `/artifacts/${name}`) }),
      );
      expect(error.code, name).toBe(-32002);
    }
  });

  test("an output directory that is itself reached by a link is read", async () => {
    const [server, out] = await withArtifacts({ table: "out/table.csv" });
    rmSync(out, { recursive: true });
    mkdirSync(join(server.cwd, "real"));
    symlinkSync("real", out);
    writeFileSync(join(out, "table.csv"), "a,b\n1,2\n");
    expect(await read(server, uri("byhand", "/artifacts/table"))).toMatchObject({
      mimeType: "text/csv",
      text: "a,b\n1,2\n",
    });
  });

  test("one that is too large is refused, with its size and its path", async () => {
    const [server, out] = await withArtifacts({ model: "out/model.pkl" });
    const path = join(out, "model.pkl");
    writeFileSync(path, "");
    truncateSync(path, 9 * 1024 * 1024);
    const address = uri("byhand", "/artifacts/model");
    const error = await refusal(server.client.readResource({ uri: address }));
    expect(error.message).toMatch(/too large to be sent \(9MB, at most 8MB\)/);
    expect(error).toMatchObject({
      code: -32602,
      data: { uri: address, path: realpathSync(path), sizeBytes: 9437184, limitBytes: 8388608 },
    });
  });
});

describe("what means nothing here", () => {
  const HOSTILE = [
    "ml-executor://jobs/byhand/artifacts/../../../etc/passwd",
    "ml-executor://jobs/byhand/artifacts/%2e%2e",
    "ml-executor://jobs/byhand/artifacts/%2Fetc%2Fpasswd",
    "ml-executor://jobs/byhand/artifacts/table/%2e%2e%2f%2e%2e%2fsecret.txt",
    "ml-executor://jobs/byhand/artifacts/table/..",
    "ml-executor://jobs/byhand/artifacts/%252e%252e%252fsecret.txt",
    "ml-executor://jobs/byhand/artifacts/table%00",
    "ml-executor://jobs/byhand/artifacts/constructor",
    "ml-executor://jobs/byhand/artifacts/__proto__",
    "ml-executor://jobs/byhand/artifacts/",
    "ml-executor://jobs/byhand/artifacts",
    "ml-executor://jobs/byhand/report/more",
    "ml-executor://jobs/byhand/request.json",
    "ml-executor://jobs/byhand/logs/supervisor",
    "ml-executor://jobs/byhand/logs/stdout/..",
    "ml-executor://jobs/byhand?x=1",
    "ml-executor://jobs/byhand#x",
    "ml-executor://jobs/byhand%",
    "ml-executor://jobs/%E0%A4%A",
    "ml-executor://jobs/..%2fjobs%2fbyhand",
    "ml-executor://jobs/..",
    "ml-executor://jobs/",
    "ml-executor://jobs",
    "ml-executor://schema/constructor",
    "ml-executor://schema/train/x",
    "ml-executor://schema/",
    "ml-executor://key",
    "ml-executor://",
    "ML-EXECUTOR://jobs/byhand",
    "file:///etc/passwd",
    "http://127.0.0.1/",
    "javascript:alert(1)",
    "",
    " ",
    "\u0000",
    `ml-executor://jobs/${"a".repeat(1_000_000)}`,
    `ml-executor://jobs/byhand/artifacts/${"%2e%2e%2f".repeat(10_000)}`,
    `ml-executor://jobs/byhand/artifacts/table${"/x".repeat(500)}`,
    `ml-executor://jobs/byhand/artifacts/${"é".repeat(300)}`,
  ];

  test("hostile URIs: not found, whatever they try", async () => {
    const server = await start();
    endedJob(server.home, "byhand", {
      baseDir: server.cwd,
      report: { artifacts: { table: "table.csv" } },
    });
    writeFileSync(join(server.cwd, "table.csv"), "a\n1\n");
    writeFileSync(join(server.cwd, "secret.txt"), "secret");
    expect((await read(server, uri("byhand", "/artifacts/table"))).text).toBe("a\n1\n");
    for (const address of HOSTILE) {
      const error = await refusal(server.client.readResource({ uri: address }));
      const named = address.slice(0, 300);
      expect(error, named).toMatchObject({
        code: -32002,
        data: { uri: expect.stringContaining(named) },
      });
      expect(error.message.length + JSON.stringify(error.data).length, named).toBeLessThan(2000);
      expect(JSON.stringify(error), named).not.toContain(server.home);
    }
    await server.client.ping();
  });

  test("subscribing to what no job can have", async () => {
    const server = await start();
    endedJob(server.home, "byhand");
    const impossible = HOSTILE.filter(
      (address) =>
        !/^ml-executor:\/\/jobs\/byhand\/artifacts\/(?!.*(%00|%2f|\.\.)).+/i.test(address),
    );
    for (const address of [...impossible, uri("none"), uri("none", "/report")]) {
      const error = await refusal(server.client.subscribeResource({ uri: address }));
      expect(error.code, address.slice(0, 300)).toBe(-32002);
    }
    await server.client.subscribeResource({ uri: uri("byhand", "/artifacts/later") });
    await server.client.subscribeResource({ uri: "ml-executor://schema/train" });
    await server.client.unsubscribeResource({ uri: "ml-executor://schema/none" });
    for (let i = 0; i < 498; i += 1) {
      await server.client.subscribeResource({ uri: uri("byhand", `/artifacts/a${i}`) });
    }
    const error = await refusal(server.client.subscribeResource({ uri: uri("byhand") }));
    expect(error).toMatchObject({ code: -32602 });
    expect(error.message).toMatch(/At most 500/);
  });

  test("parameters of the wrong shape are invalid", async () => {
    const server = await start();
    for (const [method, params] of [
      ["resources/read", {}],
      ["resources/read", { uri: 5 }],
      ["resources/subscribe", {}],
      ["resources/list", { cursor: 7 }],
      ["resources/list", { cursor: "bm9uZQ" }],
      ["resources/list", { cursor: Buffer.from('{"schema":-1}').toString("base64url") }],
    ] as const) {
      const request = server.client.request(
        { method, params } as any,
        { parse: (x: any) => x } as any,
      );
      expect((await refusal(request)).code, JSON.stringify([method, params])).toBe(-32602);
    }
  });
});

describe("listing", () => {
  test("the latest jobs, then the schemas, page by page", async () => {
    const server = await start();
    const ids = Array.from({ length: 120 }, (_, i) => `job${String(i).padStart(3, "0")}`);
    for (const [i, id] of ids.entries()) {
      endedJob(server.home, id, {
        createdAt: new Date(1_700_000_000_000 + i * 1000).toISOString(),
      });
    }
    const first = await server.client.listResources();
    expect(first.resources).toHaveLength(50);
    // One that comes meanwhile shifts nothing.
    endedJob(server.home, "late");
    const listed = [
      ...first.resources,
      ...(await server.client.listResources({ cursor: first.nextCursor })).resources,
    ].map(({ name }) => name);
    expect(listed).toHaveLength(new Set(listed).size);
    const all = await listAll(server);
    expect(new Set(all.map((one) => one.uri)).size).toBe(all.length);
    const names = all.map(({ name }) => name);
    expect(names[0]).toBe("late");
    expect(names.filter((name) => name.startsWith("job"))).toHaveLength(99);
    for (const name of Object.keys({ ...MANIFEST.actions, ...MANIFEST.tools })) {
      expect(names).toContain(`schema-${name}`);
    }
    for (const { uri: address } of all.slice(0, 3)) await read(server, address);
    expect(all[0]!.uri).toBe(uri("late", "/report"));
  });

  test("a client that has listed is told when a job begins and ends, also another server's", async () => {
    const server = await start();
    const other = await start({ cwd: server.cwd, home: server.home });
    let told = 0;
    server.client.setNotificationHandler(ResourceListChangedNotificationSchema, () => {
      told += 1;
    });
    await server.client.listResources();
    const id = await startForever(other);
    await until("the start is told", () => told > 0);
    expect((await listAll(server)).map((one) => one.uri)).toContain(uri(id));
    const before = told;
    await other.call("job-cancel", { jobId: id });
    await until("the end is told", () => told > before);
    expect((await listAll(server)).map((one) => one.uri)).toContain(uri(id, "/report"));
  });

  test("the templates say what there is", async () => {
    const server = await start();
    const { resourceTemplates } = await server.client.listResourceTemplates();
    expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toEqual([
      "ml-executor://jobs/{id}",
      "ml-executor://jobs/{id}/report",
      "ml-executor://jobs/{id}/metrics",
      "ml-executor://jobs/{id}/logs/{stream}",
      "ml-executor://jobs/{id}/artifacts/{name}",
      "ml-executor://schema/{action}",
    ]);
    for (const one of resourceTemplates) {
      expect(one.title).toBeTruthy();
      expect(one.description).toBeTruthy();
    }
  });
});

describe("subscribing", () => {
  test("a training's progress, then its report; nothing after unsubscribing", async () => {
    const server = await start();
    const told = updates(server);
    const id = await startForever(server);
    for (const rest of ["", "/metrics", "/report"]) {
      await server.client.subscribeResource({ uri: uri(id, rest) });
    }
    const count = (rest: string) => told.filter((one) => one === uri(id, rest)).length;
    await until("its progress is told", () => count("") > 1 && count("/metrics") > 1, PATIENCE);
    expect(count("/report")).toBe(0);
    await server.client.unsubscribeResource({ uri: uri(id, "/metrics") });
    const before = count("/metrics");
    const state = count("");
    await until("its progress is told again", () => count("") > state + 1);
    expect(count("/metrics")).toBe(before);
    await server.call("job-cancel", { jobId: id });
    await until("its report is told", () => count("/report") > 0);
    expect((await readJson(server, uri(id, "/report"))).error.type).toBe("cancelled");
    // What it was when its report came: told, though little time had passed since the last time.
    await until(
      "its last state is told",
      () => told.lastIndexOf(uri(id)) >= told.indexOf(uri(id, "/report")) - 1,
    );
  });

  test("a job of another server, and one whose supervisor was killed", async () => {
    const server = await start();
    const other = await start({ cwd: server.cwd, home: server.home });
    const told = updates(server);
    const id = await startForever(other);
    await server.client.subscribeResource({ uri: uri(id) });
    await server.client.subscribeResource({ uri: uri(id, "/report") });
    await until(
      "its progress is told",
      () => told.filter((one) => one === uri(id)).length > 1,
      PATIENCE,
    );
    const events = readFileSync(join(server.home, "jobs", id, "events.ndjson"), "utf8");
    const { supervisorPid } = JSON.parse(events.split("\n")[0]!);
    await other.close();
    process.kill(supervisorPid, "SIGKILL");
    await until("its report is told", () => told.includes(uri(id, "/report")));
    expect((await readJson(server, uri(id, "/report"))).error.type).toBe("runner-crashed");
  });

  test("what a job prints while it runs", async () => {
    const server = await start();
    writeFileSync(
      join(server.cwd, "own.py"),
      "import time\nfrom sklearn.tree import DecisionTreeClassifier\n" +
        "class Slow(DecisionTreeClassifier):\n    def fit(self, X, y, **k):\n" +
        "        while True:\n            print('tick', flush=True)\n            time.sleep(0.1)\n",
    );
    const told = updates(server);
    const config = { modelScript: "own.py", modelClass: "Slow", dataPath: data("wine.csv") };
    const { structuredContent } = await server.call("train", {
      framework: "sklearn",
      config: { ...config, targetColumn: "target" },
      waitSeconds: 0,
    });
    const { id } = (structuredContent as any).job;
    await server.client.subscribeResource({ uri: uri(id, "/logs/stdout") });
    await until("its output is told", () => told.length > 1, PATIENCE);
    expect((await read(server, uri(id, "/logs/stdout"))).text).toMatch(/^tick\n/);
    expect(new Set(told)).toEqual(new Set([uri(id, "/logs/stdout")]));
    await server.call("job-cancel", { jobId: id });
  });
});
