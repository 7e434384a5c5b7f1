import { type CompleteRequest, CompleteRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { ExecutorError } from "../../contract/index.js";
import { promptOf } from "../prompts/index.js";
import { onRequest, RequestError } from "../requests.js";
import { TEMPLATES } from "../resources/list.js";
import type { Session } from "../session.js";
import { type Asked, SOURCES, type Source } from "./sources.js";

/** The protocol's limit. */
const MOST_VALUES = 100;
const LONGEST = 4096;

/** The variables of the resource templates. */
const VARIABLES: Readonly<Record<string, Source>> = {
  id: "job",
  name: "artifact",
  stream: "stream",
  action: "action",
};

/** Completes the arguments of prompts and the variables of resource templates. */
export function serveCompletions(session: Session): void {
  const { server, services } = session;
  onRequest(server, services.log, CompleteRequestSchema, async ({ params }, { requestId }) => {
    const { ref, argument, context } = params;
    const source = sourceOf(ref, argument.name);
    const asked = { typed: argument.value, others: context?.arguments ?? {}, session, requestId };
    const values = source === null ? [] : await valuesOf(source, asked);
    return {
      completion: {
        values: values.slice(0, MOST_VALUES),
        total: values.length,
        hasMore: values.length > MOST_VALUES,
      },
    };
  });
}

/**
 * Where values of an argument come from; null where it takes free text, or there is no such argument.
 *
 * @throws RequestError for a prompt or a template that is not there
 */
function sourceOf(ref: CompleteRequest["params"]["ref"], name: string): Source | null {
  if (ref.type === "ref/prompt") {
    return promptOf(ref.name).arguments.find((one) => one.name === name)?.source ?? null;
  }
  if (!TEMPLATES.some(({ uriTemplate }) => uriTemplate === ref.uri)) {
    throw RequestError.invalidParams("There is no such template: see resources/templates/list", {
      uri: ref.uri.slice(0, 300),
    });
  }
  const known = ref.uri.includes(`{${name}}`) && Object.hasOwn(VARIABLES, name);
  return known ? (VARIABLES[name] ?? null) : null;
}

async function valuesOf(source: Source, asked: Asked): Promise<readonly string[]> {
  if (asked.typed.length > LONGEST) return [];
  try {
    return await SOURCES[source](asked);
  } catch (error) {
    if (!(error instanceof ExecutorError)) throw error;
    // Nothing is known to fit; the call itself will say what is wrong.
    asked.session.services.log.debug({ err: error, source }, "nothing to complete with");
    return [];
  }
}
