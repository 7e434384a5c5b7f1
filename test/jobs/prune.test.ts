import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
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
