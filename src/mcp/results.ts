import { readFileSync, statSync } from "node:fs";
import { basename, extname } from "node:path";
import type { CallToolResult, ContentBlock } from "@modelcontextprotocol/sdk/types.js";
import type { Answer, ErrorShape } from "../contract/index.js";
import { boundedError } from "../report/bounded.js";
import { artifactsOf, mimeTypeOf, type Run } from "./resources/artifact-paths.js";
import { jobUri } from "./resources/uris.js";

/** A plot larger than this is only linked: it would cost the agent more than it tells. */
const INLINE_PLOT_BYTES = 60 * 1024;

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
 * The links are to our own resources, which every client can read over every transport; the report
 * names the files themselves.
 *
 * @param userHome what `~` stands for in the report's paths
 */
export function answerResult(answer: Answer, job: Run, userHome: string): CallToolResult {
  if ("error" in answer) return errorResult(answer.error);
  const artifacts = [...artifactsOf(job, answer, userHome)];
  const result = plainResult(answer);
  result.content.push(...artifacts.flatMap(([name, { path }]) => link(job.id, name, path)));
  const plot = artifacts.map(([, { path }]) => inlinePlot(path)).find((block) => block !== null);
  if (plot) result.content.push(plot);
  return result;
}

function link(id: string, name: string, path: string): ContentBlock[] {
  const mimeType = mimeTypeOf(path);
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return [];
  return [
    {
      type: "resource_link",
      uri: jobUri(id, "artifacts", name),
      name: basename(path),
      title: name,
      ...(found.isFile() && { size: found.size }),
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
