import { createHash } from "node:crypto";
import { z } from "zod";
import type { Action, Annotations, Rule, Tool } from "./action.js";
import { ERROR_TYPES } from "./errors.js";
import { FRAMEWORKS, type Framework } from "./frameworks.js";
import { PROTOCOL_VERSION } from "./protocol.js";

/** A JSON Schema, as far as zod emits one for our inputs. */
export interface JsonSchema {
  type?: string;
  description?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  propertyNames?: JsonSchema;
  items?: JsonSchema;
  minItems?: number;
  minLength?: number;
  maxLength?: number;
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  default?: unknown;
}

export interface ManifestTool {
  title: string;
  description: string;
  annotations: Annotations;
  /** The full schema, against which both sides validate. */
  input: JsonSchema;
  /** The one that `tools/list` publishes. */
  lean: JsonSchema;
}

export interface ManifestAction extends ManifestTool {
  rules: readonly Rule[];
  lane: "light" | "heavy";
  lightInput?: string;
}

/** `tools.manifest.json`: the contract, for whoever does not speak TypeScript. */
export interface Manifest {
  /** Digest of everything else in it; server and runner compare it in their first message. */
  sha256: string;
  protocol: number;
  errors: Record<string, { exitCode: number; when: string }>;
  frameworks: readonly Framework[];
  actions: Record<string, ManifestAction>;
  tools: Record<string, ManifestTool>;
}

/** Builds the manifest from the declarations; the same declarations give the same bytes. */
export function buildManifest(actions: readonly Action[], tools: readonly Tool[]): Manifest {
  const content = {
    protocol: PROTOCOL_VERSION,
    errors: ERROR_TYPES,
    frameworks: FRAMEWORKS,
    actions: Object.fromEntries(actions.map((action) => [action.name, describeAction(action)])),
    tools: Object.fromEntries(tools.map((tool) => [tool.name, describeTool(tool)])),
  };
  const sha256 = createHash("sha256").update(JSON.stringify(content)).digest("hex");
  return { sha256, ...content };
}

function describeAction(action: Action): ManifestAction {
  const { rules, lane, lightInput } = action;
  const tool = describeTool(action);
  const shown = tool.lean.properties?.framework;
  const able = FRAMEWORKS.filter((row) => row.actions[action.name]);
  // An agent is not offered, and does not pay for, frameworks that cannot do it.
  if (shown?.enum && able.length > 0)
    shown.enum = ["auto", ...able.flatMap((row) => [row.name, ...row.aliases])];
  return { ...tool, rules, lane, ...(lightInput && { lightInput }) };
}

function describeTool(tool: Tool): ManifestTool {
  const { title, description, annotations } = tool;
  // `input`: a defaulted key is not required of the caller.
  const full = strip(
    z.toJSONSchema(tool.input, { io: "input" }) as JsonSchema & { $schema?: string },
  );
  return { title, description, annotations, input: full, lean: leanSchema(full, tool.lean) };
}

/** Drops what zod adds of its own: the dialect, and the bounds of exact integers. */
function strip(schema: JsonSchema & { $schema?: string }): JsonSchema {
  const { $schema: _, ...rest } = schema;
  return JSON.parse(
    JSON.stringify(rest, (key, value) => {
      const bound = key === "minimum" || key === "maximum";
      return bound && Math.abs(value) === Number.MAX_SAFE_INTEGER ? undefined : value;
    }),
  );
}

/**
 * The schema that agents pay for: types and enums of the keys named in `words`, a few words where a
 * name does not explain itself, every other key by name alone.
 */
export function leanSchema(full: JsonSchema, words: Readonly<Record<string, string>>): JsonSchema {
  const config = full.properties?.config;
  const shown = pick(full, words);
  if (!config) return shown;
  const leanConfig = pick(config, words);
  return {
    ...shown,
    properties: { ...shown.properties, config: leanConfig },
    required: ["config"],
  };
}

function pick(schema: JsonSchema, words: Readonly<Record<string, string>>): JsonSchema {
  const all = Object.entries(schema.properties ?? {}).filter(
    ([key]) => key !== "config" && key !== "action",
  );
  const shown = all.filter(([key]) => key in words);
  const rest = all.filter(([key]) => !(key in words)).map(([key]) => key);
  return {
    type: "object",
    ...(rest.length > 0 && { description: `Also: ${rest.join(", ")}.` }),
    properties: Object.fromEntries(shown.map(([key, value]) => [key, bare(value, words[key])])),
    ...(schema.required?.length && { required: schema.required }),
  };
}

/** Types, enums and key names; no bounds, defaults or descriptions. */
function bare(schema: JsonSchema, words?: string): JsonSchema {
  const { type, enum: values, items, properties, required, anyOf } = schema;
  return {
    ...(type && { type }),
    ...(words && { description: words }),
    ...(values && { enum: values }),
    ...(items && { items: bare(items) }),
    ...(anyOf && { anyOf: anyOf.map((one) => bare(one)) }),
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([key, value]) => [key, bare(value)]),
      ),
    }),
    ...(required && { required }),
  };
}
