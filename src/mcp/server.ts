import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import {
  type CallToolResult,
  ListToolsRequestSchema,
  type RequestId,
} from "@modelcontextprotocol/sdk/types.js";
import { ExecutorError, MANIFEST } from "../contract/index.js";
import { placeOf } from "../jobs/base-dir.js";
import { callAction } from "./action-call.js";
import { ToolCallSchema } from "./call-request.js";
import { Cancellations } from "./cancellation.js";
import { serveCompletions } from "./completions/index.js";
import type { CallContext, Services } from "./context.js";
import { INSTRUCTIONS } from "./instructions.js";
import { SessionLog } from "./logging.js";
import { servePrompts } from "./prompts/index.js";
import { serveResources } from "./resources/index.js";
import { errorResult } from "./results.js";
import { ClientRoots } from "./roots.js";
import type { Session } from "./session.js";
import { callTool } from "./tool-calls.js";
import { TOOL_LIST } from "./tool-list.js";

export const VERSION = "0.1.0";

/**
 * One MCP session over a transport.
 *
 * @param principal whose jobs this session may see; null: everybody on this machine's state directory
 */
export async function serve(
  transport: Transport,
  services: Services,
  principal: string | null,
): Promise<Server> {
  // The low-level server: the SDK's own validation says too little for an agent to mend its call.
  const server = new Server(
    { name: "ml-executor", title: "ML Executor", version: VERSION },
    {
      capabilities: {
        tools: {},
        resources: { subscribe: true, listChanged: true },
        prompts: {},
        completions: {},
        logging: {},
      },
      instructions: INSTRUCTIONS,
    },
  );
  const roots = new ClientRoots(server, services.log);
  const cancellations = new Cancellations();
  const place = async (during: RequestId) =>
    placeOf(services.config, await roots.list(during), principal);
  const end = new AbortController();
  server.onclose = () => end.abort();
  const session: Session = { server, services, principal, place, closed: end.signal };
  const log = new SessionLog(session);
  serveResources(session);
  serveCompletions(session);
  servePrompts(session);

  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: TOOL_LIST }));

  server.setRequestHandler(ToolCallSchema, async (request, extra) => {
    const { name, sent, _meta } = request.params;
    const context: CallContext = {
      services,
      signal: extra.signal,
      progressToken: _meta?.progressToken,
      notify: extra.sendNotification,
      cancelled: () => cancellations.take(extra.requestId),
      place: () => place(extra.requestId),
      follow: (job) => log.follow(job),
    };
    return await cancellations.during(extra.requestId, () => answerOrError(name, sent, context));
  });

  await server.connect(transport);
  cancellations.watch(transport);
  return server;
}

/** The one place where an error becomes an answer. */
async function answerOrError(
  name: string,
  args: unknown,
  context: CallContext,
): Promise<CallToolResult> {
  try {
    return Object.hasOwn(MANIFEST.tools, name)
      ? await callTool(name, args, context)
      : await callAction(name, args, context);
  } catch (error) {
    const known = ExecutorError.internal(error);
    if (known.shape.type === "internal-error")
      context.services.log.error({ err: error, tool: name }, "a call failed");
    return errorResult(known.shape);
  }
}
