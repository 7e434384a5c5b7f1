import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EventReader } from "../../src/jobs/follow.js";
import { Store } from "../../src/jobs/store.js";
import { jobRequest, temporaryDirectory } from "../support.js";

/** Job directories that a broken disk, a crash or another version has left. */

test("what is wrong with a request is told, and none is taken for a job", async () => {
  const store = new Store(temporaryDirectory());
  await store.make();
  const write = (id: string, request: string | null) => {
    mkdirSync(store.directory(id));
    if (request !== null) writeFileSync(join(store.directory(id), "request.json"), request);
  };
  write("empty", null);
  write("garbage", "\0\0{]");
  write("half", JSON.stringify(jobRequest("half")).slice(0, 60));
  write("another-shape", "[]");
  write("newer", JSON.stringify({ ...jobRequest("newer"), protocol: 99 }));
  mkdirSync(join(store.directory("directory"), "request.json"), { recursive: true });
  const told = {
    empty: /no request\.json/,
    garbage: /damaged \(no JSON\)/,
    half: /damaged/,
    "another-shape": /damaged/,
    newer: /another version \(protocol 99/,
    directory: /EISDIR/,
  };
  for (const [id, words] of Object.entries(told)) {
    expect(await store.read(id)).toBeNull();
    expect(await store.damage(id), id).toMatch(words);
  }
  expect(await store.damage("nothing")).toBeNull();
  const good = await store.create((id) => jobRequest(id));
  expect(await store.damage(good.id)).toBeNull();
});

test("a directory that was made just now is on its way; an old one is told", async () => {
  const store = new Store(temporaryDirectory());
  await store.make();
  mkdirSync(store.directory("young"));
  mkdirSync(store.directory("old"));
  utimesSync(store.directory("old"), 1e9, 1e9);
  writeFileSync(join(store.jobs, "file"), "no directory");
  expect((await store.latest()).map(({ id }) => id)).toEqual(["old"]);
});

test("a report that cannot be read is an error, with the job's other files untouched", async () => {
  const store = new Store(temporaryDirectory());
  for (const content of ["", "{", "[]", '{"executionRep', null]) {
    const { id } = await store.create((made) => jobRequest(made));
    const path = join(store.directory(id), "report.json");
    if (content === null) mkdirSync(path);
    else writeFileSync(path, content);
    expect(await store.ended(id)).toBe(true);
    expect(await store.report(id)).toMatchObject({
      error: { type: "runner-crashed", message: expect.stringContaining(id) },
    });
  }
});

test("events: garbage between lines is passed over; a directory in their place has none", async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "events.ndjson");
  const event = (seq: number) => JSON.stringify({ seq, time: 1, type: "phase", name: `p${seq}` });
  writeFileSync(path, `${event(1)}\n{"seq": 2, "ti\n\0\0\n[1]\n7\n${event(2)}\n{"seq"`);
  expect((await new EventReader(path).read()).map(({ seq }) => seq)).toEqual([1, 2]);
  mkdirSync(join(directory, "other"));
  expect(await new EventReader(join(directory, "other")).read()).toEqual([]);
});
