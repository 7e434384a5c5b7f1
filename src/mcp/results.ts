import { readFileSync, statSync } from "node:fs";
import { basename, extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { CallToolResult, ContentBlock } from "@modelcontextprotocol/sdk/types.js";
import type { Answer, ErrorShape } from "../contract/index.js";
import { boundedError } from "../report/bounded.js";

/** A plot larger than this is only linked: it would cost the agent more than it tells. */
const INLINE_PLOT_BYTES = 60 * 1024;

const MIME_TYPES: Record<string, string> = {
  ".csv": "text/csv",
  ".json": "application/json",
  ".log": "text/plain",
  ".md": "text/markdown",
  ".png": "image/png",
  ".txt": "text/plain",
};

/** A result without files: the same JSON as structure and as text. */
export function plainResult(content: Record<string, unknown>): CallToolResult {
  return {
    content: [{ type: "text", text: JSON.stringify(content) }],
    structuredContent: content,
  };
}

export function errorResult(error: ErrorShape): CallToolResult {
  return { ...plainResult({ error: boundedError(error) }), isError: true };
}

/**
 * The result for a job's answer: its JSON, links to its artifacts, and the first plot that is small
 * enough.
 *
 * @param baseDir where the report's relative paths are taken from
 */
export function answerResult(answer: Answer, baseDir: string): CallToolResult {
  if ("error" in answer) return errorResult(answer.error);
  const artifacts = Object.entries(answer.executionReport.artifacts ?? {}).map(
    ([name, path]) => [name, resolve(baseDir, path)] as const,
  );
  const result = plainResult(answer);
  result.content.push(...artifacts.flatMap(([name, path]) => link(name, path)));
  const plot = artifacts.map(([, path]) => inlinePlot(path)).find((block) => block !== null);
  if (plot) result.content.push(plot);
  return result;
}

function link(name: string, path: string): ContentBlock[] {
  const mimeType = MIME_TYPES[extname(path)];
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) return [];
  return [
    {
      type: "resource_link",
      uri: pathToFileURL(path).href,
      name: basename(path),
      title: name,
      size,
      ...(mimeType && { mimeType }),
    },
  ];
}

function inlinePlot(path: string): ContentBlock | null {
  if (extname(path) !== ".png") return null;
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? Number.POSITIVE_INFINITY;
  if (size > INLINE_PLOT_BYTES) return null;
  return { type: "image", data: readFileSync(path).toString("base64"), mimeType: "image/png" };
}
