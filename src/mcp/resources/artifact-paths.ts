import { extname, join, resolve, sep } from "node:path";
import type { Answer, JobRequest } from "../../contract/index.js";

/** A file or directory that a report names. */
export interface Artifact {
  /** Absolute. */
  readonly path: string;
  /** The directory that its job wrote into; null where the call named the artifact's own path. */
  readonly within: string | null;
}

/** What of a job is needed to find its files. */
export interface Run {
  readonly id: string;
  readonly request: JobRequest;
  readonly directory: string;
}

/**
 * The artifacts that a job's report names, by their keys.
 *
 * @param userHome what `~` stands for
 */
export function artifactsOf(
  { request, directory }: Run,
  answer: Answer | null,
  userHome: string,
): Map<string, Artifact> {
  const absolute = (path: string) =>
    path === "~" || path.startsWith("~/")
      ? join(userHome, path.slice(1))
      : resolve(request.baseDir, path);
  const { outputDir } = request.request;
  const output = outputDir === undefined ? join(directory, "artifacts") : absolute(outputDir);
  const named =
    answer && "executionReport" in answer ? (answer.executionReport.artifacts ?? {}) : {};
  return new Map(
    Object.entries(named).map(([name, sent]) => {
      const path = absolute(sent);
      return [name, { path, within: isIn(output, path) ? output : null }];
    }),
  );
}

/** Whether `path` is `directory` or lies in it; both absolute. */
export const isIn = (directory: string, path: string): boolean =>
  path === directory || path.startsWith(directory === sep ? sep : directory + sep);

const MIME_TYPES: Record<string, string> = {
  ".csv": "text/csv",
  ".html": "text/html",
  ".json": "application/json",
  ".log": "text/plain",
  ".md": "text/markdown",
  ".png": "image/png",
  ".py": "text/x-python",
  ".svg": "image/svg+xml",
  ".txt": "text/plain",
};

/** By the name's ending; undefined where that tells nothing. */
export const mimeTypeOf = (path: string): string | undefined =>
  MIME_TYPES[extname(path).toLowerCase()];
