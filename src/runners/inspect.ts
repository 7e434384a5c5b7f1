import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.js";
import { ExecutorError } from "../contract/errors.js";
import { FRAMEWORKS } from "../contract/frameworks.js";
import { condaPrefixes } from "./conda.js";
import {
  chooseEnvironment,
  explicitCandidate,
  impliedPrefixes,
  versionDirectories,
} from "./environments.js";
import { atLeast, environmentAt, interpreterAt, OLDEST_PYTHON, realPath } from "./interpreters.js";
import { managedEnvironments, setupCommand } from "./managed.js";
import { runPython } from "./python.js";

/** What `doctor` and the tool `environment` show: what there is, and which of it a job would use. */
export interface Inspection {
  readonly executor: {
    version: string;
    node: string;
    platform: string;
    home: string;
    cache: string;
  };
  readonly frameworks: readonly FrameworkChoice[];
  readonly environments: readonly InspectedEnvironment[];
  /** What was found beside these: no job uses them unless it names them. The newest first. */
  readonly others: readonly OtherPython[];
  readonly gpus: readonly Gpu[];
  readonly cores: number | null;
}

/** Where a job of a framework would run. */
export interface FrameworkChoice {
  readonly name: string;
  readonly title: string;
  /** The framework's own; null where no job can have it. */
  readonly version: string | null;
  readonly executable: string | null;
  readonly why: string | null;
  readonly warnings: readonly string[];
  /** The command that brings it where it is missing, or a newer one where it is too old. */
  readonly install: string | null;
}

export interface InspectedEnvironment {
  /** By what it was found, such as `the active conda environment`. */
  readonly source: string;
  readonly executable: string;
  readonly kind: string;
  readonly prefix: string;
  readonly version: string;
  readonly packages: Readonly<Record<string, string>>;
  readonly packageCount: number;
  readonly frameworks: readonly FrameworkRow[];
  /** Why nothing more is known of it. */
  readonly problem: string | null;
}

export interface FrameworkRow {
  readonly name: string;
  readonly title: string;
  readonly version: string | null;
  readonly install?: string;
  readonly tooOld?: string;
}

interface OtherPython {
  readonly kind: string;
  readonly version: string;
  readonly path: string;
  /** Why no job can use it; null where one can. */
  readonly problem: string | null;
}

export interface Gpu {
  readonly kind: "cuda" | "rocm" | "mps";
  readonly index: number;
  readonly name: string;
  readonly memoryTotalBytes?: number;
  readonly memoryFreeBytes?: number;
  readonly driver?: string;
}

interface Report {
  executable: string;
  version: string;
  prefix: string;
  kind: string;
  packages: Record<string, string>;
  packageCount: number;
  frameworks: FrameworkRow[];
  gpus: Gpu[];
  cores: number | null;
}

interface Found {
  source: string;
  executable: string;
  kind: string;
  prefix: string;
  version: string;
}

/**
 * Looks at every Python that a job might run in; each one is started, all at once.
 *
 * @param pythonEnv look at this one only
 * @param place where a relative one is taken from, and the directories that it is bound to
 * @throws ExecutorError `invalid-configuration` where `pythonEnv` or `ML_EXECUTOR_PYTHON` is no Python
 */
export async function inspectEnvironments(
  config: Config,
  pythonEnv?: string,
  { baseDir: cwd, roots }: { baseDir: string; roots: readonly string[] | null } = {
    baseDir: config.cwd,
    roots: null,
  },
): Promise<Inspection> {
  const found = await findAll(config, pythonEnv, cwd, roots);
  const looked = await Promise.all(found.map((one) => look(config, one)));
  const environments = looked.map(({ environment }) => environment);
  const report = looked.find((one) => one.report !== null)?.report ?? null;
  return {
    executor: {
      version: packageVersion(config),
      node: process.versions.node,
      platform: `${process.platform} ${process.arch}`,
      home: config.home,
      cache: config.cache,
    },
    frameworks: await Promise.all(
      FRAMEWORKS.map((row) => choice(config, row, environments, { pythonEnv, cwd })),
    ),
    environments,
    others: pythonEnv === undefined ? otherPythons(config, environments) : [],
    gpus: report?.gpus ?? [],
    cores: report?.cores ?? null,
  };
}

async function findAll(
  config: Config,
  pythonEnv: string | undefined,
  cwd: string,
  roots: readonly string[] | null,
): Promise<Found[]> {
  const explicit = await explicitCandidate(config, pythonEnv, cwd, roots);
  const found: Found[] = [];
  const add = (source: string, one: Omit<Found, "source"> | null) => {
    const same = found.some(({ prefix }) => one && realPath(prefix) === realPath(one.prefix));
    if (one && !same) found.push({ ...one, source });
  };
  if (explicit) add(explicit.why, explicit.interpreter);
  if (pythonEnv !== undefined) return found;
  for (const { why, prefix } of impliedPrefixes(config, cwd)) add(why, environmentAt(prefix));
  for (const { interpreter } of managedEnvironments(config))
    add("the managed environment", interpreter);
  add("python3 on the path", await onPath(config, "python3"));
  return found;
}

async function onPath(config: Config, name: string) {
  for (const directory of (config.environment.PATH ?? "").split(":").filter(Boolean)) {
    const executable = join(directory, name);
    if (!existsSync(executable)) continue;
    const found = await interpreterAt(executable);
    if (!("problem" in found)) return found;
  }
  return null;
}

async function look(config: Config, found: Found) {
  const { source, executable, kind, prefix, version } = found;
  const known = { source, executable, kind, prefix, version };
  try {
    const tooOld = oldness(version);
    if (tooOld) throw new Error(tooOld);
    const { ok, stdout, stderr } = await runPython(config, executable, ["environment"], 60);
    if (!ok) throw new Error(stderr?.trim().split("\n").at(-1) || "it ended without a report");
    const report: Report = JSON.parse(stdout);
    const { packages, packageCount, frameworks } = report;
    const environment: InspectedEnvironment = {
      ...known,
      version: report.version,
      packages,
      packageCount,
      frameworks: frameworks.map((row) => forManaged(config, kind, row)),
      problem: null,
    };
    return { environment, report };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    const nothing = { packages: {}, packageCount: 0, frameworks: [], problem };
    return { environment: { ...known, ...nothing } satisfies InspectedEnvironment, report: null };
  }
}

/** The managed environment is extended by our own command, which keeps to the pinned versions. */
function forManaged(config: Config, kind: string, row: FrameworkRow): FrameworkRow {
  const layer = FRAMEWORKS.find(({ name }) => name === row.name)?.layer;
  return kind === "managed" && row.install && layer
    ? { ...row, install: setupCommand(config, [layer]) }
    : row;
}

async function choice(
  config: Config,
  { name, title }: { name: string; title: string },
  environments: readonly InspectedEnvironment[],
  { pythonEnv, cwd }: { pythonEnv: string | undefined; cwd: string },
): Promise<FrameworkChoice> {
  try {
    const { executable, why, warnings } = await chooseEnvironment(config, {
      pythonEnv,
      framework: name,
      cwd,
    });
    const environment = environments.find((one) => one.executable === executable);
    const row = environment?.frameworks.find((one) => one.name === name);
    const { version = null, install = null } = row ?? {};
    return { name, title, version, executable, why, warnings, install };
  } catch (error) {
    if (!(error instanceof ExecutorError)) throw error;
    const { message, metadata, solution } = error.shape;
    const install = typeof metadata?.setup === "string" ? metadata.setup : solution;
    return {
      name,
      title,
      version: null,
      executable: null,
      why: null,
      warnings: [message],
      install,
    };
  }
}

/** What else a call may name: with what is too old last, and why it is of no use. */
function otherPythons(config: Config, shown: readonly InspectedEnvironment[]): OtherPython[] {
  const { environment, userHome } = config;
  const [pyenv, uv] = versionDirectories(config);
  const others = [
    ...virtualEnvironmentsIn(config.cwd),
    ...virtualEnvironmentsIn(environment.WORKON_HOME ?? join(userHome, ".virtualenvs")),
    ...condaPrefixes(config).flatMap((prefix) => environmentIn(prefix)),
    ...versionsIn(pyenv, /^(\d+\.\d+\.\d+)$/).map((one) => ({ kind: "pyenv", ...one })),
    // pyenv-virtualenv keeps its environments among the versions.
    ...virtualEnvironmentsIn(pyenv),
    ...versionsIn(uv, /^cpython-(\d+\.\d+\.\d+)/).map((one) => ({ kind: "uv", ...one })),
  ].map((one) => ({ ...one, problem: oldness(one.version) }));
  const prefixes = new Set(shown.map(({ prefix }) => realPath(prefix)));
  const newestFirst = (one: OtherPython, other: OtherPython) =>
    atLeast(one.version, other.version) ? -1 : 1;
  return others
    .filter(({ path }) => {
      const real = realPath(path);
      return !prefixes.has(real) && prefixes.add(real);
    })
    .sort(newestFirst);
}

function oldness(version: string): string | null {
  return atLeast(version, OLDEST_PYTHON)
    ? null
    : `Python ${version} is older than ${OLDEST_PYTHON}, the oldest that works`;
}

function virtualEnvironmentsIn(directory: string) {
  return namesIn(directory).flatMap((name) => {
    const prefix = join(directory, name);
    return existsSync(join(prefix, "pyvenv.cfg")) ? environmentIn(prefix) : [];
  });
}

function environmentIn(prefix: string) {
  const found = environmentAt(prefix);
  return found ? [{ kind: found.kind as string, version: found.version, path: prefix }] : [];
}

function versionsIn(directory: string, pattern: RegExp): { version: string; path: string }[] {
  const found = new Map<string, { version: string; path: string }>();
  for (const name of namesIn(directory)) {
    const version = pattern.exec(name)?.[1];
    const path = join(directory, name);
    // uv keeps links such as cpython-3.12 beside the real directories.
    if (version) found.set(realPath(path), { version, path });
  }
  return [...found.values()];
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function packageVersion(config: Config): string {
  return JSON.parse(readFileSync(join(config.packageRoot, "package.json"), "utf8")).version;
}
