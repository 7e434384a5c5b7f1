import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { BINARY, data, ROOT, serverEnvironment, until } from "./client.js";

/** The binary as a person runs it, without a terminal. */
class Shell {
  readonly directory = mkdtempSync(join(tmpdir(), "mlx-cli-"));

  constructor() {
    onTestFinished(() => rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 }));
  }

  start(...args: string[]) {
    return this.#spawn(process.execPath, [BINARY, ...args]);
  }

  /** The runner without Node.js. */
  async runPython(args: string[], stdin = "") {
    const { child, ended } = this.#spawn(inject("python"), ["-m", "ml_runner", ...args]);
    child.stdin?.end(stdin);
    return await ended;
  }

  #spawn(command: string, args: string[]) {
    const child = spawn(command, args, {
      cwd: this.directory,
      env: serverEnvironment(join(this.directory, "state"), { PYTHONPATH: join(ROOT, "runners") }),
      stdio: ["pipe", "pipe", "pipe"],
    });
    const output = { stdout: "", stderr: "" };
    child.stdout.on("data", (chunk) => (output.stdout += chunk));
    child.stderr.on("data", (chunk) => (output.stderr += chunk));
    const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>(
      (resolve) => {
        child.once("close", (code) => resolve({ code, ...output }));
      },
    );
    return { child: child as ChildProcess, output, ended };
  }

  async run(args: string[], stdin = "") {
    const { child, ended } = this.start(...args);
    child.stdin?.end(stdin);
    return await ended;
  }

  write(name: string, value: unknown): void {
    writeFileSync(join(this.directory, name), JSON.stringify(value));
  }
}

const forest = (trees: number) => ({
  action: "train",
  framework: "sklearn",
  config: {
    algorithm: "RandomForestClassifier",
    hyperparameters: { n_estimators: trees, max_depth: 2 },
    dataPath: data("iris.csv"),
    targetColumn: "species",
  },
  outputDir: "model",
});

test("run prints the report alone on stdout, its course on stderr, and exits with its code", async () => {
  const shell = new Shell();
  shell.write("request.json", forest(20));
  const { code, stdout, stderr } = await shell.run(["run", "request.json"]);
  expect(code).toBe(0);
  const { executionReport } = JSON.parse(stdout);
  expect(executionReport).toMatchObject({ action: "train", status: "success", outputDir: "model" });
  expect(stderr).toMatch(/^train: training$/m);

  const listed = JSON.parse((await shell.run(["jobs", "--json"])).stdout);
  expect(listed.jobs).toMatchObject([{ action: "train", state: "succeeded", exitCode: 0 }]);
  const { id } = listed.jobs[0];
  const table = (await shell.run(["jobs"])).stdout;
  expect(table).toMatch(new RegExp(`^${id} +succeeded +train +sklearn`, "m"));
  const shown = JSON.parse((await shell.run(["jobs", "show", id.slice(0, 6), "--json"])).stdout);
  expect(shown.answer.executionReport).toEqual(executionReport);
  expect((await shell.run(["jobs", "show", id])).stdout).toContain(`id         ${id}`);
  const followed = await shell.run(["jobs", "follow", id]);
  expect(followed.code).toBe(0);
  expect(JSON.parse(followed.stdout).executionReport).toEqual(executionReport);
});

test("run takes a request from stdin, and tells what is wrong with one", async () => {
  const shell = new Shell();
  const request = { ...forest(3), framwork: "sklearn" };
  const wrong = await shell.run(["run", "-"], JSON.stringify(request));
  expect(wrong.code).toBe(2);
  expect(JSON.parse(wrong.stdout).error).toMatchObject({ type: "invalid-configuration" });
  expect(wrong.stderr).toContain("framwork");
  expect((await shell.run(["run", "-"], "{")).code).toBe(2);
  expect((await shell.run(["run", "-"], "[]")).code).toBe(2);
  expect((await shell.run(["run", "absent.json"])).stderr).toContain("does not exist");
});

test("a job outlives the run that is told to end, and jobs cancel ends it", async () => {
  const shell = new Shell();
  shell.write("request.json", forest(10_000_000));
  const { child, output, ended } = shell.start("run", "request.json");
  await until("trees grow", () => /tree \d+/.test(output.stderr), 40);
  child.kill("SIGTERM");
  const { code, stderr } = await ended;
  expect(code).toBe(143);
  const id = /Job (\S+) goes on/.exec(stderr)?.[1] ?? "";
  const { jobs } = JSON.parse((await shell.run(["jobs", "--json"])).stdout);
  expect(jobs).toMatchObject([{ id, state: "running" }]);
  const cancelled = await shell.run(["jobs", "cancel", id]);
  expect(cancelled).toMatchObject({ code: 0, stdout: `${id} cancelled\n` });
});

test("usage: help and version on stdout, mistakes on stderr with exit code 2", async () => {
  const shell = new Shell();
  for (const args of [["--help"], ["run", "--help"], ["jobs", "-h"], ["doctor", "--help"]]) {
    const { code, stdout, stderr } = await shell.run(args);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("usage: ml-executor");
  }
  expect((await shell.run(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  const wrong = await shell.run(["jobs", "--frobnicate"]);
  expect(wrong).toMatchObject({ code: 2, stdout: "" });
  expect(wrong.stderr).toContain("--frobnicate");
  const absent = await shell.run(["jobs", "show", "nonesuch"]);
  expect(absent.code).toBe(2);
  expect(absent.stderr).toContain("There is no job 'nonesuch'");
});

test("a line a step is told, and Ctrl-C cancels the job", async () => {
  const shell = new Shell();
  shell.write("request.json", forest(10_000_000));
  const { child, output, ended } = shell.start("run", "request.json");
  await until("trees grow", () => /tree \d+\/10000000/.test(output.stderr), 40);
  child.kill("SIGINT");
  const { code, stdout } = await ended;
  expect(code).toBe(130);
  expect(JSON.parse(stdout).error).toMatchObject({ type: "cancelled", exitCode: 130 });
});

test("who follows a job sees its end, and exits with its code", async () => {
  const shell = new Shell();
  shell.write("request.json", forest(10_000_000));
  const { output, ended } = shell.start("run", "request.json");
  await until("trees grow", () => /tree \d+/.test(output.stderr), 40);
  const { id } = JSON.parse((await shell.run(["jobs", "--json"])).stdout).jobs[0];
  const follower = shell.start("jobs", "follow", id);
  await until("it follows", () => /tree \d+/.test(follower.output.stderr), 40);
  expect((await shell.run(["jobs", "logs", id])).code).toBe(0);
  expect((await shell.run(["jobs", "cancel", id])).code).toBe(0);
  expect([(await follower.ended).code, (await ended).code]).toEqual([130, 130]);
});

describe("without Node.js", () => {
  test("`python -m ml_runner run` gives the same report", async () => {
    const shell = new Shell();
    const { outputDir: _, ...request } = forest(20);
    shell.write("request.json", {
      ...request,
      config: { ...request.config, crossValidation: { folds: 3 } },
    });
    const [ours, theirs] = await Promise.all([
      shell.run(["run", "request.json"]),
      shell.runPython(["run", "request.json"]),
    ]);
    expect([ours.code, theirs.code]).toEqual([0, 0]);
    const [a, b] = [ours, theirs].map(({ stdout }) => JSON.parse(stdout).executionReport);
    expect(b.metrics).toEqual(a.metrics);
    expect(Object.keys(b)).toEqual(Object.keys(a));
    expect(Object.keys(b.metadata)).toEqual(Object.keys(a.metadata));
  });

  test("it refuses in the same words", async () => {
    const shell = new Shell();
    const wrong = JSON.stringify({
      ...forest(3),
      timeout: "soon",
      config: { epohcs: 3, seed: "one" },
    });
    const ours = await shell.run(["run", "-"], wrong);
    const theirs = await shell.runPython(["run", "-"], wrong);
    expect([ours.code, theirs.code]).toEqual([2, 2]);
    expect(JSON.parse(theirs.stdout)).toEqual(JSON.parse(ours.stdout));
  });
});

test("doctor says which Python a job would use, and what it has", async () => {
  const shell = new Shell();
  const { code, stdout } = await shell.run(["doctor"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/scikit-learn +1\./);
  // A person reads paths below their home with a tilde.
  expect(stdout.replaceAll("~/", `${process.env.HOME}/`)).toContain(inject("python"));
  expect(() => JSON.parse(stdout)).toThrow();
  expect(JSON.stringify(JSON.parse((await shell.run(["doctor", "--json"])).stdout))).toContain(
    inject("python"),
  );
});
