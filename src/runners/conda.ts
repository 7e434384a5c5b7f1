import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Config } from "../config.js";
import { runBounded } from "./bounded.js";

/** Where conda, mamba and micromamba put themselves by default. */
const ROOTS = ["miniconda3", "miniforge3", "mambaforge", "anaconda3", "micromamba"];

/** The prefixes of all conda environments that can be told from files, the root ones first. */
export function condaPrefixes(config: Config): string[] {
  const { environment, userHome } = config;
  const active = environment.CONDA_PREFIX;
  const roots = [
    environment.CONDA_ROOT,
    environment.CONDA_EXE && dirname(dirname(environment.CONDA_EXE)),
    environment.MAMBA_ROOT_PREFIX,
    active && basename(dirname(active)) === "envs" ? dirname(dirname(active)) : active,
    ...ROOTS.map((name) => join(userHome, name)),
    ...ROOTS.map((name) => join("/opt", name)),
    "/opt/conda",
  ].filter((root): root is string => Boolean(root));
  const prefixes = [...roots, ...roots.flatMap(environmentsOf), ...listed(userHome), active ?? ""];
  return [...new Set(prefixes)].filter(
    (prefix) => prefix && existsSync(join(prefix, "conda-meta")),
  );
}

/**
 * The prefix of the conda environment called `name`; `base` is the root one.
 *
 * @returns null, and the names that there are, where there is none.
 */
export async function condaPrefix(
  config: Config,
  name: string,
): Promise<{ prefix: string | null; known: string[] }> {
  const byFiles = match(condaPrefixes(config), name);
  if (byFiles.prefix) return byFiles;
  // Environments in unusual places are known to conda alone, which takes its half second to say so.
  const told = await askConda(config);
  return match([...new Set([...told, ...condaPrefixes(config)])], name);
}

function match(prefixes: readonly string[], name: string) {
  const named = prefixes.map((prefix) => ({
    prefix,
    name: isBase(prefix) ? "base" : basename(prefix),
  }));
  const prefix = named.find((one) => one.name === name)?.prefix ?? null;
  return { prefix, known: [...new Set(named.map((one) => one.name))] };
}

function isBase(prefix: string): boolean {
  // Only a root has conda's own command for shells.
  return existsSync(join(prefix, "condabin")) || existsSync(join(prefix, "envs"));
}

function environmentsOf(root: string): string[] {
  try {
    return readdirSync(join(root, "envs")).map((name) => join(root, "envs", name));
  } catch {
    return [];
  }
}

function listed(userHome: string): string[] {
  try {
    const text = readFileSync(join(userHome, ".conda", "environments.txt"), "utf8");
    return text
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  } catch {
    return [];
  }
}

async function askConda(config: Config): Promise<string[]> {
  const conda = config.environment.CONDA_EXE ?? "conda";
  const options = { cwd: "/", env: config.environment, seconds: 20 };
  const { stdout, problem } = await runBounded(conda, ["env", "list", "--json"], options);
  if (problem !== null) return [];
  try {
    return JSON.parse(stdout).envs ?? [];
  } catch {
    return [];
  }
}
