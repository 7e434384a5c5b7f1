import { existsSync, readlinkSync, type Stats, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../config.js";
import { ExecutorError } from "../contract/errors.js";
import { FRAMEWORKS, type Framework, frameworkRow } from "../contract/frameworks.js";
import { condaPrefix, condaPrefixes } from "./conda.js";
import { installCommand } from "./install-command.js";
import {
  atLeast,
  type EnvironmentKind,
  environmentAt,
  hasFramework,
  type Interpreter,
  interpreterAt,
  OLDEST_PYTHON,
  realPath,
} from "./interpreters.js";
import { managedEnvironments, setupCommand } from "./managed.js";

/** The Python that a job runs in, and why it was this one. */
export interface ChosenPython {
  readonly executable: string;
  readonly version: string;
  readonly kind: EnvironmentKind;
  readonly prefix: string;
  readonly why: string;
  readonly warnings: readonly string[];
}

export interface Wish {
  /** The call's own: an interpreter, an environment's directory, or `conda:NAME`. */
  readonly pythonEnv?: string | undefined;
  /** The interpreter of the run that the call goes on with. */
  readonly continued?: string | undefined;
  /** A framework's name or alias; null where it is not known yet. */
  readonly framework: string | null;
  /** The directory that relative paths are taken from, and that may hold a `.venv`. */
  readonly cwd: string;
  /** Directories that the call is bound to; an environment elsewhere is one that `environment` shows. */
  readonly roots?: readonly string[] | null;
}

/** An environment that a job might run in, before it is known whether it has what is needed. */
export interface Candidate {
  readonly why: string;
  readonly interpreter: Interpreter;
}

/**
 * Chooses the Python for a job: the call's, that of the run it goes on with, `ML_EXECUTOR_PYTHON`, the active environment, `.venv`, the
 * managed environment. What was only activated, or lies there as `.venv`, is passed over with a warning
 * where it lacks the framework; what was asked for by name never is. Costs well under a millisecond,
 * except for the first time that an interpreter outside any environment is named.
 *
 * @throws ExecutorError `invalid-configuration` where what was named is no Python, or too old a one;
 *   `framework-not-found` where nothing has the framework.
 */
export async function chooseEnvironment(config: Config, wish: Wish): Promise<ChosenPython> {
  const { pythonEnv, continued } = wish;
  if (pythonEnv === undefined && continued !== undefined) {
    const interpreter = await named(config, continued, "pythonEnv", wish.cwd);
    return { ...chosen({ why: "the run that goes on began in it", interpreter }), warnings: [] };
  }
  const explicit = await explicitCandidate(config, pythonEnv, wish.cwd, wish.roots);
  if (explicit) return { ...chosen(explicit), warnings: [] };
  const frameworks = wanted(wish.framework);
  const warnings: string[] = [];
  for (const { why, prefix } of impliedPrefixes(config, wish.cwd)) {
    const interpreter = environmentAt(prefix);
    const lacks = whatItLacks(config, interpreter, frameworks);
    if (interpreter && lacks === null) return { ...chosen({ why, interpreter }), warnings };
    const first = frameworks[0];
    const mend =
      interpreter && first && lacks?.startsWith("has no")
        ? ` To use it: ${installCommand(interpreter, first)}`
        : "";
    warnings.push(`${capitalized(why)} (${prefix}) was passed over: it ${lacks}.${mend}`);
  }
  const managed = managedCandidate(config, frameworks);
  if (managed) return { ...chosen(managed), warnings };
  throw notFound(config, wish, frameworks, warnings);
}

/** What the call or `ML_EXECUTOR_PYTHON` names, or null where neither names anything. */
export async function explicitCandidate(
  config: Config,
  pythonEnv: string | undefined,
  cwd: string,
  roots: readonly string[] | null = null,
): Promise<Candidate | null> {
  if (pythonEnv !== undefined) {
    if (roots) refuseOutside(config, pythonEnv, cwd, roots);
    return {
      why: "pythonEnv of the call",
      interpreter: await named(config, pythonEnv, "pythonEnv", cwd),
    };
  }
  if (config.python === null) return null;
  const interpreter = await named(config, config.python, "ML_EXECUTOR_PYTHON", config.cwd);
  return { why: "ML_EXECUTOR_PYTHON", interpreter };
}

/** Prefixes that nobody named for this call, in the order in which they are tried. */
export function impliedPrefixes(config: Config, cwd: string): { why: string; prefix: string }[] {
  const { VIRTUAL_ENV, CONDA_PREFIX } = config.environment;
  const all = [
    VIRTUAL_ENV && { why: "the active virtual environment", prefix: VIRTUAL_ENV },
    CONDA_PREFIX && { why: "the active conda environment", prefix: CONDA_PREFIX },
    isDirectory(join(cwd, ".venv")) && {
      why: ".venv in the working directory",
      prefix: join(cwd, ".venv"),
    },
  ].filter((one) => typeof one === "object");
  return all.filter((one, index) => all.findIndex(({ prefix }) => prefix === one.prefix) === index);
}

/** The managed environment that has the layer, or null. */
export function managedCandidate(
  config: Config,
  frameworks: readonly Framework[],
): Candidate | null {
  for (const { interpreter, layers } of managedEnvironments(config)) {
    if (frameworks.some(({ layer }) => layers.has(layer))) {
      return { why: "the managed environment", interpreter };
    }
  }
  return null;
}

function chosen({ why, interpreter }: Candidate) {
  const { executable, version, kind, prefix } = interpreter;
  return { executable, version, kind, prefix, why };
}

function wanted(framework: string | null): readonly Framework[] {
  if (framework === null || framework === "auto") return FRAMEWORKS;
  const row = frameworkRow(framework);
  if (!row) throw new Error(`there is no framework '${framework}'`);
  return [row];
}

function whatItLacks(
  config: Config,
  interpreter: Interpreter | null,
  frameworks: readonly Framework[],
): string | null {
  if (!interpreter) return "holds no Python environment";
  if (!atLeast(interpreter.version, OLDEST_PYTHON)) {
    return `has Python ${interpreter.version}, and ${OLDEST_PYTHON} is the oldest that works`;
  }
  const path = config.environment.PYTHONPATH?.split(":").filter(Boolean) ?? [];
  if (frameworks.some((framework) => hasFramework(interpreter, framework, path))) return null;
  return `has no ${titles(frameworks)}`;
}

async function named(
  config: Config,
  value: string,
  key: string,
  cwd: string,
): Promise<Interpreter> {
  const found = await locate(config, value, key, cwd);
  if (!atLeast(found.version, OLDEST_PYTHON)) {
    throw ExecutorError.invalidConfiguration(
      `${key} '${value}' is Python ${found.version}; ML Executor needs ${OLDEST_PYTHON} or newer`,
      {
        solution: `Name an environment with Python ${OLDEST_PYTHON} or newer, or leave ${key} out.`,
        metadata: { key, sent: value, version: found.version, executable: found.executable },
      },
    );
  }
  return found;
}

async function locate(
  config: Config,
  value: string,
  key: string,
  cwd: string,
): Promise<Interpreter> {
  if (value.startsWith("conda:")) return locateConda(config, value, key);
  const path = absolute(config, value, cwd);
  if (!value.startsWith("~") && !value.startsWith("/") && cwd === "/") {
    throw refusal(
      key,
      value,
      `${key} is the relative path '${value}', and this server was started in '/'`,
    );
  }
  const status = statusOf(path);
  if (!status) {
    const link = linkAt(path);
    const what = link === null ? "does not exist" : `is a link to '${link}', which does not exist`;
    throw refusal(key, value, `${key} '${path}' ${what}`);
  }
  if (typeof status === "string") throw refusal(key, value, `${key} '${path}': ${status}`);
  if (!status.isDirectory()) {
    const found = await interpreterAt(path);
    if (!("problem" in found)) return found;
    const problem = `is not a Python interpreter that runs: ${found.problem}`;
    throw refusal(key, value, `${key} '${path}' ${problem}`);
  }
  const found = environmentAt(path) ?? (await interpreterIn(path));
  if (!("problem" in found)) return found;
  const problem = `is a directory without a Python environment (${found.problem})`;
  throw refusal(key, value, `${key} '${path}' ${problem}`);
}

/** The interpreter of a conda root, a pyenv version or a Python built by hand, or why there is none. */
async function interpreterIn(directory: string): Promise<Interpreter | { problem: string }> {
  let problem = "no bin/python that runs";
  for (const name of ["python", "python3"]) {
    const executable = join(directory, "bin", name);
    const link = linkAt(executable);
    if (existsSync(executable)) {
      const found = await interpreterAt(executable);
      if (!("problem" in found)) return found;
      problem = `no bin/python that runs: ${found.problem}`;
    } else if (link !== null) {
      // Upgrading the system's Python, or removing a version, leaves its environments like this.
      problem = `its bin/${name} leads to '${link}', which is gone: make it anew`;
    }
  }
  return { problem };
}

/** Refuses to start what lies outside the roots, unless the user has it among their environments. */
function refuseOutside(config: Config, sent: string, cwd: string, roots: readonly string[]): void {
  if (sent.startsWith("conda:")) return;
  const path = absolute(config, sent, cwd);
  // Of an interpreter its directory counts: in an environment it is a link to where Python is installed.
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const real = realPath(isDirectory ? path : dirname(path));
  const known = [
    ...impliedPrefixes(config, config.cwd).map(({ prefix }) => prefix),
    ...managedEnvironments(config).map(({ interpreter }) => interpreter.prefix),
    ...condaPrefixes(config),
    ...versionDirectories(config),
  ];
  if ([...roots, ...known].some((directory) => isWithin(realPath(directory), real))) return;
  throw ExecutorError.invalidConfiguration(
    `pythonEnv '${path}' is outside the directories that this server may use`,
    {
      solution:
        "Name an environment inside one of them, or one that the tool environment shows: " +
        `${roots.join(", ") || "there is none"}.`,
      metadata: { key: "pythonEnv", sent, path, allowed: roots },
    },
  );
}

function isWithin(directory: string, path: string): boolean {
  return (
    path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`)
  );
}

function absolute(config: Config, value: string, cwd: string): string {
  const home = value === "~" || value.startsWith("~/");
  return home ? join(config.userHome, value.slice(1)) : resolve(cwd, value);
}

/** Where a link leads whose target is missing; null where there is no link. */
function linkAt(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

async function locateConda(config: Config, value: string, key: string): Promise<Interpreter> {
  const name = value.slice("conda:".length);
  const { prefix, known } = await condaPrefix(config, name);
  const there =
    known.length > 0 ? `there are: ${known.join(", ")}` : "no conda environment was found";
  if (prefix === null) {
    throw refusal(
      key,
      value,
      `${key} names the conda environment '${name}', which does not exist; ${there}`,
      known,
    );
  }
  const found = environmentAt(prefix);
  if (found) return found;
  throw refusal(key, value, `the conda environment '${name}' (${prefix}) has no Python`, known);
}

function refusal(key: string, sent: string, message: string, known?: string[]): ExecutorError {
  return ExecutorError.invalidConfiguration(message, {
    solution: `Send as ${key} an interpreter's path, an environment's directory, or conda:NAME; or leave it out.`,
    metadata: {
      key,
      sent,
      allowed: ["path of an interpreter", "path of an environment", "conda:NAME"],
      ...(known && known.length > 0 && { condaEnvironments: known }),
    },
  });
}

function notFound(
  config: Config,
  wish: Wish,
  frameworks: readonly Framework[],
  passedOver: readonly string[],
): ExecutorError {
  const title = titles(frameworks);
  const single = frameworks.length === 1 ? frameworks[0] : undefined;
  const setup = setupCommand(config, single ? [single.layer] : []);
  const [first] = impliedPrefixes(config, wish.cwd)
    .map(({ prefix }) => environmentAt(prefix))
    .filter((one): one is Interpreter => one !== null && atLeast(one.version, OLDEST_PYTHON));
  const row = single ?? frameworks[0];
  const install = first && row ? installCommand(first, row) : null;
  const own = install
    ? `or into your own environment: ${install}`
    : `or into an environment of your own (pip install ${row?.distributions[0]}), whose path you then send as pythonEnv`;
  return new ExecutorError(
    "framework-not-found",
    `${title} is in no Python environment that this call may use: there is no managed environment with it` +
      (passedOver.length > 0
        ? `. ${passedOver.join(" ")}`
        : ", no active environment and no .venv"),
    {
      solution: `Install it with: ${setup} (pinned versions, in the cache directory); ${own}.`,
      metadata: {
        frameworks: frameworks.map(({ name }) => name),
        setup,
        ...(install && { install }),
        workingDirectory: wish.cwd,
      },
    },
  );
}

function titles(frameworks: readonly Framework[]): string {
  return frameworks.map(({ title }) => title).join(" or ");
}

function isDirectory(path: string): boolean {
  const status = statusOf(path);
  return typeof status === "object" && status.isDirectory();
}

/** What lies there; undefined where nothing does, or why it cannot be told (too long, a loop of links). */
function statusOf(path: string): Stats | string | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    return (error as Error).message;
  }
}

/** Where pyenv and uv keep the Pythons that they have installed. */
export function versionDirectories({ environment, userHome }: Config): [pyenv: string, uv: string] {
  return [
    join(environment.PYENV_ROOT ?? join(userHome, ".pyenv"), "versions"),
    environment.UV_PYTHON_INSTALL_DIR ?? join(userHome, ".local", "share", "uv", "python"),
  ];
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
