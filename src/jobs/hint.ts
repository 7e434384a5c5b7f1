import { access, constants, readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { FRAMEWORKS, frameworkRow } from "../contract/index.js";
import type { Store } from "./store.js";

/**
 * Which framework a call is probably about: for choosing an environment and a warm process. The runner
 * finds out for certain.
 *
 * @param framework as the call names it
 * @returns the framework's name, or null where nothing tells
 */
export async function frameworkHint(
  framework: string | undefined,
  config: Readonly<Record<string, unknown>>,
  baseDir: string,
  userHome: string,
): Promise<string | null> {
  if (framework !== undefined && framework !== "auto") return frameworkRow(framework)?.name ?? null;
  const model = config.modelPath ?? config.pretrainedModel;
  if (typeof model === "string") return await ofModel(model, baseDir, userHome);
  return typeof config.algorithm === "string" ? ofAlgorithm(config.algorithm) : null;
}

/** The framework whose prefix the algorithm's name has, else the one whose algorithms have none. */
export function ofAlgorithm(algorithm: string): string | null {
  const name = algorithm.slice(algorithm.lastIndexOf(".") + 1);
  const own = FRAMEWORKS.find((row) =>
    row.algorithmPrefixes.some((start) => name.startsWith(start)),
  );
  return (own ?? FRAMEWORKS.find((row) => row.algorithmPrefixes.length === 0))?.name ?? null;
}

/** What the description beside a model says, of the model itself or of a directory that holds it. */
export async function ofModel(
  modelPath: string,
  baseDir: string,
  userHome: string,
): Promise<string | null> {
  const expanded = modelPath.startsWith("~/") ? join(userHome, modelPath.slice(2)) : modelPath;
  const path = resolve(baseDir, expanded);
  const inside = await readdir(path).catch(() => [] as string[]);
  const described = inside.find((name) => name.endsWith(".meta.json"));
  for (const file of [`${path}.meta.json`, ...(described ? [join(path, described)] : [])]) {
    try {
      const { framework } = JSON.parse(await readFile(file, "utf8"));
      if (typeof framework === "string") return frameworkRow(framework)?.name ?? null;
    } catch {
      // Not described there.
    }
  }
  return null;
}

/** What a resume needs to know of the run that it goes on with, to start where that ran. */
export interface Continued {
  readonly framework: string | null;
  /** The interpreter that it ran in, if that is still there. */
  readonly executable: string | null;
}

/**
 * Where the run ran that `jobId`, `runDir` or `checkpointPath` names; null where nothing tells.
 *
 * @param store where jobs lie; one that its caller may not see tells no more than where to start Python,
 * and is refused there
 */
export async function continued(
  config: Readonly<Record<string, unknown>>,
  baseDir: string,
  userHome: string,
  store: Store,
): Promise<Continued | null> {
  const { jobId, runDir, checkpointPath } = config;
  if (typeof jobId === "string") {
    const job = await store.read(jobId);
    if (!job) return null;
    const { framework, config: its } = job.request;
    const hint = await frameworkHint(framework, its, job.baseDir, userHome);
    // A resume's own call may name no more than the job before it.
    const before = hint ? null : await continued(its, job.baseDir, userHome, store);
    return {
      framework: hint ?? before?.framework ?? null,
      executable: await existing(job.python.executable),
    };
  }
  const absolute = (path: string) =>
    resolve(baseDir, path.startsWith("~/") ? join(userHome, path.slice(2)) : path);
  const files =
    typeof runDir === "string"
      ? [join(absolute(runDir), "run.json")]
      : typeof checkpointPath === "string"
        ? [join(dirname(dirname(absolute(checkpointPath))), "run.json")]
        : [];
  for (const file of files) {
    try {
      const { framework, python } = JSON.parse(await readFile(file, "utf8"));
      return {
        framework: typeof framework === "string" ? (frameworkRow(framework)?.name ?? null) : null,
        executable: await existing(python?.executable),
      };
    } catch {
      // Not a run of ours; the runner says so.
    }
  }
  return null;
}

async function existing(path: unknown): Promise<string | null> {
  if (typeof path !== "string") return null;
  return await access(path, constants.X_OK).then(
    () => path,
    () => null,
  );
}
