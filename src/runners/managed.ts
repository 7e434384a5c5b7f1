import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.js";
import { quote } from "./install-command.js";
import { environmentAt, type Interpreter } from "./interpreters.js";

/** The managed environment as it lies in the cache; `setup-environment.ts` makes and extends it. */
export interface ManagedEnvironment {
  readonly interpreter: Interpreter;
  /** The layers that are complete. */
  readonly layers: ReadonlySet<string>;
}

interface LayerRow {
  readonly title: string;
  readonly needs: readonly string[];
  readonly megabytes: number;
}

interface Locks {
  /** Digest of every lock file. */
  readonly key: string;
  readonly oldestPython: string;
  readonly newestPython: string;
  readonly layers: Readonly<Record<string, LayerRow>>;
}

const known = new Map<string, Locks>();

export function locksDirectory(config: Config): string {
  return join(config.packageRoot, "runners", "locks");
}

export function environmentsDirectory(config: Config): string {
  return join(config.cache, "environments");
}

/** The locks of this package, read once. `lock_key` in `setup_environment.py` computes the same key. */
export function readLocks(directory: string): Locks {
  const before = known.get(directory);
  if (before) return before;
  const digest = createHash("sha256");
  for (const name of readdirSync(directory).sort()) {
    digest
      .update(`${name}\0`)
      .update(readFileSync(join(directory, name)))
      .update("\0");
  }
  const rows = JSON.parse(readFileSync(join(directory, "layers.json"), "utf8"));
  const locks: Locks = { ...rows, key: digest.digest("hex").slice(0, 12) };
  known.set(directory, locks);
  return locks;
}

/** The managed environments of these locks (one a Python version), the one with most layers first. */
export function managedEnvironments(config: Config): ManagedEnvironment[] {
  const { key } = readLocks(locksDirectory(config));
  const found: ManagedEnvironment[] = [];
  for (const name of namesIn(environmentsDirectory(config))) {
    if (!name.startsWith("py") || !name.endsWith(`-${key}`)) continue;
    const prefix = join(environmentsDirectory(config), name);
    const markers = join(prefix, "ml-executor");
    if (!existsSync(join(markers, "venv.json"))) continue;
    const interpreter = environmentAt(prefix);
    if (!interpreter) continue;
    const layers = namesIn(markers)
      .filter((marker) => marker.endsWith(".json") && marker !== "venv.json")
      .map((marker) => marker.slice(0, -".json".length));
    found.push({ interpreter: { ...interpreter, kind: "managed" }, layers: new Set(layers) });
  }
  return found.sort((one, other) => other.layers.size - one.layers.size);
}

/** The command that adds layers to the managed environment, as it is typed on this machine. */
export function setupCommand(config: Config, layers: readonly string[]): string {
  const frameworks = layers.length > 0 ? ` --frameworks ${layers.join(",")}` : "";
  // A checkout has no `ml-executor` on the path; its npm script builds what it needs first.
  if (!existsSync(join(config.packageRoot, "src"))) return `ml-executor setup${frameworks}`;
  const script =
    config.cwd === config.packageRoot
      ? "npm run setup"
      : `npm --prefix ${quote(config.packageRoot)} run setup`;
  return frameworks ? `${script} --${frameworks}` : script;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
