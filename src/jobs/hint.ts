import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { FRAMEWORKS, frameworkRow } from "../contract/index.js";

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
  if (typeof config.modelPath === "string")
    return await ofModel(config.modelPath, baseDir, userHome);
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
