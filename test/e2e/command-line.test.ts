import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, inject, test } from "vitest";
import { BINARY, data, ROOT, serverEnvironment, until } from "./client.js";

const cwd = mkdtempSync(join(tmpdir(), "mlx-cli-"));
const home = join(cwd, "state");
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function start(args: string[], input = "", command = [process.execPath, BINARY]) {
  const [file = "", ...before] = command;
  const child = spawn(file, [...before, ...args], {
    cwd,
    env: { ...serverEnvironment(home), PYTHONPATH: join(ROOT, "runners") },
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => (output.stdout += chunk));
  child.stderr.on("data", (chunk) => (output.stderr += chunk));
  child.stdin.end(input);
  const ended = new Promise<Ended>((resolve) =>
    child.once("close", (code) => resolve({ code, ...output })),
  );
  return { child, output, ended };
}
const cli = (args: string[], input = "") => start(args, input).ended;

const request = (config: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  JSON.stringify({
    action: "train",
    framework: "sklearn",
    config: {
      algorithm: "RandomForestClassifier",
      dataPath: data("digits.csv"),
      targetColumn: "target",
      ...config,
    },
    ...more,
  });

describe("run", () => {
  test("a request from stdin: the report on stdout, a line a step on stderr, exit code 0", async () => {
    const { code, stdout, stderr } = await cli(
      ["run", "-"],
      request({ hyperparameters: { n_estimators: 1500 } }),
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout).executionReport).toMatchObject({ status: "success" });
    expect(stderr).toMatch(/tree \d+\/1500/);
  });

  test("a refusal: the error on stdout, its exit code", async () => {
    const { code, stdout } = await cli(["run", "-"], request({ epohcs: 3 }));
    expect(code).toBe(2);
    expect(JSON.parse(stdout).error).toMatchObject({ type: "invalid-configuration" });
  });

  test("no JSON at all", async () => {
    const { code, stdout, stderr } = await cli(["run", "-"], "{oops");
    expect(code).toBe(2);
    expect(stdout + stderr).toMatch(/JSON/);
  });

  test("Ctrl-C cancels the job", async () => {
    const { child, output, ended } = start(
      ["run", "-"],
      request({ hyperparameters: { n_estimators: 10_000_000, max_depth: 2 } }),
    );
    await until("it trains", () => /tree \d+/.test(output.stderr), 40);
    child.kill("SIGINT");
    const { code, stdout } = await ended;
    expect(code).toBe(130);
    expect(JSON.parse(stdout).error).toMatchObject({ type: "cancelled", exitCode: 130 });
  });

  test("without Node.js: `python -m ml_runner run` gives the same report", async () => {
    const file = join(cwd, "request.json");
    writeFileSync(
      file,
      request({ hyperparameters: { n_estimators: 20 }, crossValidation: { folds: 3 } }),
    );
    const ours = JSON.parse((await cli(["run", file])).stdout).executionReport;
    const { code, stdout } = await start(["-m", "ml_runner", "run", file], "", [inject("python")])
      .ended;
    expect(code).toBe(0);
    const theirs = JSON.parse(stdout).executionReport;
    expect(theirs.metrics).toEqual(ours.metrics);
    expect(Object.keys(theirs).sort()).toEqual(Object.keys(ours).sort());
    expect(Object.keys(theirs.metadata).sort()).toEqual(Object.keys(ours.metadata).sort());
  });

  test("without Node.js: refused in the same words", async () => {
    const wrong = request({ epohcs: 3, seed: "one" });
    const ours = JSON.parse((await cli(["run", "-"], wrong)).stdout);
    const { code, stdout } = await start(["-m", "ml_runner", "run", "-"], wrong, [inject("python")])
      .ended;
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual(ours);
  });
});

describe("jobs", () => {
  test("list, show, follow, logs and cancel see what was run", async () => {
    const { child, ended } = start(
      ["run", "-"],
      request({ hyperparameters: { n_estimators: 10_000_000, max_depth: 2 } }),
    );
    let id = "";
    await until(
      "it is listed as running",
      async () => {
        const { stdout } = await cli(["jobs", "list", "--json"]);
        const jobs = JSON.parse(stdout).jobs ?? JSON.parse(stdout);
        id = jobs.find(({ state }: { state: string }) => state === "running")?.id ?? "";
        return id !== "";
      },
      40,
    );
    expect((await cli(["jobs"])).stdout).toContain(id);
    expect((await cli(["jobs", "show", id])).stdout).toMatch(/train/);
    expect((await cli(["jobs", "logs", id])).code).toBe(0);
    const follower = start(["jobs", "follow", id]);
    const { code } = await cli(["jobs", "cancel", id]);
    expect(code).toBe(0);
    expect((await follower.ended).code).toBe(130);
    expect((await ended).code).toBe(130);
    expect(child.killed).toBe(false);
  });

  test("an id that is not there", async () => {
    const { code, stdout, stderr } = await cli(["jobs", "show", "nonsense"]);
    expect(code).toBe(2);
    expect(stdout + stderr).toMatch(/no job 'nonsense'/);
  });
});

describe("the command line itself", () => {
  test.each([
    ["--help"],
    ["run", "--help"],
    ["jobs", "--help"],
    ["doctor", "--help"],
    ["setup", "--help"],
  ])("%s %s", async (...args) => {
    const { code, stdout } = await cli(args.filter(Boolean));
    expect(code).toBe(0);
    expect(stdout).toMatch(/ml-executor/);
  });
  test("--version", async () => {
    expect((await cli(["--version"])).stdout).toMatch(/\d+\.\d+\.\d+/);
  });
  test("an unknown option", async () => {
    const { code, stdout, stderr } = await cli(["serve", "--prot", "1"]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/--prot/);
  });
  test("doctor says which Python a job would use, and what it has", async () => {
    const { code, stdout } = await cli(["doctor"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/scikit-learn\s+1\./);
    expect(stdout).toMatch(/XGBoost/);
    const { stdout: json } = await cli(["doctor", "--json"]);
    expect(() => JSON.parse(json)).not.toThrow();
  });
});
