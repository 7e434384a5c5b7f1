import { once } from "node:events";
import { join } from "node:path";
import type { Config } from "../config.js";
import { runBounded } from "./bounded.js";

/** Variables that mean something to Node.js or npm alone, or that no job has any business with. */
const OURS = new Set([
  "NODE_OPTIONS",
  "NODE_PATH",
  "NODE_ENV",
  "NODE_CHANNEL_FD",
  "NODE_CHANNEL_SERIALIZATION_MODE",
  "NODE_UNIQUE_ID",
  "NODE_V8_COVERAGE",
  "NODE_EXTRA_CA_CERTS",
  "INIT_CWD",
  "ML_EXECUTOR_TOKEN",
  // Of another interpreter, as a rule: this one would not find its own library. Activating unsets it.
  "PYTHONHOME",
  // macOS: what a launcher of another virtual environment has left for its child.
  "__PYVENV_LAUNCHER__",
]);

/** The environment of our Python processes, and so of jobs: the user's. */
export function pythonEnvironment(config: Config): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(config.environment)) {
    if (value !== undefined && !OURS.has(name) && !name.startsWith("npm_"))
      environment[name] = value;
  }
  environment.PYTHONUNBUFFERED = "1";
  environment.ML_EXECUTOR_HOME = config.home;
  return environment;
}

/** The runner is run by its path: `-m` would need it installed, or a PYTHONPATH that jobs inherit. */
function runner(config: Config): string {
  return join(config.packageRoot, "runners", "ml_runner");
}

/** How a process ended: `code` is null where a signal killed it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface SpawnOptions {
  /** Open descriptor for what it prints on stderr. */
  readonly stderr: number;
  readonly stdin?: "pipe" | "ignore";
  readonly stdout?: "pipe" | "ignore";
  /** In a session of its own, and left alone when we end. */
  readonly detached?: boolean;
}

/**
 * Starts the runner package, as `python -m ml_runner …` would, and waits until it runs.
 *
 * @returns the child, and a promise of its exit. The promise is of the `exit` event: execa's own waits
 *   for the pipes, which a grandchild may hold open.
 * @throws Error with a `code` such as ENOENT where it cannot be started
 */
export async function spawnPython(
  config: Config,
  executable: string,
  args: readonly string[],
  options: SpawnOptions,
) {
  const { execa } = await import("execa");
  const { stderr, stdin = "ignore", stdout = "ignore", detached = false } = options;
  const child = execa(executable, [runner(config), ...args], {
    cwd: config.cwd,
    env: pythonEnvironment(config),
    extendEnv: false,
    // Any descriptor is passed on as it is; execa's types know those up to 9 alone.
    stdio: [stdin, stdout, stderr as 9],
    buffer: false,
    reject: false,
    detached,
    cleanup: !detached,
  });
  const exited = new Promise<Exit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  // A broken pipe is told by the exit that goes with it.
  child.stdin?.on("error", () => undefined);
  // Where the call itself failed, execa's child never emits anything; only its promise tells.
  const failed = child.then((result) => Promise.reject(new Error(result.shortMessage)));
  await Promise.race([once(child, "spawn"), failed]);
  if (detached) child.unref();
  return { child, exited };
}

/**
 * Runs the runner package, as `python -m ml_runner …` would, to its end.
 *
 * @param timeoutSeconds after which it is killed
 * @returns how it ended, all that it printed on stdout, and the last 4 KiB of stderr
 */
export async function runPython(
  config: Config,
  executable: string,
  args: readonly string[],
  timeoutSeconds: number,
) {
  const { stdout, stderr, problem } = await runBounded(executable, [runner(config), ...args], {
    cwd: config.cwd,
    env: pythonEnvironment(config),
    seconds: timeoutSeconds,
  });
  return { ok: problem === null, stdout, stderr: stderr || problem || "" };
}
