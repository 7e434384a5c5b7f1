import { z } from "zod";
import { FRAMEWORK_NAMES } from "./frameworks.js";
import { callArguments } from "./shared.js";

/**
 * A rule between config keys, as data that both sides read (`.refine()` is lost in JSON Schema):
 * - `requiresOneOf`: at least one of `keys` must be there;
 * - `excludes`: at most one of `keys` may be there;
 * - `onlyWith`: `key` is allowed only beside one of `keys`.
 */
export type Rule =
  | { readonly kind: "requiresOneOf"; readonly keys: readonly string[] }
  | { readonly kind: "excludes"; readonly keys: readonly string[] }
  | { readonly kind: "onlyWith"; readonly key: string; readonly keys: readonly string[] };

/** What clients are told about a tool's behaviour; all four are always stated. */
export interface Annotations {
  readonly readOnlyHint: boolean;
  readonly destructiveHint: boolean;
  readonly idempotentHint: boolean;
  readonly openWorldHint: boolean;
}

export interface Tool {
  readonly name: string;
  readonly title: string;
  /** What `tools/list` says, and all that an agent reads before it calls. */
  readonly description: string;
  readonly annotations: Annotations;
  /** The whole arguments object. */
  readonly input: z.ZodObject;
  /** Argument keys (and, for an action, config keys) shown in the lean schema, with a few words or "". */
  readonly lean: Readonly<Record<string, string>>;
}

export interface Action extends Tool {
  readonly rules: readonly Rule[];
  /** `light` where small inputs run in the resident process. */
  readonly lane: "light" | "heavy";
  /** The config key whose file decides by its size whether a light action really is light. */
  readonly lightInput?: string;
}

interface ActionDeclaration {
  name: string;
  title: string;
  description: string;
  config: z.ZodObject;
  /** Config keys shown in the lean schema; the others are named in its description. */
  lean: Record<string, string>;
  rules?: readonly Rule[];
  lane?: "light" | "heavy";
  lightInput?: string;
  annotations?: Partial<Annotations>;
}

/** Declares one of the fifteen actions: its config, and how it reads in `tools/list`. */
export function defineAction(declaration: ActionDeclaration): Action {
  const { config, annotations, rules = [], lane = "heavy", lightInput, ...rest } = declaration;
  return {
    ...rest,
    rules,
    lane,
    ...(lightInput && { lightInput }),
    annotations: {
      readOnlyHint: false,
      destructiveHint: false,
      idempotentHint: false,
      openWorldHint: false,
      ...annotations,
    },
    input: z.strictObject({
      action: z
        .literal(declaration.name)
        .optional()
        .describe("The tool's own name; may be left out."),
      framework: z
        .enum(FRAMEWORK_NAMES as [string, ...string[]])
        .default("auto")
        .describe("auto: found from the algorithm's name or the model."),
      config,
      ...callArguments,
    }),
  };
}

/** Declares a tool that is not a job: `environment`, `describe` and the four for jobs. */
export function defineTool(
  tool: Omit<Tool, "annotations"> & { annotations?: Partial<Annotations> },
): Tool {
  return {
    ...tool,
    annotations: {
      readOnlyHint: true,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
      ...tool.annotations,
    },
  };
}
