/**
 * A server made of `src/mcp`'s HTTP transport and the tools, resources and prompts that the conformance
 * suite wants to find under its own names: `node scripts/run-typescript.mjs test/conformance/program.ts`.
 */
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js";
import {
  CallToolRequestSchema,
  type CallToolResult,
  CompleteRequestSchema,
  CreateMessageResultSchema,
  ElicitResultSchema,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  ReadResourceRequestSchema,
  type ServerNotification,
  type ServerRequest,
  SetLevelRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { createLogger } from "../../src/log.js";
import { listen } from "../../src/mcp/transports/http.js";
import { untilSignal } from "../../src/mcp/transports/signals.js";
import { ENUMS, PRIMITIVES } from "./elicitations.js";

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;
type Tool = (args: Record<string, any>, extra: Extra) => Promise<CallToolResult> | CallToolResult;

/** One red pixel. */
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/** The header of a sound without samples. */
const WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
const image = { type: "image", data: PNG, mimeType: "image/png" } as const;

const text = (words: string): CallToolResult => ({ content: [{ type: "text", text: words }] });
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

async function elicit(message: string, requestedSchema: object, extra: Extra) {
  const params = { message, requestedSchema } as any;
  return await extra.sendRequest({ method: "elicitation/create", params }, ElicitResultSchema);
}

const TOOLS: Record<string, Tool> = {
  test_simple_text: () => text("This is a simple text response for testing."),
  test_image_content: () => ({ content: [image] }),
  test_audio_content: () => ({ content: [{ type: "audio", data: WAV, mimeType: "audio/wav" }] }),
  test_embedded_resource: () => ({
    content: [
      {
        type: "resource",
        resource: {
          uri: "test://embedded-resource",
          mimeType: "text/plain",
          text: "This is an embedded resource content.",
        },
      },
    ],
  }),
  test_multiple_content_types: () => ({
    content: [
      { type: "text", text: "Multiple content types test:" },
      image,
      {
        type: "resource",
        resource: {
          uri: "test://mixed-content-resource",
          mimeType: "application/json",
          text: JSON.stringify({ test: "data", value: 123 }),
        },
      },
    ],
  }),
  test_tool_with_logging: async (_, { sendNotification }) => {
    const steps = ["Tool execution started", "Tool processing data", "Tool execution completed"];
    for (const data of steps) {
      await sendNotification({ method: "notifications/message", params: { level: "info", data } });
      await pause();
    }
    return text("Three messages were logged.");
  },
  test_tool_with_progress: async (_, { _meta, sendNotification }) => {
    const progressToken = _meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        const params = { progressToken, progress, total: 100 };
        await sendNotification({ method: "notifications/progress", params });
      }
      await pause();
    }
    return text("Progress was told.");
  },
  test_error_handling: () => ({
    ...text("This tool intentionally returns an error for testing"),
    isError: true,
  }),
  test_sampling: async ({ prompt }, extra) => {
    const content = { type: "text", text: String(prompt) } as const;
    const params = { messages: [{ role: "user" as const, content }], maxTokens: 100 };
    const request = { method: "sampling/createMessage" as const, params };
    const answer = await extra.sendRequest(request, CreateMessageResultSchema);
    return text(`LLM response: ${(answer.content as { text?: string }).text}`);
  },
  test_elicitation: async ({ message }, extra) => {
    const properties = {
      username: { type: "string", description: "User's response" },
      email: { type: "string", description: "User's email address" },
    };
    const schema = { type: "object", properties, required: ["username", "email"] };
    const { action, content } = await elicit(String(message), schema, extra);
    return text(`User response: ${JSON.stringify({ action, content })}`);
  },
  test_elicitation_sep1034_defaults: async (_, extra) => {
    const { action, content } = await elicit("Please confirm the defaults", PRIMITIVES, extra);
    return text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`);
  },
  test_elicitation_sep1330_enums: async (_, extra) => {
    const { action, content } = await elicit("Please choose", ENUMS, extra);
    return text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`);
  },
  test_reconnection: async (_, extra) => {
    // Closes the stream in the middle of the call: the client is to come back for the answer.
    extra.closeSSEStream?.();
    await pause();
    return text("Reconnection test completed successfully.");
  },
  json_schema_2020_12_tool: (args) => text(JSON.stringify(args)),
};

const JSON_SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object" as const,
  $defs: {
    address: {
      type: "object",
      properties: { street: { type: "string" }, city: { type: "string" } },
    },
  },
  properties: { name: { type: "string" }, address: { $ref: "#/$defs/address" } },
  additionalProperties: false,
};

const say = (words: string) => ({
  role: "user" as const,
  content: { type: "text" as const, text: words },
});

const PROMPTS: Record<string, (args: Record<string, string>) => { messages: any[] }> = {
  test_simple_prompt: () => ({ messages: [say("This is a simple prompt for testing.")] }),
  test_prompt_with_arguments: ({ arg1, arg2 }) => ({
    messages: [say(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  }),
  test_prompt_with_embedded_resource: ({ resourceUri }) => ({
    messages: [
      {
        role: "user",
        content: {
          type: "resource",
          resource: {
            uri: resourceUri,
            mimeType: "text/plain",
            text: "Embedded resource content for testing.",
          },
        },
      },
      say("Please process the embedded resource above."),
    ],
  }),
  test_prompt_with_image: () => ({
    messages: [{ role: "user", content: image }, say("Please analyze the image above.")],
  }),
};

const PROMPT_ARGUMENTS: Record<string, string[]> = {
  test_prompt_with_arguments: ["arg1", "arg2"],
  test_prompt_with_embedded_resource: ["resourceUri"],
};

/** What a resource holds; null where there is none. */
function read(uri: string) {
  if (uri === "test://static-text") {
    const words = "This is the content of the static text resource.";
    return { uri, mimeType: "text/plain", text: words };
  }
  if (uri === "test://static-binary") return { uri, mimeType: "image/png", blob: PNG };
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id === undefined) return null;
  const data = { id, templateTest: true, data: `Data for ID: ${id}` };
  return { uri, mimeType: "application/json", text: JSON.stringify(data) };
}

function createServer(): Server {
  const server = new Server(
    { name: "conformance-fixture", version: "1" },
    {
      capabilities: {
        tools: {},
        prompts: {},
        completions: {},
        logging: {},
        resources: { subscribe: true },
      },
    },
  );
  const subscribed = new Set<string>();
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: Object.keys(TOOLS).map((name) => ({
      name,
      description: `A tool of the conformance suite: ${name}`,
      inputSchema: name.startsWith("json_schema") ? JSON_SCHEMA : { type: "object" as const },
    })),
  }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const tool = TOOLS[params.name];
    if (!tool) throw new Error(`no tool ${params.name}`);
    return await tool(params.arguments ?? {}, extra);
  });
  server.setRequestHandler(ListPromptsRequestSchema, () => ({
    prompts: Object.keys(PROMPTS).map((name) => ({
      name,
      description: `A prompt of the conformance suite: ${name}`,
      arguments: (PROMPT_ARGUMENTS[name] ?? []).map((one) => ({ name: one, required: true })),
    })),
  }));
  server.setRequestHandler(GetPromptRequestSchema, ({ params }) => {
    const prompt = PROMPTS[params.name];
    if (!prompt) throw new Error(`no prompt ${params.name}`);
    return prompt(params.arguments ?? {});
  });
  server.setRequestHandler(CompleteRequestSchema, ({ params }) => ({
    completion: {
      values: ["paris", "park", "party", "test"].filter((one) =>
        one.startsWith(params.argument.value),
      ),
    },
  }));
  server.setRequestHandler(ListResourcesRequestSchema, () => ({
    resources: ["static-text", "static-binary"].map((name) => ({
      uri: `test://${name}`,
      name,
      description: `A resource of the conformance suite: ${name}`,
    })),
  }));
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [{ uriTemplate: "test://template/{id}/data", name: "template" }],
  }));
  server.setRequestHandler(ReadResourceRequestSchema, ({ params }) => {
    const content = read(params.uri);
    if (!content) throw new Error(`no resource ${params.uri}`);
    return { contents: [content] };
  });
  server.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => {
    if (!subscribed.delete(params.uri)) throw new Error(`not subscribed to ${params.uri}`);
    return {};
  });
  server.setRequestHandler(SetLevelRequestSchema, () => ({}));
  return server;
}

const { url, close } = await listen(
  {
    host: "127.0.0.1",
    port: 0,
    tokens: [],
    allowedHosts: [],
    allowedOrigins: [],
    sessionSeconds: 600,
  },
  async (transport) => {
    const server = createServer();
    await server.connect(transport);
    return server;
  },
  createLogger("warn"),
);
process.stderr.write(`Serving MCP at ${url}/mcp (the conformance suite's fixtures)\n`);
await untilSignal();
await close();
