import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import type { JobRequest } from "../../src/contract/index.js";
import { prune, pruneLogs } from "../../src/jobs/prune.js";
import { Store } from "../../src/jobs/store.js";
import { jobRequest, temporaryDirectory } from "../support.js";

const HOUR = 3600;

interface Past {
  hoursAgo: number;
  lane?: string;
  ended?: "succeeded" | "failed" | null;
  files?: string[];
}

async function job(
  store: Store,
  { hoursAgo, lane = "cpu", ended = "succeeded", files = [] }: Past,
) {
  const { id } = await store.create((made): JobRequest => jobRequest(made, { lane }));
  for (const file of files) {
    const path = join(store.directory(id), file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "x");
  }
  if (ended === null) return id;
  const report = join(store.directory(id), "report.json");
  writeFileSync(report, ended === "succeeded" ? '{"executionReport": {}}' : '{"error": {}}');
  const then = Date.now() / 1000 - hoursAgo * HOUR;
  utimesSync(report, then, then);
  return id;
}

test("light jobs that succeeded go after an hour, others after 30 days", async () => {
  const store = new Store(temporaryDirectory());
  const gone = [
    await job(store, { hoursAgo: 2, lane: "light" }),
    await job(store, { hoursAgo: 31 * 24 }),
    await job(store, { hoursAgo: 31 * 24, ended: "failed" }),
    await job(store, {
      hoursAgo: 31 * 24,
      files: ["artifacts/plots/roc.png", "artifacts/predictions.json"],
    }),
  ];
  const kept = [
    await job(store, { hoursAgo: 0.5, lane: "light" }),
    await job(store, { hoursAgo: 2, lane: "light", ended: "failed" }),
    await job(store, { hoursAgo: 29 * 24 }),
    await job(store, { hoursAgo: 0, ended: null }),
    await job(store, { hoursAgo: 9999, files: ["artifacts/model.pkl"] }),
    await job(store, { hoursAgo: 9999, files: ["artifacts/deep/weights.unheard-of"] }),
  ];
  expect((await prune(store, Date.now())).sort()).toEqual(gone.sort());
  expect((await store.latest()).map(({ id }) => id).sort()).toEqual(kept.sort());
});

test("what was never a job goes after a day, a damaged one after 30; none that is supervised", async () => {
  const store = new Store(temporaryDirectory());
  await store.make();
  const ruin = (id: string, days: number, request: string | null) => {
    const directory = store.directory(id);
    mkdirSync(directory);
    const path = join(directory, "request.json");
    if (request !== null) writeFileSync(path, request);
    const then = Date.now() / 1000 - days * 24 * HOUR;
    utimesSync(request === null ? directory : path, then, then);
    return id;
  };
  const gone = [
    ruin("empty", 2, null),
    ruin("garbage", 31, "{"),
    ruin("newer", 31, '{"protocol": 9}'),
  ];
  ruin("just-made", 0, null);
  ruin("damaged", 29, "{");
  ruin("supervised", 31, "{");
  const fifo = join(store.directory("supervised"), "control");
  execFileSync("mkfifo", [fifo]);
  const reader = openSync(fifo, constants.O_RDWR);
  mkdirSync(join(store.directory(ruin("with-model", 31, "{")), "artifacts"));
  writeFileSync(join(store.directory("with-model"), "artifacts/model.pkl"), "x");
  expect((await prune(store, Date.now())).sort()).toEqual(gone.sort());
  closeSync(reader);
});

test("several servers may prune at once, and a job that cannot be removed keeps no other", async () => {
  const home = temporaryDirectory();
  const store = new Store(home);
  const ids: string[] = [];
  for (let count = 0; count < 40; count += 1) ids.push(await job(store, { hoursAgo: 31 * 24 }));
  const kept = await job(store, { hoursAgo: 0 });
  await Promise.all([1, 2, 3, 4].map(() => prune(new Store(home), Date.now())));
  expect((await store.latest()).map(({ id }) => id)).toEqual([kept]);
});

test("a caller's own id is forgotten with its job, and then stands for a new one", async () => {
  const home = temporaryDirectory();
  const store = new Store(home);
  const key = { principal: null, requestId: "mine" };
  const build = (id: string) => jobRequest(id, { requestId: "mine" });
  const first = await store.createOnce(key, build);
  expect((await store.createOnce(key, build)).made).toBe(false);
  // A server that restarts knows it as well.
  expect((await new Store(home).createOnce(key, build)).request.id).toBe(first.request.id);
  await store.remove(first.request.id);
  expect(readdirSync(join(home, "requests"))).toEqual([]);
  const second = await store.createOnce(key, build);
  expect(second.made).toBe(true);
  expect(second.request.id).not.toBe(first.request.id);
  // Where a crash took the job alone, the entry goes once it is old.
  rmSync(store.directory(second.request.id), { recursive: true });
  await store.callerIds.forgetOrphans(Date.now() - 1000 * HOUR);
  expect(readdirSync(join(home, "requests"))).toHaveLength(1);
  await store.callerIds.forgetOrphans(Date.now() + 1000);
  expect(readdirSync(join(home, "requests"))).toEqual([]);
});

test("beyond a thousand the oldest go, but none that has just ended", async () => {
  const store = new Store(temporaryDirectory());
  const oldest = await job(store, { hoursAgo: 5 });
  const fresh = await job(store, { hoursAgo: 0 });
  for (const [index, id] of [oldest, fresh].entries()) {
    const then = Date.now() / 1000 - 99_999 + index;
    utimesSync(join(store.directory(id), "request.json"), then, then);
  }
  for (let count = 0; count < 1000; count += 1) await job(store, { hoursAgo: 2 });
  expect(await prune(store, Date.now())).toEqual([oldest]);
});

test("logs go after a week", async () => {
  const directory = temporaryDirectory();
  for (const [name, days] of [
    ["old.log", 8],
    ["new.log", 6],
  ] as const) {
    writeFileSync(join(directory, name), "x");
    const then = Date.now() / 1000 - days * 24 * HOUR;
    utimesSync(join(directory, name), then, then);
  }
  await pruneLogs(directory, Date.now());
  expect(readdirSync(directory)).toEqual(["new.log"]);
  await pruneLogs(join(directory, "absent"), Date.now());
});
