import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { type Config, readConfig } from "../../src/config.js";
import { ExecutorError } from "../../src/contract/errors.js";
import { chooseEnvironment } from "../../src/runners/environments.js";
import { inspectEnvironments } from "../../src/runners/inspect.js";
import { summarize } from "../../src/runners/inspection-summary.js";
import { managedEnvironments } from "../../src/runners/managed.js";

const python = inject("python");
let directory: string;
let bare: string;
let full: string;
let conda: string;
let emptyCache: string;
let managedCache: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "mlx-environments-"));
  bare = venv("bare");
  full = venv("full");
  // A path file is how an environment shares libraries that lie elsewhere.
  const site = print(python, "import sysconfig; print(sysconfig.get_paths()['purelib'])");
  const own = print(
    join(full, "bin", "python"),
    "import sysconfig; print(sysconfig.get_paths()['purelib'])",
  );
  writeFileSync(join(own, "shared.pth"), `${site}\n`);
  conda = condaLike("miniconda3");
  emptyCache = join(directory, "empty-cache");
  managedCache = process.env.ML_EXECUTOR_CACHE ?? "";
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function venv(name: string): string {
  const path = join(directory, name);
  execFileSync(python, ["-m", "venv", "--without-pip", path]);
  return path;
}

/** A prefix as conda makes it: the interpreter itself in bin/, its records in conda-meta/. */
function condaLike(name: string): string {
  const prefix = join(directory, "home", name);
  const parts = ["bin", "conda-meta", "lib/python3.11/site-packages"];
  // The root alone has conda's command for shells.
  for (const part of name.includes("/envs/") ? parts : [...parts, "condabin"]) {
    mkdirSync(join(prefix, part), { recursive: true });
  }
  writeFileSync(join(prefix, "conda-meta", "python-3.11.9-h955ad1f_0.json"), "{}");
  symlinkSync(
    print(python, "import sys; print(sys._base_executable)"),
    join(prefix, "bin", "python"),
  );
  return prefix;
}

function print(executable: string, code: string): string {
  return execFileSync(executable, ["-c", code], { encoding: "utf8" }).trim();
}

function config(variables: Record<string, string> = {}, cwd = directory): Config {
  const environment = {
    PATH: process.env.PATH,
    HOME: join(directory, "home"),
    ML_EXECUTOR_HOME: join(directory, "state"),
    ML_EXECUTOR_CACHE: emptyCache,
    ...variables,
  };
  return readConfig(["doctor"], environment, cwd).config;
}

function choose(settings: Config, pythonEnv?: string, framework = "sklearn") {
  return chooseEnvironment(settings, { pythonEnv, framework, cwd: settings.cwd });
}

async function refusal(work: Promise<unknown>) {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ExecutorError)) throw error ?? new Error("it was not refused");
  return error.shape;
}

describe("the order", () => {
  it("takes the call's pythonEnv before everything else", async () => {
    const settings = config({ ML_EXECUTOR_PYTHON: full, VIRTUAL_ENV: full });
    const chosen = await choose(settings, bare);
    expect(chosen).toMatchObject({
      executable: join(bare, "bin", "python"),
      kind: "venv",
      prefix: bare,
    });
    expect(chosen.why).toContain("pythonEnv");
    expect(chosen.warnings).toEqual([]);
  });

  it("takes ML_EXECUTOR_PYTHON before what is active, though it lacks the framework", async () => {
    const chosen = await choose(config({ ML_EXECUTOR_PYTHON: bare, VIRTUAL_ENV: full }));
    expect(chosen.prefix).toBe(bare);
    expect(chosen.why).toContain("ML_EXECUTOR_PYTHON");
  });

  it("takes the active environment before .venv", async () => {
    const project = join(directory, "project");
    mkdirSync(project);
    symlinkSync(bare, join(project, ".venv"));
    const chosen = await choose(config({ VIRTUAL_ENV: full }, project));
    expect(chosen).toMatchObject({ prefix: full, warnings: [] });
    expect(chosen.why).toContain("active");
  });

  it("takes .venv of the working directory", async () => {
    const project = join(directory, "project-2");
    mkdirSync(project);
    symlinkSync(full, join(project, ".venv"));
    const chosen = await choose(config({}, project));
    expect(chosen.executable).toBe(join(project, ".venv", "bin", "python"));
    expect(chosen.why).toContain(".venv");
  });

  it("passes over an active environment without the framework, saying how to mend it", async () => {
    const project = join(directory, "project-3");
    mkdirSync(project);
    symlinkSync(full, join(project, ".venv"));
    const chosen = await choose(config({ CONDA_PREFIX: conda, VIRTUAL_ENV: bare }, project));
    expect(chosen.executable).toBe(join(project, ".venv", "bin", "python"));
    expect(chosen.warnings).toHaveLength(2);
    expect(chosen.warnings[0]).toContain(`(${bare}) was passed over: it has no scikit-learn`);
    expect(chosen.warnings[0]).toContain(
      `${bare}/bin/python -m ensurepip && ${bare}/bin/python -m pip install scikit-learn`,
    );
    expect(chosen.warnings[1]).toContain(`conda install -p ${conda} -c conda-forge scikit-learn`);
  });

  it("passes over an active environment that is no more", async () => {
    const chosen = await choose(
      config({ VIRTUAL_ENV: join(directory, "gone"), CONDA_PREFIX: full }),
    );
    expect(chosen.prefix).toBe(full);
    expect(chosen.warnings[0]).toContain("gone");
  });

  it.runIf(managedEnvironments(readConfig(["doctor"]).config).length > 0)(
    "takes the managed environment last",
    async () => {
      const cache = readConfig(["doctor"]).config.cache;
      const chosen = await choose(
        config({ VIRTUAL_ENV: bare, ML_EXECUTOR_CACHE: managedCache || cache }),
      );
      expect(chosen.kind).toBe("managed");
      expect(chosen.warnings[0]).toContain("passed over");
    },
  );

  it("sees a framework as soon as it is installed", async () => {
    const growing = venv("growing");
    const settings = config({ VIRTUAL_ENV: growing, CONDA_PREFIX: full });
    expect((await choose(settings)).prefix).toBe(full);
    const minor = print(python, "import sys; print('%d.%d' % sys.version_info[:2])");
    const site = join(growing, "lib", `python${minor}`, "site-packages");
    mkdirSync(join(site, "__editable__scikit_learn"));
    mkdirSync(join(site, "scikit_learn-1.9.1.dist-info"));
    expect((await choose(settings)).prefix).toBe(growing);
  });
});

describe("what is named", () => {
  it("is an interpreter, an environment's directory, relative or not", async () => {
    const settings = config();
    const expected = join(bare, "bin", "python");
    for (const name of ["bare", bare, "bare/bin/python", `${bare}/bin/python`]) {
      expect((await choose(settings, name)).executable).toBe(expected);
    }
  });

  it("is an interpreter outside any environment", async () => {
    const base = print(python, "import sys; print(sys._base_executable)");
    const chosen = await choose(config(), base);
    expect(chosen.executable).toBe(base);
    expect(chosen.version).toBe(print(base, "import platform; print(platform.python_version())"));
  });

  it("is a conda environment by its name", async () => {
    const other = condaLike("miniconda3/envs/research");
    expect(await choose(config(), "conda:research")).toMatchObject({
      prefix: other,
      kind: "conda",
      version: "3.11.9",
    });
    expect((await choose(config(), "conda:base")).prefix).toBe(conda);
    const refused = await refusal(choose(config(), "conda:reserch"));
    expect(refused.type).toBe("invalid-configuration");
    expect(refused.message).toContain("reserch");
    expect(refused.message).toContain("research");
  });

  it("is refused where it is no Python", async () => {
    writeFileSync(join(directory, "notes.txt"), "no interpreter\n");
    mkdirSync(join(directory, "folder"), { recursive: true });
    const cases = {
      nowhere: "does not exist",
      "notes.txt": "not a Python",
      folder: "no bin/python",
    };
    for (const [name, words] of Object.entries(cases)) {
      const refused = await refusal(choose(config(), name));
      expect(refused.type).toBe("invalid-configuration");
      expect(refused.message).toContain(join(directory, name));
      expect(refused.message).toContain(words);
      expect(refused.metadata).toMatchObject({ key: "pythonEnv", sent: name });
    }
    const refused = await refusal(choose(config({ ML_EXECUTOR_PYTHON: "nowhere" })));
    expect(refused.message).toContain("ML_EXECUTOR_PYTHON");
  });

  it("is refused where it is older than the runner can do with", async () => {
    const old = join(directory, "old");
    mkdirSync(join(old, "bin"), { recursive: true });
    symlinkSync(join(bare, "bin", "python"), join(old, "bin", "python"));
    writeFileSync(join(old, "pyvenv.cfg"), "home = /usr/bin\nversion = 3.9.18\n");
    const refused = await refusal(choose(config(), old));
    expect(refused.type).toBe("invalid-configuration");
    expect(refused.message).toContain("3.9.18");
    expect(refused.message).toContain("3.10");
  });
});

describe("nothing that has the framework", () => {
  it("is framework-not-found with the commands that would mend it", async () => {
    const refused = await refusal(choose(config({ VIRTUAL_ENV: bare }), undefined, "xgboost"));
    expect(refused).toMatchObject({ type: "framework-not-found", exitCode: 127 });
    expect(refused.message).toContain("XGBoost");
    expect(refused.message).toContain(bare);
    expect(refused.solution).toMatch(
      /run setup -- --frameworks xgboost|ml-executor setup --frameworks xgboost/,
    );
    expect(refused.solution).toContain(`${bare}/bin/python -m pip install xgboost`);
  });
});

describe("the inspection", () => {
  it("tells of each environment what pip would, and which a job would use", async () => {
    const settings = config({ VIRTUAL_ENV: full, ML_EXECUTOR_CACHE: emptyCache });
    const inspection = await inspectEnvironments(settings);
    const active = inspection.environments.find(({ prefix }) => prefix === full);
    const version = print(python, "import sklearn; print(sklearn.__version__)");
    expect(active?.packages["scikit-learn"]).toBe(version);
    const sklearn = inspection.frameworks.find(({ name }) => name === "sklearn");
    expect(sklearn).toMatchObject({
      version,
      executable: join(full, "bin", "python"),
      install: null,
    });
    expect(inspection.environments.some(({ source }) => source === "python3 on the path")).toBe(
      true,
    );
  });

  it("looks at one environment where that is asked, with the commands for it", async () => {
    const inspection = await inspectEnvironments(config(), bare);
    expect(inspection.environments.map(({ prefix }) => prefix)).toEqual([bare]);
    for (const row of inspection.frameworks) {
      expect(row.version).toBeNull();
      expect(row.install).toContain(join(bare, "bin", "python"));
    }
  });

  it("fits into 2 KB for an agent, whatever there is", async () => {
    const inspection = await inspectEnvironments(config({ VIRTUAL_ENV: full }));
    const many = Array.from({ length: 200 }, (_, index) => ({
      kind: "uv",
      version: "3.12.1",
      path: `/opt/python-${index}`,
      problem: null,
    }));
    const summary = summarize({ ...inspection, others: many });
    expect(Buffer.byteLength(JSON.stringify(summary))).toBeLessThanOrEqual(2048);
    expect(summary.omitted).toContain("others");
    expect(summary.frameworks).toContainEqual(
      expect.objectContaining({ name: "sklearn", python: join(full, "bin", "python") }),
    );
  });
});
