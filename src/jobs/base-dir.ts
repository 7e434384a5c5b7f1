import { realpathSync } from "node:fs";
import { sep } from "node:path";
import type { Config } from "../config.js";

/** Where a call stands: whose it is, where its relative paths begin and what is within bounds. */
export interface Place {
  /** Absolute; `/` where there is none, and relative paths are then refused. */
  readonly baseDir: string;
  /** Directories outside of which every path is refused; null: no bound. */
  readonly roots: string[] | null;
  /** Whose jobs are seen; null: everybody's in this state directory. */
  readonly principal: string | null;
}

/**
 * Settles where the relative paths of a call are taken from: the first `--root`, else the client's only
 * root, else the working directory.
 *
 * @param clientRoots the MCP roots of the client, absolute; null where it names none. Without any that
 *   lies within `--root`, nothing is within bounds
 */
export function placeOf(
  config: Pick<Config, "roots" | "cwd">,
  clientRoots: readonly string[] | null,
  principal: string | null,
): Place {
  if (config.roots.length === 0) {
    const [only, ...more] = clientRoots ?? [];
    return { baseDir: only && more.length === 0 ? only : config.cwd, roots: null, principal };
  }
  if (clientRoots === null) {
    return { baseDir: config.roots[0] ?? config.cwd, roots: [...config.roots], principal };
  }
  const roots = narrow(config.roots.map(resolved), clientRoots.map(resolved));
  const first = resolved(config.roots[0] ?? config.cwd);
  const baseDir = roots.some((root) => contains(root, first)) ? first : (roots[0] ?? first);
  return { baseDir, roots, principal };
}

/**
 * What lies within both sets of directories, each once.
 *
 * @param roots absolute, links resolved
 * @param others likewise
 */
export function narrow(roots: readonly string[], others: readonly string[]): string[] {
  const common = roots.flatMap((root) =>
    others.flatMap((other) => {
      if (contains(root, other)) return [other];
      return contains(other, root) ? [root] : [];
    }),
  );
  return [...new Set(common)];
}

/** Whether `path` is `directory` or lies in it. */
function contains(directory: string, path: string): boolean {
  return (
    path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep)
  );
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // It is not there (yet); nothing in it can be a link.
  }
}
