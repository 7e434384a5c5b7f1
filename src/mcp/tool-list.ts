import type { Tool } from "@modelcontextprotocol/sdk/types.js";
import { MANIFEST, OUTPUT_SCHEMA } from "../contract/index.js";

/** What `tools/list` answers: the lean schemas; the full ones stand in the manifest. */
export const TOOL_LIST: Tool[] = Object.entries({ ...MANIFEST.actions, ...MANIFEST.tools }).map(
  ([name, tool]) => ({
    name,
    title: tool.title,
    description: tool.description,
    inputSchema: tool.lean as Tool["inputSchema"],
    outputSchema: OUTPUT_SCHEMA,
    annotations: tool.annotations,
  }),
);
