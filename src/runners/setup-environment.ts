import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Config } from "../config.js";
import { ExecutorError } from "../contract/errors.js";
import { type BasePython, baseCandidates, isSupported, probeBase } from "./base-python.js";
import {
  environmentsDirectory,
  locksDirectory,
  managedEnvironments,
  readLocks,
} from "./managed.js";
import { pythonEnvironment } from "./python.js";

/** What `runners/ml_runner/setup_environment.py` says while it works. */
export type SetupMessage =
  | { type: "waiting"; path: string }
  | { type: "venv"; path: string; python: string }
  | { type: "repaired"; removed: string[] }
  | { type: "plan"; path: string; present: string[]; missing: string[] }
  | {
      type: "layer";
      layer: string;
      state: "installing";
      title: string;
      packages: number;
      megabytes: number;
    }
  | { type: "layer"; layer: string; state: "done"; seconds: number; megabytes: number }
  | { type: "step"; layer: string; what: StepKind; name: string; size: string }
  | { type: "size"; layer: string; megabytes: number }
  | SetupDone
  | { type: "error"; message: string; solution: string }
  | { type: "interrupted" };

export type StepKind = "collecting" | "downloading" | "cached" | "processing" | "installing";

export interface SetupDone {
  type: "done";
  executable: string;
  path: string;
  layers: string[];
  installed: string[];
  megabytes: number;
  seconds: number;
}

export interface SetupOptions {
  readonly layers: readonly string[];
  /** The base Python to use; null: the one of the environment that is there, else the first that fits. */
  readonly python: string | null;
  readonly onMessage: (message: SetupMessage) => void;
  /** Other locks than the package's own. */
  readonly locks?: string;
}

/** Thrown where the user interrupted the setup; nothing needs mending. */
export class SetupInterrupted extends Error {
  override readonly name = "SetupInterrupted";
}

/**
 * Makes or extends the managed environment. Any number of processes may do so at once: one works, the
 * others wait for it.
 *
 * @throws ExecutorError `framework-not-found` where there is no Python to make it from, or pip fails
 * @throws SetupInterrupted on Ctrl-C
 */
export async function setUpEnvironment(config: Config, options: SetupOptions): Promise<SetupDone> {
  const locks = options.locks ?? locksDirectory(config);
  const base = await basePython(config, options.python, locks);
  // -P: files of the working directory must not hide modules of the standard library.
  const args = ["-P", "-s", "-m", "ml_runner.setup_environment", "--end-with-stdin"];
  args.push("--locks", locks, "--environments", environmentsDirectory(config));
  args.push("--layers", options.layers.join(","));
  const env = { ...pythonEnvironment(config), PYTHONPATH: join(config.packageRoot, "runners") };
  const child = spawn(base.executable, args, { env, stdio: ["pipe", "pipe", "pipe"] });
  // Nothing is ever written: the pipe's end tells the other side that nobody is there any more.
  child.stdin.on("error", () => undefined);
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-4096);
  });
  let done: SetupDone | null = null;
  let failed: { message: string; solution: string } | null = null;
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message: SetupMessage = JSON.parse(line);
    if (message.type === "done") done = message;
    if (message.type === "error") failed = message;
    options.onMessage(message);
  });
  const code = await exited;
  if (done) return done;
  if (code === 130) throw new SetupInterrupted("the setup was interrupted");
  throw setupFailure(failed, stderr, code);
}

function setupFailure(
  told: { message: string; solution: string } | null,
  stderr: string,
  code: number | null,
): ExecutorError {
  const message =
    told?.message ?? `the setup of the managed environment ended with exit code ${code}`;
  return new ExecutorError("framework-not-found", message, {
    solution: told?.solution ?? "Run the setup again: it goes on where it stopped.",
    ...(stderr && { stderr }),
  });
}

/**
 * The Python to make the environment from.
 *
 * @throws ExecutorError where `wish` does not fit (`invalid-configuration`) or none is found
 */
export async function basePython(
  config: Config,
  wish: string | null,
  locks = locksDirectory(config),
): Promise<BasePython> {
  const { oldestPython, newestPython } = readLocks(locks);
  const range = `${oldestPython} to ${newestPython}`;
  const fits = (python: BasePython | null): python is BasePython =>
    python?.usable === true && isSupported(python.version, oldestPython, newestPython);
  if (wish !== null) {
    // A bare name is looked for on the path, as a shell would.
    const path = wish.includes("/") ? resolve(config.cwd, wish) : wish;
    const directory = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
    const found = await probeBase(config, directory ? join(path, "bin", "python") : path);
    if (fits(found)) return found;
    throw ExecutorError.invalidConfiguration(`--python '${wish}' ${whyNot(found, range)}`, {
      solution: `Name a Python ${range} that has venv and pip.`,
      metadata: { key: "--python", sent: wish, found },
    });
  }
  const seen: string[] = [];
  for (const command of [...basesOfManaged(config), ...baseCandidates(config)]) {
    const found = await probeBase(config, command);
    if (fits(found)) return found;
    if (found) seen.push(`${command} ${whyNot(found, range)}`);
  }
  throw new ExecutorError("framework-not-found", `no Python ${range} with venv and pip was found`, {
    solution:
      `Install Python ${range} (on Debian and Ubuntu: apt install python3 python3-venv; on macOS: brew install ` +
      `python@3.12), or name one: ml-executor setup --python PATH.`,
    metadata: { lookedAt: [...new Set(seen)] },
  });
}

function whyNot(found: BasePython | null, range: string): string {
  if (!found) return "is no Python 3 that runs";
  if (!found.usable) return `(Python ${found.version}) has no venv, or neither pip nor ensurepip`;
  return `is Python ${found.version}; the pinned versions need ${range}`;
}

/** The Pythons of the environments that are there: extending one is better than making a second. */
function basesOfManaged(config: Config): string[] {
  return managedEnvironments(config).flatMap(({ interpreter }) => {
    const minor = interpreter.version.split(".").slice(0, 2).join(".");
    const settings = readFileSync(join(interpreter.prefix, "pyvenv.cfg"), "utf8");
    const home =
      /^home\s*=\s*(.+)$/m.exec(settings)?.[1]?.trim() ?? dirname(interpreter.executable);
    return [join(home, `python${minor}`), join(home, "python3")];
  });
}
