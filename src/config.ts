import { existsSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { MemoryLimit } from "./contract/protocol.js";
import { HTTP_OPTIONS, type HttpOptions, type HttpValues, toHttpOptions } from "./http-options.js";
import { parseMemoryLimit } from "./memory-limit.js";
import { UsageError } from "./usage-error.js";

export { UsageError } from "./usage-error.js";

/** The only reader of environment variables and of the command line. */

export type StartMethod = "fork" | "spawn";
export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Everything that was settled before the program began; nothing in it changes afterwards. */
export interface Config {
  /** The state directory: jobs, slots, logs. */
  readonly home: string;
  /** The cache directory: the managed environment. */
  readonly cache: string;
  /** Where the package lies: `runners/`, `tools.manifest.json`. */
  readonly packageRoot: string;
  readonly cwd: string;
  /** The user's home directory. */
  readonly userHome: string;
  readonly platform: NodeJS.Platform;
  /** The variables as they were inherited: for finding Python environments, and for child processes. */
  readonly environment: Readonly<NodeJS.ProcessEnv>;
  /** `ML_EXECUTOR_PYTHON`: the interpreter or environment that the user wants. */
  readonly python: string | null;
  readonly startMethod: StartMethod;
  /** `--root`, absolute; empty: no bound. */
  readonly roots: readonly string[];
  /** How long a call waits for its job by default, in seconds. */
  readonly waitSeconds: number;
  /** How many jobs run on the CPU at once. */
  readonly slots: number;
  /** How many threads each of them gets. */
  readonly threads: number;
  /** How much memory each job may take; null: the runner's default. */
  readonly memoryLimit: MemoryLimit | null;
  readonly logLevel: LogLevel;
}

export type JobsCommand =
  | { readonly verb: "list"; readonly limit: number; readonly json: boolean }
  | { readonly verb: "show" | "follow" | "cancel"; readonly id: string; readonly json: boolean }
  | {
      readonly verb: "logs";
      readonly id: string;
      readonly which: "stdout" | "stderr";
      readonly tailBytes: number;
      readonly json: boolean;
    };

export type CommandName = "serve" | "run" | "jobs" | "doctor" | "setup" | "demo";
export type Command =
  | { readonly name: "help"; readonly of: CommandName | null }
  | { readonly name: "version" }
  | { readonly name: "serve"; readonly http: HttpOptions | null }
  | { readonly name: "run"; readonly request: string }
  | { readonly name: "jobs"; readonly jobs: JobsCommand }
  | { readonly name: "doctor"; readonly json: boolean }
  | {
      readonly name: "setup";
      readonly frameworks: readonly string[] | null;
      /** The Python that the managed environment is made from. */
      readonly python: string | null;
      /** Also what the project's own tests and checks need. */
      readonly dev: boolean;
    }
  | { readonly name: "demo" };

const COMMANDS: readonly CommandName[] = ["serve", "run", "jobs", "doctor", "setup", "demo"];

const COMMON = {
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "V" },
  "log-level": { type: "string" },
} as const;
const WORKING = {
  root: { type: "string", multiple: true },
  slots: { type: "string" },
  "memory-limit": { type: "string" },
} as const;

const OPTIONS = {
  serve: { ...COMMON, ...WORKING, ...HTTP_OPTIONS, wait: { type: "string" } },
  run: { ...COMMON, ...WORKING },
  jobs: {
    ...COMMON,
    json: { type: "boolean" },
    limit: { type: "string", short: "n" },
    stderr: { type: "boolean" },
    tail: { type: "string" },
  },
  doctor: { ...COMMON, json: { type: "boolean" } },
  setup: {
    ...COMMON,
    frameworks: { type: "string" },
    python: { type: "string" },
    dev: { type: "boolean" },
  },
  demo: COMMON,
} as const satisfies Record<CommandName, unknown>;

interface Values extends HttpValues {
  help?: boolean;
  version?: boolean;
  "log-level"?: string;
  root?: string[];
  slots?: string;
  "memory-limit"?: string;
  wait?: string;
  json?: boolean;
  limit?: string;
  stderr?: boolean;
  tail?: string;
  frameworks?: string;
  python?: string;
  dev?: boolean;
}

/**
 * Reads the command line and the environment.
 *
 * @param argv the arguments after the program's name
 * @throws UsageError for an unknown command or option, or a value that is out of range
 */
export function readConfig(
  argv: readonly string[] = process.argv.slice(2),
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
  cwd: string = process.cwd(),
): { command: Command; config: Config } {
  const { name, values, positionals } = parse(argv);
  return {
    command: toCommand(name, values, positionals, environment),
    config: toConfig(values, environment, cwd),
  };
}

function parse(argv: readonly string[]) {
  const first = argv[0];
  // Options may come first: `ml-executor --root DIR` serves.
  const isCommand = first !== undefined && !first.startsWith("-");
  if (isCommand && !(COMMANDS as readonly string[]).includes(first)) {
    throw new UsageError(`unknown command '${first}'; there are ${COMMANDS.join(", ")}`);
  }
  const name: CommandName | null = isCommand ? (first as CommandName) : null;
  try {
    const { values, positionals } = parseArgs({
      args: isCommand ? argv.slice(1) : [...argv],
      options: OPTIONS[name ?? "serve"],
      allowPositionals: true,
      strict: true,
    });
    return { name, values: values as Values, positionals };
  } catch (error) {
    throw new UsageError(`${name ?? "ml-executor"}: ${(error as Error).message}`);
  }
}

function toCommand(
  named: CommandName | null,
  values: Values,
  positionals: string[],
  environment: Readonly<NodeJS.ProcessEnv>,
): Command {
  if (values.help) return { name: "help", of: named };
  if (values.version) return { name: "version" };
  const name = named ?? "serve";
  switch (name) {
    case "serve":
      refuse(name, positionals);
      return { name, http: toHttpOptions(values, environment.ML_EXECUTOR_TOKEN) };
    case "run": {
      const [request, ...more] = positionals;
      if (request === undefined) throw new UsageError("run: name a request file, or - for stdin");
      refuse(name, more);
      return { name, request };
    }
    case "jobs":
      return { name, jobs: toJobsCommand(values, positionals) };
    case "doctor":
      refuse(name, positionals);
      return { name, json: values.json ?? false };
    case "setup":
      refuse(name, positionals);
      return {
        name,
        frameworks: toNames(values.frameworks),
        python: values.python ?? null,
        dev: values.dev ?? false,
      };
    default:
      refuse(name, positionals);
      return { name };
  }
}

function toJobsCommand(values: Values, positionals: string[]): JobsCommand {
  const [verb = "list", id, ...more] = positionals;
  const json = values.json ?? false;
  const unfit = [
    verb !== "list" && values.limit !== undefined && "--limit",
    verb !== "logs" && values.stderr !== undefined && "--stderr",
    verb !== "logs" && values.tail !== undefined && "--tail",
  ].find(Boolean);
  if (unfit) throw new UsageError(`jobs ${verb}: ${unfit} does not belong to it`);
  if (verb === "list") {
    refuse("jobs list", id === undefined ? [] : [id, ...more]);
    return { verb, json, limit: integer("--limit", values.limit, 1, 10_000) ?? 20 };
  }
  if (verb !== "show" && verb !== "follow" && verb !== "logs" && verb !== "cancel") {
    throw new UsageError(`jobs: '${verb}' is none of list, show, follow, logs, cancel`);
  }
  if (id === undefined) throw new UsageError(`jobs ${verb}: name a job (see 'jobs list')`);
  refuse(`jobs ${verb}`, more);
  if (verb !== "logs") return { verb, id, json };
  const kibibytes = integer("--tail", values.tail, 1, 16 * 1024) ?? 64;
  return {
    verb,
    id,
    json,
    which: values.stderr ? "stderr" : "stdout",
    tailBytes: kibibytes * 1024,
  };
}

function toConfig(values: Values, environment: Readonly<NodeJS.ProcessEnv>, cwd: string): Config {
  const cores = availableParallelism();
  const slots =
    integer("--slots", values.slots, 1, 1024) ?? Math.max(1, Math.min(4, Math.floor(cores / 4)));
  const userHome = environment.HOME || homedir();
  const platform = process.platform;
  const directory = (variable: string) => {
    const value = environment[variable];
    return value ? resolve(cwd, expandHome(value, userHome)) : null;
  };
  const macLibrary = platform === "darwin" ? join(userHome, "Library") : null;
  const dataHome = directory("XDG_DATA_HOME") ?? join(userHome, ".local", "share");
  const cacheHome = directory("XDG_CACHE_HOME") ?? join(userHome, ".cache");
  return {
    home:
      directory("ML_EXECUTOR_HOME") ??
      (macLibrary
        ? join(macLibrary, "Application Support", "ml-executor")
        : join(dataHome, "ml-executor")),
    cache:
      directory("ML_EXECUTOR_CACHE") ??
      (macLibrary ? join(macLibrary, "Caches", "ml-executor") : join(cacheHome, "ml-executor")),
    packageRoot: packageRoot(),
    cwd,
    userHome,
    platform,
    environment,
    python: environment.ML_EXECUTOR_PYTHON || null,
    startMethod: toStartMethod(environment.ML_EXECUTOR_START_METHOD, platform),
    roots: (values.root ?? []).map((root) => resolve(cwd, expandHome(root, userHome))),
    waitSeconds: number("--wait", values.wait, 0, 50) ?? 25,
    slots,
    threads: Math.max(1, Math.floor(cores / slots)),
    memoryLimit: toMemoryLimit(values["memory-limit"]),
    logLevel: toLogLevel(values["log-level"] ?? environment.ML_EXECUTOR_LOG_LEVEL),
  };
}

function toStartMethod(value: string | undefined, platform: NodeJS.Platform): StartMethod {
  // Forking after frameworks were imported is unsafe on macOS.
  if (!value) return platform === "linux" ? "fork" : "spawn";
  if (value === "fork" || value === "spawn") return value;
  throw new UsageError(`ML_EXECUTOR_START_METHOD is '${value}'; it takes fork or spawn`);
}

function toLogLevel(value: string | undefined): LogLevel {
  if (!value) return "info";
  if ((LOG_LEVELS as readonly string[]).includes(value)) return value as LogLevel;
  throw new UsageError(`--log-level is '${value}'; it takes ${LOG_LEVELS.join(", ")}`);
}

function toMemoryLimit(value: string | undefined): MemoryLimit | null {
  if (value === undefined) return null;
  try {
    return parseMemoryLimit(value);
  } catch (error) {
    throw new UsageError(`--memory-limit is '${value}'; ${(error as Error).message}`);
  }
}

function toNames(list: string | undefined): string[] | null {
  if (list === undefined) return null;
  const names = list
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  if (names.length === 0) throw new UsageError("setup: --frameworks names no framework");
  return names;
}

function number(option: string, value: string | undefined, least: number, most: number) {
  if (value === undefined) return null;
  const parsed = value.trim() === "" ? Number.NaN : Number(value);
  if (parsed >= least && parsed <= most) return parsed;
  throw new UsageError(`${option} is '${value}'; it takes a number from ${least} to ${most}`);
}

function integer(option: string, value: string | undefined, least: number, most: number) {
  const parsed = number(option, value, least, most);
  if (parsed === null || Number.isInteger(parsed)) return parsed;
  throw new UsageError(`${option} is '${value}'; it takes a whole number from ${least} to ${most}`);
}

function refuse(command: string, extra: readonly string[]): void {
  if (extra.length > 0) throw new UsageError(`${command}: '${extra[0]}' is one argument too many`);
}

function expandHome(path: string, userHome: string): string {
  return path === "~" || path.startsWith("~/") ? join(userHome, path.slice(1)) : path;
}

/** The package's directory, seen from `src/` and from the bundle in `dist/` alike. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, "package.json"))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`no package.json above ${import.meta.url}`);
    directory = parent;
  }
  return directory;
}
