import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.js";
import { runBounded } from "./bounded.js";
import { atLeast } from "./interpreters.js";

/** The Pythons from which a managed environment can be made. */

export interface BasePython {
  readonly command: string;
  readonly executable: string;
  readonly version: string;
  /** Whether it has venv, and pip or ensurepip. */
  readonly usable: boolean;
}

const PROBE = `
import importlib.util, json, sys
has = lambda name: importlib.util.find_spec(name) is not None
print(json.dumps({"executable": getattr(sys, "_base_executable", sys.executable),
  "version": "%d.%d.%d" % sys.version_info[:3],
  "usable": has("venv") and (has("ensurepip") or has("pip"))}))
`;

/** Asks a command for its version; null where it is no Python 3 that runs. */
export async function probeBase(config: Config, command: string): Promise<BasePython | null> {
  const env = { ...config.environment, PYTHONPATH: undefined, PYTHONHOME: undefined };
  const options = { cwd: "/", env, seconds: 20 };
  const { stdout, problem } = await runBounded(command, ["-s", "-c", PROBE], options);
  if (problem !== null) return null;
  try {
    return { command, ...JSON.parse(stdout) };
  } catch {
    return null;
  }
}

export function isSupported(version: string, oldest: string, newest: string): boolean {
  const minor = version.split(".").slice(0, 2).join(".");
  return atLeast(minor, oldest) && atLeast(newest, minor);
}

/**
 * Every place where a base Python is looked for, the most sensible first: what the user's own `python3`
 * means; then the version with most wheels; then what version managers keep out of the path.
 */
export function baseCandidates(config: Config): string[] {
  const { userHome } = config;
  const minors = ["3.12", "3.11", "3.13"];
  const pyenv = config.environment.PYENV_ROOT ?? join(userHome, ".pyenv");
  const uv =
    config.environment.UV_PYTHON_INSTALL_DIR ?? join(userHome, ".local", "share", "uv", "python");
  return [
    "python3",
    "python",
    ...minors.map((minor) => `python${minor}`),
    ...kept(join(pyenv, "versions"), minors),
    ...kept(
      uv,
      minors.map((minor) => `cpython-${minor}`),
    ),
    ...["/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"].flatMap((directory) =>
      minors.map((minor) => join(directory, `python${minor}`)),
    ),
  ];
}

function kept(directory: string, prefixes: readonly string[]): string[] {
  let names: string[];
  try {
    names = readdirSync(directory).sort().reverse();
  } catch {
    return [];
  }
  return prefixes.flatMap((prefix) =>
    names
      .filter((name) => name.startsWith(`${prefix}.`))
      .map((name) => join(directory, name, "bin", "python3")),
  );
}
