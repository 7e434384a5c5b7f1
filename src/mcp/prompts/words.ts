import type { GetPromptResult } from "@modelcontextprotocol/sdk/types.js";

type Message = GetPromptResult["messages"][number];

export const userText = (text: string): Message => ({
  role: "user",
  content: { type: "text", text },
});

export const embedded = (uri: string, mimeType: string, text: string): Message => ({
  role: "user",
  content: { type: "resource", resource: { uri, mimeType, text } },
});

/** A literal tool call. */
export const callBlock = (tool: string, args: Record<string, unknown>): string =>
  `${tool}\n\`\`\`json\n${JSON.stringify(args, null, 2)}\n\`\`\``;

/** `a, b,,c` → the names. */
export const listed = (text: string | undefined): string[] =>
  (text ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter(Boolean);
