import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Framework } from "../contract/frameworks.js";
import type { Interpreter } from "./interpreters.js";

/**
 * The shell command that installs a framework into an environment.
 * `runners/ml_runner/libraries.py` says the same from within an interpreter.
 */
export function installCommand(interpreter: Interpreter, framework: Framework): string {
  const { kind, executable, prefix, sitePackages } = interpreter;
  const distribution = framework.distributions[0] ?? framework.name;
  // From conda-forge, since that channel has every library that we ask for.
  if (kind === "conda") return `conda install -p ${quote(prefix)} -c conda-forge ${distribution}`;
  if (kind === "uv") return `uv pip install --python ${quote(executable)} ${distribution}`;
  const install = `${quote(executable)} -m pip install ${distribution}`;
  const pip = sitePackages.some((directory) => existsSync(join(directory, "pip")));
  return kind === "venv" && !pip ? `${quote(executable)} -m ensurepip && ${install}` : install;
}

/** A word as a POSIX shell takes it. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
