import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { canMount, data, type Options, Server } from "./client.js";

/** A state directory, and output directories, that suffer: full, read-only, vanishing, damaged. */

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
});
async function start(options: Options): Promise<Server> {
  const server = await Server.start(options);
  servers.push(server);
  return server;
}
function folder(): string {
  return mkdtempSync(join(tmpdir(), "mlx-suffering-"));
}

const tree = (more: Record<string, unknown> = {}, config: Record<string, unknown> = {}) => ({
  framework: "sklearn",
  config: {
    algorithm: "DecisionTreeClassifier",
    dataPath: data("iris.csv"),
    targetColumn: "species",
    ...config,
  },
  ...more,
});

/** Trains with a script whose `fit` first does `work` (Python, indented by 8). */
function scripted(server: Server, work: string, more: Record<string, unknown> = {}) {
  const source = `import os, pathlib, shutil
from sklearn.tree import DecisionTreeClassifier
class Model(DecisionTreeClassifier):
    def fit(self, X, y):
        ${work}
        return super().fit(X, y)
`;
  writeFileSync(join(server.cwd, "disturbs.py"), source);
  const { config, ...rest } = tree(more, { modelScript: "disturbs.py", modelClass: "Model" });
  const { algorithm: _, ...kept } = config as Record<string, unknown>;
  return { ...rest, config: kept };
}

const FILL = (path: string) =>
  `import contextlib
        with contextlib.suppress(OSError), open(${JSON.stringify(path)}, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096)) or os.abort()`;

// Where the kernel lets no user mount anything (some containers do not), no disk can be filled that is
// not the machine's own.
describe.runIf(canMount())("a disk of the server's own", () => {
  const SMALL = 'mkdir -p "$HOME_OF_STATE"; mount -t tmpfs -o size=2m none "$HOME_OF_STATE"';

  test("is full from the beginning: the call is refused, and works once there is space", async () => {
    const server = await start({
      mounts: `${SMALL}; head -c 9m /dev/zero > "$HOME_OF_STATE/filler" || true`,
    });
    const error = await server.error("train", tree());
    expect(error).toMatchObject({
      type: "invalid-configuration",
      exitCode: 2,
      metadata: { key: "ML_EXECUTOR_HOME", code: "ENOSPC", path: server.home },
    });
    expect(error.message).toMatch(/full/);
    // What needs no job goes on.
    const described = await server.call("describe", { path: data("iris.csv") });
    expect(described.structuredContent).toHaveProperty("description");
    expect((await server.call("job-list", {})).structuredContent).toEqual({ jobs: [] });
    rmSync(server.inside(join(server.home, "filler")));
    expect((await server.report("train", tree())).status).toBe("success");
  });

  test("fills up while a job runs: its error names the file and the space, and is published", async () => {
    const server = await start({ mounts: SMALL });
    const filler = join(server.home, "filler");
    const error = await server.error("train", scripted(server, FILL(filler)));
    expect(error).toMatchObject({ type: "training-failure", exitCode: 1 });
    expect(error.message).toMatch(/cannot be written: No space left on device \(.* free\)/);
    expect(error.message).toContain(server.home);
    expect(error.metadata?.freeBytes).toBeTypeOf("number");
    const { jobs } = (await server.call("job-list", {})).structuredContent as any;
    expect(jobs).toMatchObject([{ state: "failed", errorType: "training-failure" }]);
    rmSync(server.inside(filler));
    expect((await server.report("train", tree())).status).toBe("success");
  });

  test("is read-only: the call is refused with the reason", async () => {
    const bind = 'mount --bind "$HOME_OF_STATE" "$HOME_OF_STATE"';
    const server = await start({
      mounts: `mkdir -p "$HOME_OF_STATE"; ${bind}; mount -o remount,ro,bind "$HOME_OF_STATE"`,
    });
    for (const call of [tree(), tree({ requestId: "mine" })]) {
      const error = await server.error("train", call);
      expect(error).toMatchObject({ type: "invalid-configuration", exitCode: 2 });
      expect(error.message).toMatch(/read-only/);
      expect(error.solution).toMatch(/ML_EXECUTOR_HOME/);
    }
    expect((await server.call("job-list", {})).structuredContent).toEqual({ jobs: [] });
  });

  test("holds the output, and is too small for the model: nothing half is left there", async () => {
    const cwd = folder();
    const out = join(cwd, "small");
    mkdirSync(out);
    const server = await start({ cwd, mounts: `mount -t tmpfs -o size=256k none '${out}'` });
    const call = tree(
      { outputDir: "small/model" },
      { algorithm: "RandomForestClassifier", hyperparameters: { n_estimators: 400 } },
    );
    const error = await server.error("train", call);
    expect(error).toMatchObject({
      type: "training-failure",
      metadata: { path: join(out, "model/model.pkl") },
    });
    expect(error.message).toMatch(/No space left/);
    expect(error.solution).toMatch(/outputDir/);
    // The failed run holds nothing: a smaller one may have the directory.
    expect((await server.report("train", tree({ outputDir: "small/model" }))).status).toBe(
      "success",
    );
  });
});

describe("an output directory, while the job runs", () => {
  test("vanishes: it is made again", async () => {
    const server = await start({});
    const work = 'shutil.rmtree("out", ignore_errors=True)';
    const report = await server.report("train", scripted(server, work, { outputDir: "out" }));
    for (const path of Object.values(report.artifacts as Record<string, string>))
      expect(existsSync(join(server.cwd, path)), path).toBe(true);
  });

  test("is replaced by a file: the error names what could not be written", async () => {
    const server = await start({});
    const work = 'shutil.rmtree("out"); pathlib.Path("out").write_text("x")';
    const error = await server.error("train", scripted(server, work, { outputDir: "out" }));
    expect(error).toMatchObject({
      type: "training-failure",
      metadata: { path: join(server.cwd, "out/model.pkl") },
    });
    expect(error.solution).toMatch(/replaced while the job ran/);
  });
});

test("damaged jobs: each is told as such, and the rest goes on", async () => {
  const cwd = folder();
  const home = join(cwd, ".state");
  const jobs = join(home, "jobs");
  const ago = Date.now() / 1000 - 7200;
  const damage = (id: string, files: Record<string, string | null>) => {
    mkdirSync(join(jobs, id), { recursive: true });
    for (const [name, content] of Object.entries(files)) {
      if (content === null) mkdirSync(join(jobs, id, name));
      else writeFileSync(join(jobs, id, name), content);
    }
    utimesSync(join(jobs, id), ago, ago);
  };
  damage("empty", {});
  damage("garbage", { "request.json": "\0\0" });
  damage("half", { "request.json": '{"protocol": 1, "id": "ha' });
  damage("directory", { "request.json": null });
  damage("newer", { "request.json": '{"protocol": 2, "id": "newer"}' });
  const server = await start({ cwd, home });
  expect((await server.report("train", tree())).status).toBe("success");
  const good = (await listed(server)).find(({ state }) => state === "succeeded").id;

  const kinds = ["empty", "garbage", "half", "directory", "newer"];
  expect((await listed(server)).map(({ id, state }) => [id, state]).sort()).toEqual(
    [[good, "succeeded"], ...kinds.map((id) => [id, "damaged"])].sort(),
  );
  for (const jobId of kinds) {
    for (const tool of ["job-status", "job-logs", "job-cancel"]) {
      const error = await server.error(tool, { jobId });
      expect(error).toMatchObject({ type: "job-not-found", exitCode: 2 });
      expect(error.metadata?.path).toBe(join(jobs, jobId));
    }
  }

  // A good job whose other files were damaged later.
  writeFileSync(join(jobs, good, "report.json"), '{"executionRep');
  const error = await server.error("job-status", { jobId: good });
  expect(error).toMatchObject({ type: "runner-crashed" });
  expect(error.message).toMatch(/report .* cannot be read/);
  expect(await listed(server)).toHaveLength(6);

  // One that has no end, with garbage for events: it is seen to, and ends.
  const request = JSON.parse(await readRequest(server, good));
  damage("orphan", {
    "request.json": JSON.stringify({ ...request, id: "orphan", createdAt: "2020-01-01T00:00:00Z" }),
    "events.ndjson": 'garbage\n{"seq": 1, "time": 1, "type": "started", "pid": 1}\n\0\0{',
    lock: "",
    control: "no fifo",
    "stop.json": "[]",
  });
  const ended = await server.error("job-status", { jobId: "orphan", waitSeconds: 50 });
  expect(ended).toMatchObject({ type: "runner-crashed" });
  await server.expectUnhurt();
});

async function listed(server: Server): Promise<any[]> {
  return ((await server.call("job-list", { limit: 50 })).structuredContent as any).jobs;
}

async function readRequest(server: Server, id: string): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  return await readFile(join(server.home, "jobs", id, "request.json"), "utf8");
}
