import {
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { onRequest, RequestError } from "../requests.js";
import type { Session } from "../session.js";
import { type Arguments, PROMPTS, type Prompt } from "./definitions.js";

/** Serves the prompts. */
export function servePrompts(session: Session): void {
  const { server, services } = session;
  onRequest(server, services.log, ListPromptsRequestSchema, () => ({
    prompts: PROMPTS.map(({ messages: _, arguments: args, ...prompt }) => ({
      ...prompt,
      arguments: args.map(({ source: __, ...argument }) => argument),
    })),
  }));
  onRequest(server, services.log, GetPromptRequestSchema, async ({ params }) => {
    const prompt = promptOf(params.name);
    const args = checked(prompt, params.arguments ?? {});
    return { description: prompt.description, messages: await prompt.messages(args, session) };
  });
}

/** @throws RequestError where there is none of that name */
export function promptOf(name: string): Prompt {
  const prompt = PROMPTS.find((one) => one.name === name);
  if (prompt) return prompt;
  const allowed = PROMPTS.map((one) => one.name);
  throw RequestError.invalidParams(
    `There is no prompt '${name.slice(0, 100)}'; there are ${allowed.join(", ")}`,
    { allowed },
  );
}

/** Those that were given, where all that are needed are there and none is unknown; empty ones are not given. */
function checked(prompt: Prompt, sent: Arguments): Arguments {
  const known = prompt.arguments.map(({ name }) => name);
  const unknown = Object.keys(sent).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw RequestError.invalidParams(
      `The prompt ${prompt.name} has no argument '${unknown.slice(0, 100)}'; it takes ${known.join(", ")}`,
      { argument: unknown.slice(0, 100), allowed: known },
    );
  }
  const given = Object.entries(sent).filter(([, value]) => value.trim() !== "");
  const args = Object.fromEntries(given);
  const missing = prompt.arguments.find(({ name, required }) => required && !(name in args));
  if (missing) {
    throw RequestError.invalidParams(`The prompt ${prompt.name} needs '${missing.name}'`, {
      argument: missing.name,
    });
  }
  return args;
}
