import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, inject, test } from "vitest";
import { temporaryDirectory } from "../support.js";
import { data, type Options, ROOT, Server } from "./client.js";

/**
 * A job in an environment of each kind, with another one active in the server: what the job and what it
 * starts see. `test/plain/environments.py` says which kinds are real and which are layouts.
 */

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
});
async function start(options: Options = {}): Promise<Server> {
  const server = await Server.start(options);
  servers.push(server);
  return server;
}

function make(kind: string, directory: string, ...more: string[]): string {
  const script = join(ROOT, "test/plain/environments.py");
  const args = [script, kind, directory, ...more];
  return execFileSync(inject("python"), args, { encoding: "utf8" }).trim();
}

const SCRIPT = `
import json, os, pathlib, subprocess, sys
from sklearn.tree import DecisionTreeClassifier
tell = "import sys; print(sys.executable, sys.prefix)"
told = subprocess.run(["python", "-c", tell], capture_output=True, text=True, check=True).stdout
linux = pathlib.Path("/proc/self/environ")
record = {"linked": linux.read_text() if linux.exists() else None}
record = {**record, **os.environ, "own": sys.prefix, "started": told.split()}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(record))
def build_model(config):
    return DecisionTreeClassifier()
`;

const OTHER = {
  PATH: `/other/bin:${process.env.PATH}`,
  VIRTUAL_ENV: "/other",
  PYTHONHOME: "",
  REMOVED: "by conda",
};

/** Trains in `pythonEnv`; what the script saw, and `metadata.python`. */
async function seen(server: Server, pythonEnv: string) {
  const folder = join(server.cwd, "scripts");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "tells.py"), SCRIPT);
  const { metadata } = await server.report("train", {
    framework: "sklearn",
    pythonEnv,
    config: {
      modelScript: "scripts/tells.py",
      dataPath: data("iris.csv"),
      targetColumn: "species",
    },
  });
  const told = JSON.parse(readFileSync(join(folder, "tells.json"), "utf8"));
  return { told, python: metadata.python as Record<string, unknown> };
}

for (const kind of ["venv-without-pip", "uv"]) {
  test(`${kind}: only it is active`, async () => {
    const server = await start({ env: OTHER });
    const python = make(kind, join(server.cwd, "environment"), "--with-libraries");
    const prefix = join(server.cwd, "environment");
    const { told, python: reported } = await seen(server, "environment");
    expect(reported).toMatchObject({
      executable: python,
      kind: kind === "uv" ? "uv" : "venv",
      why: "pythonEnv of the call",
    });
    expect(told).toMatchObject({ own: prefix, VIRTUAL_ENV: prefix, started: [python, prefix] });
    expect(told.PATH.split(":")[0]).toBe(join(prefix, "bin"));
    expect(told.PATH).not.toContain("/other");
    expect(told).not.toHaveProperty("CONDA_PREFIX");
  });
}

for (const method of ["fork", "spawn"]) {
  test(`conda, by ${method}: its variables and scripts act, also on the dynamic linker`, async () => {
    const server = await start({ env: { ...OTHER, ML_EXECUTOR_START_METHOD: method } });
    const prefix = join(server.cwd, "miniforge3/envs/research");
    const python = make("conda", prefix, "--with-libraries");
    const { told, python: reported } = await seen(server, prefix);
    expect(reported).toMatchObject({ executable: python, kind: "conda" });
    expect(told).toMatchObject({
      own: prefix,
      CONDA_PREFIX: prefix,
      CONDA_DEFAULT_ENV: "research",
      ENV_VAR: "of this environment",
      FROM_SCRIPT: join(prefix, "lib"),
      LD_LIBRARY_PATH: join(prefix, "lib"),
      started: [python, prefix],
    });
    for (const name of ["VIRTUAL_ENV", "REMOVED"]) expect(told).not.toHaveProperty(name);
    // What the process was executed with; a variable that is set later comes too late for the linker.
    if (told.linked !== null) expect(told.linked).toContain(`LD_LIBRARY_PATH=${prefix}/lib`);
  });
}

test("conda: a change of its variables is seen by the next job", async () => {
  const server = await start();
  const prefix = join(server.cwd, "miniforge3/envs/research");
  make("conda", prefix, "--with-libraries");
  expect((await seen(server, prefix)).told.ENV_VAR).toBe("of this environment");
  const state = { version: 1, env_vars: { ENV_VAR: "changed" } };
  writeFileSync(join(prefix, "conda-meta/state"), JSON.stringify(state));
  expect((await seen(server, prefix)).told.ENV_VAR).toBe("changed");
});

test("conda by name, and a script of it that fails is told as a warning", async () => {
  const home = join(temporaryDirectory(), "nonexistent");
  const server = await start({ env: { HOME: home } });
  const root = join(server.cwd, "miniforge3");
  const prefix = join(root, "envs/research");
  make("conda", prefix, "--with-libraries");
  writeFileSync(join(prefix, "etc/conda/activate.d/zz.sh"), "exit 1\n");
  const second = await start({ cwd: server.cwd, home: server.home, env: { CONDA_ROOT: root } });
  const report = await second.report("train", {
    framework: "sklearn",
    pythonEnv: "conda:research",
    config: {
      algorithm: "DecisionTreeClassifier",
      dataPath: data("iris.csv"),
      targetColumn: "species",
    },
  });
  expect(JSON.stringify(report.warnings)).toMatch(/activation scripts .*zz\.sh/);
});

test("pyenv: its version is the one that its shims mean", async () => {
  const server = await start({ env: OTHER });
  const python = make("pyenv", join(server.cwd, "pyenv"), "--with-libraries");
  const prefix = python.replace("/bin/python", "");
  const { told, python: reported } = await seen(server, prefix);
  expect(reported).toMatchObject({ kind: "pyenv" });
  expect(told).toMatchObject({
    own: prefix,
    PYENV_VERSION: prefix.split("/").at(-1),
    started: [expect.stringContaining(join(prefix, "bin")), prefix],
  });
  expect(told).not.toHaveProperty("VIRTUAL_ENV");
});

test("each kind lacks a framework in its own words", async () => {
  const server = await start();
  const lacking = async (kind: string) => {
    const python = make(kind, join(server.cwd, kind));
    const prefix = python.replace("/bin/python", "");
    const error = await server.error("train", {
      framework: "sklearn",
      pythonEnv: prefix,
      config: {
        algorithm: "DecisionTreeClassifier",
        dataPath: data("iris.csv"),
        targetColumn: "species",
      },
    });
    expect(error).toMatchObject({ type: "framework-not-found", exitCode: 127 });
    const command = error.metadata?.command as string;
    expect(error.solution).toContain(command);
    return command.replaceAll(python, "PYTHON").replaceAll(prefix, "PREFIX");
  };
  expect(await lacking("venv")).toBe("PYTHON -m pip install scikit-learn pandas");
  expect(await lacking("uv")).toBe("uv pip install --python PYTHON scikit-learn pandas");
  expect(await lacking("conda")).toBe("conda install -p PREFIX -c conda-forge scikit-learn pandas");
  // The layout's Python has no pip of its own.
  expect(await lacking("pyenv")).toBe(
    "PYTHON -m ensurepip && PYTHON -m pip install scikit-learn pandas",
  );
});
