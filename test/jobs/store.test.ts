import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Answer } from "../../src/contract/index.js";
import { Store } from "../../src/jobs/store.js";
import { jobRequest, temporaryDirectory } from "../support.js";

const answer = { error: { type: "cancelled", message: "", exitCode: 130, solution: "" } } as Answer;

describe("a new job", () => {
  test("is a directory of its own with its request, for this user alone", async () => {
    const home = join(temporaryDirectory(), "state");
    const store = new Store(home);
    const made = await store.create((id) => jobRequest(id));
    expect(await store.read(made.id)).toEqual(made);
    expect(readdirSync(store.directory(made.id))).toEqual(["request.json"]);
    expect(statSync(home).mode & 0o777).toBe(0o700);
    expect(statSync(store.directory(made.id)).mode & 0o777).toBe(0o700);
  });

  test("is not found under a name that leads elsewhere", async () => {
    const store = new Store(temporaryDirectory());
    for (const id of ["..", "../jobs", "a/b", "", "x".repeat(65), "absent"]) {
      expect(await store.read(id)).toBeNull();
    }
  });
});

describe("a caller's own id", () => {
  const key = { principal: null, requestId: "once" };

  test("makes one job, however many ask at once", async () => {
    const home = temporaryDirectory();
    const stores = Array.from({ length: 8 }, () => new Store(home));
    const made = await Promise.all(
      stores.map((store) => store.createOnce(key, (id) => jobRequest(id, { requestId: "once" }))),
    );
    expect(new Set(made.map(({ request }) => request.id)).size).toBe(1);
    expect(made.filter((one) => one.made)).toHaveLength(1);
    expect(readdirSync(join(home, "jobs"))).toHaveLength(1);
    expect(readdirSync(join(home, "requests"))).toHaveLength(1);
  });

  test("is another one for another principal", async () => {
    const store = new Store(temporaryDirectory());
    const ours = await store.createOnce(key, (id) => jobRequest(id));
    const theirs = await store.createOnce({ ...key, principal: "them" }, (id) => jobRequest(id));
    expect(theirs.request.id).not.toBe(ours.request.id);
  });

  test("survives a caller that died between directory and request", async () => {
    const home = temporaryDirectory();
    const store = new Store(home);
    const first = await store.createOnce(key, (id) => jobRequest(id));
    const { rm } = await import("node:fs/promises");
    await rm(join(store.directory(first.request.id), "request.json"));
    const second = await new Store(home).createOnce(key, (id) => jobRequest(id));
    expect(second).toMatchObject({ made: true, request: { id: first.request.id } });
  });

  test("is free again once its job was removed", async () => {
    const store = new Store(temporaryDirectory());
    const first = await store.createOnce(key, (id) => jobRequest(id, { requestId: "once" }));
    await store.remove(first.request.id);
    const second = await store.createOnce(key, (id) => jobRequest(id, { requestId: "once" }));
    expect(second.made).toBe(true);
    expect(second.request.id).not.toBe(first.request.id);
  });
});

describe("an answer of the server's own", () => {
  test("never replaces one that is there", async () => {
    const store = new Store(temporaryDirectory());
    const { id } = await store.create((made) => jobRequest(made));
    expect(await store.report(id)).toBeNull();
    await store.answer(id, answer);
    await store.answer(id, { error: { ...answer, type: "internal-error" } } as unknown as Answer);
    expect(await store.report(id)).toEqual(answer);
    expect(await store.ended(id)).toBe(true);
  });
});

test("the latest jobs come first; a directory without a request is none", async () => {
  const store = new Store(temporaryDirectory());
  const ids: string[] = [];
  for (let count = 0; count < 3; count += 1) {
    ids.unshift((await store.create((id) => jobRequest(id))).id);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  mkdirSync(store.directory("unfinished"));
  expect((await store.latest()).map(({ id }) => id)).toEqual(ids);
  expect(await new Store(join(temporaryDirectory(), "none")).latest()).toEqual([]);
});

test("the end of a log begins with a whole character", async () => {
  const store = new Store(temporaryDirectory());
  const { id } = await store.create((made) => jobRequest(made));
  expect(await store.tail(id, "stdout.log", 10)).toBe("");
  writeFileSync(join(store.directory(id), "stdout.log"), "aé€b");
  expect(await store.tail(id, "stdout.log", 100)).toBe("aé€b");
  expect(await store.tail(id, "stdout.log", 3)).toBe("b");
  expect(await store.tail(id, "stdout.log", 4)).toBe("€b");
});
