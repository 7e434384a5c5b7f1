import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, describe, expect, inject, test } from "vitest";
import { readConfig } from "../../src/config.js";
import { ExecutorError } from "../../src/contract/errors.js";
import { runBounded } from "../../src/runners/bounded.js";
import { chooseEnvironment } from "../../src/runners/environments.js";
import { inspectEnvironments } from "../../src/runners/inspect.js";
import { SpawnLauncher } from "../../src/runners/launch.js";
import { Zygote } from "../../src/runners/zygote.js";
import { temporaryDirectory, until } from "../support.js";

/** What is no Python, or no longer one: named with the reason, and never waited for without end. */

const folder = mkdtempSync(join(tmpdir(), "mlx-broken-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { config } = readConfig(["doctor"], { HOME: folder, PATH: "/usr/bin:/bin" }, folder);

function file(name: string, content: string, mode = 0o755): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
  return path;
}

async function refusal(pythonEnv: string): Promise<string> {
  try {
    await chooseEnvironment(config, { pythonEnv, framework: "sklearn", cwd: folder });
  } catch (error) {
    if (!(error instanceof ExecutorError)) throw error;
    expect(error.shape).toMatchObject({ type: "invalid-configuration", exitCode: 2 });
    return error.shape.message;
  }
  throw new Error(`${pythonEnv} was taken for a Python`);
}

describe("the reason is named of", () => {
  test("files that are no interpreter", async () => {
    expect(await refusal(file("empty", ""))).toMatch(/ENOEXEC|does not answer|format/);
    expect(await refusal(file("plain.txt", "x", 0o644))).toMatch(/EACCES/);
    expect(await refusal(file("other", "#!/bin/sh\necho something else\n"))).toMatch(
      /does not answer as Python/,
    );
    expect(await refusal(file("fails", "#!/bin/sh\necho no library >&2\nexit 3\n"))).toMatch(
      /no library/,
    );
  });

  test("a directory without an environment, and a link that leads nowhere", async () => {
    mkdirSync(join(folder, "nothing"));
    expect(await refusal("nothing")).toMatch(/no bin\/python/);
    symlinkSync("gone", join(folder, "link"));
    expect(await refusal("link")).toMatch(/link to 'gone'/);
  });

  test("an environment whose base Python was removed", async () => {
    const prefix = join(folder, "orphan");
    mkdirSync(join(prefix, "bin"), { recursive: true });
    writeFileSync(join(prefix, "pyvenv.cfg"), "home = /gone/bin\nversion = 3.11.2\n");
    symlinkSync("/gone/bin/python3.11", join(prefix, "bin/python"));
    expect(await refusal("orphan")).toMatch(/\/gone\/bin\/python3\.11.*make it anew/);
  });

  test("a Python that is too old", async () => {
    const told = JSON.stringify({
      executable: "/old/bin/python2",
      version: "2.7.18",
      prefix: "/old",
      base: "/old",
      path: [],
    });
    expect(await refusal(file("python2", `#!/bin/sh\necho '${told}'\n`))).toMatch(
      /2\.7\.18.*3\.10/,
    );
  });
});

test("a command that hangs is left, with whatever it has started", async () => {
  const pids = join(folder, "pids");
  const hanging = file("hangs", `#!/bin/sh\ntrap '' TERM\nsleep 600 &\necho $! > ${pids}\nwait\n`);
  const { problem } = await runBounded(hanging, [], { cwd: "/", seconds: 0.5 });
  expect(problem).toMatch(/0\.5 seconds/);
  const pid = Number(execFileSync("cat", [pids], { encoding: "utf8" }));
  await until("the sleeper is gone", () => !isAlive(pid));
});

test("an interpreter that hangs is no zygote, and no supervisor", async () => {
  const silent = file("silent", "#!/bin/sh\nexec sleep 600\n");
  const log = pino({ level: "silent" });
  const settings = { ...config, home: join(folder, "state") };
  const zygote = await Zygote.start(settings, silent, "sklearn", log, 0.3);
  await expect(zygote.ready).rejects.toThrow(/SIGKILL/);
  const launcher = new SpawnLauncher(settings, log, 0.3);
  const status = new Promise((resolve) => {
    const signal = new AbortController().signal;
    void launcher.supervise({ executable: silent, framework: "sklearn" }, folder, resolve, signal);
  });
  expect(await status).toBe(-9);
});

test("a command whose child holds its pipes open has ended when it ends", async () => {
  const leaving = file("leaves", "#!/bin/sh\nsleep 600 &\necho $!\n");
  const { stdout, problem } = await runBounded(leaving, [], { cwd: "/", seconds: 30 });
  expect(problem).toBeNull();
  process.kill(Number(stdout), "SIGKILL");
});

describe("found and reported", () => {
  test("environments of every kind, and old ones with the reason", async () => {
    const home = temporaryDirectory();
    const make = (kind: string, directory: string) =>
      execFileSync(inject("python"), ["test/plain/environments.py", kind, directory], {
        encoding: "utf8",
      }).trim();
    const python = {
      venv: make("venv-without-pip", join(home, "project/env")),
      uv: make("uv", join(home, "project/.venv")),
      conda: make("conda", join(home, "miniforge3/envs/research")),
      pyenv: make("pyenv", join(home, ".pyenv")),
    };
    const old = join(home, ".pyenv/versions/3.8.18/bin");
    mkdirSync(old, { recursive: true });
    const settings = readConfig(
      ["doctor"],
      { HOME: home, PATH: "/usr/bin:/bin", ML_EXECUTOR_CACHE: join(home, "cache") },
      join(home, "project"),
    ).config;
    const inspection = await inspectEnvironments(settings);
    const all = [
      ...inspection.environments.map(({ kind, prefix }) => `${kind} ${prefix}`),
      ...inspection.others.map(({ kind, path }) => `${kind} ${path}`),
    ];
    for (const [kind, executable] of Object.entries(python)) {
      expect(all).toContain(`${kind} ${executable.replace(/\/bin\/python$/, "")}`);
    }
    expect(inspection.others.at(-1)).toMatchObject({
      version: "3.8.18",
      problem: expect.stringMatching(/older than 3\.10/),
    });
  });

  test("each lacks a library in its own way: the command is that of its kind", async () => {
    const home = temporaryDirectory();
    const lacking = async (kind: string) => {
      const directory = join(home, kind);
      const args = ["test/plain/environments.py", kind, directory];
      const executable = execFileSync(inject("python"), args, { encoding: "utf8" }).trim();
      const inspection = await inspectEnvironments(config, executable);
      expect(inspection.environments[0]?.problem).toBeNull();
      const prefix = executable.replace(/\/bin\/python$/, "");
      const install = inspection.frameworks[0]?.install ?? "";
      return install.replaceAll(executable, "PYTHON").replaceAll(prefix, "PREFIX");
    };
    expect(await lacking("venv")).toBe("PYTHON -m pip install scikit-learn");
    expect(await lacking("venv-without-pip")).toBe(
      "PYTHON -m ensurepip && PYTHON -m pip install scikit-learn",
    );
    expect(await lacking("uv")).toBe("uv pip install --python PYTHON scikit-learn");
    expect(await lacking("conda")).toBe("conda install -p PREFIX -c conda-forge scikit-learn");
    // This layout's Python has no pip of its own.
    expect(await lacking("pyenv")).toMatch(/PYTHON -m pip install scikit-learn$/);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !execFileSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" }).startsWith(
      "Z",
    );
  } catch {
    return false;
  }
}
