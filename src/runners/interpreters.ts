import {
  type Dirent,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import type { Framework } from "../contract/frameworks.js";
import { runBounded } from "./bounded.js";

/** Python interpreters and environments as they lie on disk: hardly one of them has to be started. */

export type EnvironmentKind = "venv" | "uv" | "conda" | "pyenv" | "system" | "managed";

export interface Interpreter {
  readonly executable: string;
  /** `3.11.7`, or `3.11` where only that is known. */
  readonly version: string;
  readonly kind: EnvironmentKind;
  readonly prefix: string;
  /** Where its libraries lie, in the order of its path. */
  readonly sitePackages: readonly string[];
}

/** The oldest Python that the runner starts in. */
export const OLDEST_PYTHON = "3.10";

/** The environment in a directory, read from its files; null where there is none. */
export function environmentAt(
  prefix: string,
  executable = join(prefix, "bin", "python"),
): Interpreter | null {
  if (!existsSync(executable)) return null;
  const settings = readSettings(join(prefix, "pyvenv.cfg"));
  if (settings) return virtualEnvironment(prefix, executable, settings);
  if (existsSync(join(prefix, "conda-meta"))) {
    const version = condaVersion(prefix);
    if (version === null) return null;
    return { executable, version, kind: "conda", prefix, sitePackages: siteOf(prefix, version) };
  }
  return null;
}

function virtualEnvironment(
  prefix: string,
  executable: string,
  settings: ReadonlyMap<string, string>,
): Interpreter | null {
  const stated = settings.get("version_info") ?? settings.get("version");
  const version = /^\d+\.\d+(\.\d+)?/.exec(stated ?? "")?.[0] ?? minorOf(prefix);
  if (version === null) return null;
  const sitePackages = siteOf(prefix, version);
  const home = settings.get("home");
  if (settings.get("include-system-site-packages") === "true" && home) {
    sitePackages.push(...siteOf(dirname(home), version), "/usr/lib/python3/dist-packages");
  }
  return { executable, version, kind: settings.has("uv") ? "uv" : "venv", prefix, sitePackages };
}

function siteOf(prefix: string, version: string): string[] {
  const minor = version.split(".").slice(0, 2).join(".");
  return [join(prefix, "lib", `python${minor}`, "site-packages")];
}

function readSettings(path: string): Map<string, string> | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return null;
  }
  const pairs = text.split("\n").map((line) => line.split("="));
  return new Map(
    pairs.map(
      ([key = "", ...value]) => [key.trim().toLowerCase(), value.join("=").trim()] as const,
    ),
  );
}

function condaVersion(prefix: string): string | null {
  for (const name of namesIn(join(prefix, "conda-meta"))) {
    const version = /^python-(\d+\.\d+\.\d+)-/.exec(name)?.[1];
    if (version) return version;
  }
  return minorOf(prefix);
}

function minorOf(prefix: string): string | null {
  const name = namesIn(join(prefix, "lib")).find((entry) => /^python\d+\.\d+$/.test(entry));
  return name ? name.slice("python".length) : null;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Whether `version` is at least `least`, number by number. */
export function atLeast(version: string, least: string): boolean {
  const [ours, theirs] = [version, least].map((text) => text.split(".").map(Number));
  for (const [index, number] of (theirs ?? []).entries()) {
    const mine = ours?.[index] ?? 0;
    if (mine !== number) return mine > number;
  }
  return true;
}

const PROBE = `
import json, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({"executable": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3],
  "prefix": sys.prefix, "base": getattr(sys, "base_prefix", sys.prefix),
  "path": [p for p in sys.path if "-packages" in p] or [paths["purelib"]]}))
`;

/** What stands where an interpreter was looked for. */
export interface NoPython {
  /** Why it cannot be used, as the end of a sentence. */
  readonly problem: string;
}

const PROBE_SECONDS = 20;

const probes = new Map<string, Promise<Interpreter | NoPython>>();

/**
 * The interpreter at a path. One inside an environment is read from its files; any other is started
 * once (its answer is kept as long as the file stays the same), and has 20 seconds to tell what it is.
 */
export async function interpreterAt(executable: string): Promise<Interpreter | NoPython> {
  const known = environmentAt(dirname(dirname(executable)), executable);
  if (known) return known;
  let key: string;
  try {
    const { mtimeMs, size } = statSync(executable);
    key = `${executable}\0${mtimeMs}\0${size}`;
  } catch {
    return { problem: "it is not there" };
  }
  const found = probes.get(key) ?? probe(executable);
  probes.set(key, found);
  // What went wrong may have been the machine's: it is tried again.
  if ("problem" in (await found)) probes.delete(key);
  return found;
}

async function probe(executable: string): Promise<Interpreter | NoPython> {
  // Without -I, so that what a user installed for themselves is on the path, as it is for a job. Files
  // of the working directory would hide modules of the standard library.
  const options = { cwd: "/", seconds: PROBE_SECONDS };
  const { stdout, stderr, problem } = await runBounded(executable, ["-c", PROBE], options);
  if (problem !== null) return { problem: stderr.trim().split("\n").at(-1) || problem };
  try {
    const told = JSON.parse(stdout);
    return {
      executable: told.executable || executable,
      version: told.version,
      kind: kindOf(told.prefix, told.base),
      prefix: told.prefix,
      sitePackages: told.path,
    };
  } catch {
    return { problem: "it does not answer as Python does" };
  }
}

function kindOf(prefix: string, base: string): EnvironmentKind {
  if (existsSync(join(prefix, "conda-meta"))) return "conda";
  if (prefix !== base) return readSettings(join(prefix, "pyvenv.cfg"))?.has("uv") ? "uv" : "venv";
  // pyenv's root may be anywhere; beside the versions it keeps the shims.
  const versions = dirname(prefix);
  const isPyenv = basename(versions) === "versions" && existsSync(join(dirname(versions), "shims"));
  return isPyenv ? "pyenv" : "system";
}

/**
 * Whether an environment has a framework, by its files (about 20 µs where it is there).
 *
 * @param searchPath further directories, as of PYTHONPATH
 */
export function hasFramework(
  interpreter: Interpreter,
  framework: Framework,
  searchPath: readonly string[] = [],
): boolean {
  const directories = [...searchPath, ...interpreter.sitePackages];
  return (
    framework.modules.every((module) =>
      directories.some((directory) => holds(directory, module)),
    ) ||
    interpreter.sitePackages.some((directory) => {
      // Installed as editable, or with files elsewhere: its metadata, or a path file, tells.
      const { distributions, paths } = contents(directory);
      return (
        framework.distributions.some((name) => distributions.has(canonical(name))) ||
        framework.modules.every((module) => paths.some((path) => holds(path, module)))
      );
    })
  );
}

function holds(directory: string, module: string): boolean {
  return (
    existsSync(join(directory, module, "__init__.py")) ||
    existsSync(join(directory, `${module}.py`))
  );
}

interface Contents {
  readonly distributions: ReadonlySet<string>;
  readonly paths: readonly string[];
}

const seen = new Map<string, { mtimeMs: number; contents: Contents }>();
const EMPTY: Contents = { distributions: new Set(), paths: [] };

/** Distributions and path files of a site-packages directory; read anew when that changes. */
function contents(directory: string): Contents {
  let mtimeMs: number;
  let entries: Dirent[];
  try {
    mtimeMs = statSync(directory).mtimeMs;
    const before = seen.get(directory);
    if (before?.mtimeMs === mtimeMs) return before.contents;
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return EMPTY;
  }
  const distributions = new Set<string>();
  const paths: string[] = [];
  for (const { name } of entries) {
    const distribution = /^(.+?)-[^-]+\.(dist-info|egg-info)$/.exec(name)?.[1];
    if (distribution) distributions.add(canonical(distribution));
    if (name.endsWith(".pth")) paths.push(...pathsOf(join(directory, name)));
  }
  const read = { distributions, paths };
  seen.set(directory, { mtimeMs, contents: read });
  return read;
}

function pathsOf(pathFile: string): string[] {
  try {
    const lines = readFileSync(pathFile, "utf8")
      .split("\n")
      .map((line) => line.trim());
    return lines
      .filter((line) => line && !line.startsWith("#") && !line.startsWith("import "))
      .map((line) => (isAbsolute(line) ? line : join(dirname(pathFile), line)));
  } catch {
    return [];
  }
}

function canonical(name: string): string {
  return name.replaceAll(/[-_.]+/g, "-").toLowerCase();
}

/** A path with its links resolved, or itself where it does not exist. */
export function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
