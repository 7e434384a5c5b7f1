import type { Dirent } from "node:fs";
import { readdir, realpath } from "node:fs/promises";
import { resolve, sep } from "node:path";
import type { Place } from "../../jobs/service.js";
import { isIn } from "../resources/artifact-paths.js";

/**
 * Files and directories whose path begins with `typed`, in the form in which it was typed; directories end
 * in `/`. Only what lies in the base directory, or in the roots where there are any, links resolved.
 */
export async function pathsFrom(typed: string, place: Place): Promise<string[]> {
  if (typed.includes("\0")) return [];
  const cut = typed.lastIndexOf("/") + 1;
  const [parent, start] = [typed.slice(0, cut), typed.slice(cut)];
  const directory = resolve(place.baseDir, parent);
  if (place.baseDir === sep && !typed.startsWith(sep)) return [];
  if (!(await isWithin(directory, place))) return [];
  const entries = await readdir(directory, { withFileTypes: true }).catch((): Dirent[] => []);
  return entries
    .filter(({ name }) => name.startsWith(start) && (start !== "" || !name.startsWith(".")))
    .filter((entry) => entry.isFile() || entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => parent + entry.name + (entry.isDirectory() ? "/" : ""))
    .sort();
}

/** Whether one may look into a directory. */
async function isWithin(directory: string, { baseDir, roots }: Place): Promise<boolean> {
  const allowed = roots ?? [baseDir];
  try {
    const real = await realpath(directory);
    const bounds = await Promise.all(allowed.map((root) => realpath(root).catch(() => null)));
    return bounds.some((bound) => bound !== null && isIn(bound, real));
  } catch {
    return false;
  }
}
