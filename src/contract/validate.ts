import { type Call, ExecutorError } from "./errors.js";
import type { Rule } from "./action.js";
import type { JsonSchema, Manifest } from "./manifest.js";
import { nearest } from "./nearest.js";

/**
 * Checks a call against the manifest, as `runners/ml_runner/validate.py` does on the other side: the
 * same problems in the same words, held together by `test/golden/validation.json`.
 */

/** One thing wrong with a call. */
export interface Problem {
  /** Dotted path of the parameter. */
  key: string;
  message: string;
  sent?: unknown;
  allowed?: unknown;
  nearest?: string;
  /** How to mend it, where that is beyond doubt. */
  mend?: Mend;
}

type Mend = { kind: "rename"; to: string } | { kind: "set"; value: unknown } | { kind: "move"; to: "config" | "top" } | { kind: "drop" };

type Json = Record<string, unknown>;

/** The arguments of an action's call, once they are known to be valid. */
export interface ActionArguments {
  framework?: string;
  config: Json;
  outputDir?: string;
  gpuEnabled?: boolean;
  timeout?: number;
  pythonEnv?: string;
  waitSeconds?: number;
  requestId?: string;
  overwrite?: boolean;
}

const MOST_PROBLEMS = 5;

/**
 * Validates the arguments of an action.
 *
 * @throws ExecutorError `invalid-configuration` that names every key, what was sent and what is allowed.
 */
export function validateAction(manifest: Manifest, name: string, args: unknown): ActionArguments {
  if (!manifest.actions[name]) throw unknownAction(manifest, name);
  const problems = actionProblems(manifest, name, args);
  if (problems.length > 0) throw refusal(manifest, name, args, problems);
  return args as ActionArguments;
}

function actionProblems(manifest: Manifest, name: string, args: unknown): Problem[] {
  const action = manifest.actions[name];
  if (!action) return [];
  const problems = check(action.input, args, "");
  if (!isObject(args) || !isObject(args.config)) return problems;
  nameRightLevel(action.input, args, problems);
  return [
    ...problems,
    ...frameworkProblems(manifest, name, args, args.config),
    ...ruleProblems(action.rules, args.config),
  ];
}

/** Validates the arguments of a tool that is not an action. */
export function validateTool(manifest: Manifest, name: string, args: unknown): Json {
  const tool = manifest.tools[name];
  if (!tool) throw unknownAction(manifest, name);
  const problems = check(tool.input, args, "");
  if (problems.length > 0) throw refusal(manifest, name, args, problems);
  return args as Json;
}

function unknownAction(manifest: Manifest, name: string): ExecutorError {
  const known = [...Object.keys(manifest.actions), ...Object.keys(manifest.tools)];
  const near = nearest(name, known);
  return ExecutorError.invalidConfiguration(`There is no action '${name}'`, {
    solution: near ? `Did you mean '${near}'? The actions are: ${known.join(", ")}.` : `The actions are: ${known.join(", ")}.`,
    metadata: { key: "action", sent: name, allowed: known, ...(near && { nearest: near }) },
  });
}

// -- the schema -----------------------------------------------------------------------------------

function check(schema: JsonSchema, value: unknown, key: string): Problem[] {
  if (schema.anyOf) return checkUnion(schema.anyOf, value, key);
  if (schema.const !== undefined && value !== schema.const)
    return [problem(key, `must be ${show(schema.const)}`, value, [schema.const])];
  if (schema.enum && !schema.enum.includes(value)) return [enumProblem(key, schema.enum, value)];
  const mismatch = schema.type ? typeProblem(schema.type, value, key) : null;
  if (mismatch) return [mismatch];
  if (typeof value === "number") return boundProblems(schema, value, key);
  if (typeof value === "string") return lengthProblems(schema, value, key);
  if (Array.isArray(value)) return checkArray(schema, value, key);
  return isObject(value) && schema.type === "object" ? checkObject(schema, value, key) : [];
}

function checkUnion(options: JsonSchema[], value: unknown, key: string): Problem[] {
  const results = options.map((option) => check(option, value, key));
  if (results.some((result) => result.length === 0)) return [];
  // An option of the right type is the one that was meant: its own complaint says more.
  const meant = options.findIndex((option) => option.type && !typeProblem(option.type, value, key));
  if (meant >= 0) return results[meant] ?? [];
  const types = options.map((option) => option.type ?? "a fixed value").join(" or ");
  return [problem(key, `must be ${types}`, value, types)];
}

function checkArray(schema: JsonSchema, value: unknown[], key: string): Problem[] {
  if (value.length < (schema.minItems ?? 0))
    return [problem(key, `must have at least ${schema.minItems} item${schema.minItems === 1 ? "" : "s"}`, value)];
  const { items } = schema;
  return items ? value.flatMap((item, index) => check(items, item, `${key}[${index}]`)) : [];
}

function checkObject(schema: JsonSchema, value: Json, key: string): Problem[] {
  const known = schema.properties;
  if (!known) return [];
  const at = (name: string) => (key ? `${key}.${name}` : name);
  const problems: Problem[] = [];
  for (const name of schema.required ?? [])
    if (value[name] === undefined) problems.push({ key: at(name), message: `'${at(name)}' is required` });
  for (const [name, inner] of Object.entries(value)) {
    const innerSchema = Object.hasOwn(known, name) ? known[name] : undefined;
    if (innerSchema) problems.push(...(inner === undefined ? [] : check(innerSchema, inner, at(name))));
    else problems.push(unknownKey(at(name), name, inner, Object.keys(known), value));
  }
  return problems;
}

function unknownKey(key: string, name: string, sent: unknown, known: string[], siblings: Json): Problem {
  const near = nearest(name, known);
  const free = near !== null && siblings[near] === undefined;
  return {
    key,
    message: `'${key}' is not a known parameter${near ? `; did you mean '${near}'?` : ""}`,
    sent,
    allowed: known,
    ...(near && { nearest: near }),
    ...(near && free && { mend: { kind: "rename", to: near } satisfies Mend }),
  };
}

const TYPE_NAMES: Record<string, string> = {
  string: "a string",
  number: "a number",
  integer: "an integer",
  boolean: "true or false",
  array: "an array",
  object: "an object",
  null: "null",
};

function typeProblem(type: string, value: unknown, key: string): Problem | null {
  if (hasType(type, value)) return null;
  const found = problem(key, `must be ${TYPE_NAMES[type] ?? type}`, value, type);
  const mended = coerce(type, value);
  return mended === undefined ? found : { ...found, mend: { kind: "set", value: mended } };
}

function hasType(type: string, value: unknown): boolean {
  switch (type) {
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return typeof value === "number" && Number.isInteger(value);
    case "number":
      return typeof value === "number" && Number.isFinite(value);
    case "null":
      return value === null;
    default:
      return typeof value === type;
  }
}

/** What the value means beyond doubt in the type asked for; undefined where there is doubt. */
function coerce(type: string, value: unknown): unknown {
  if (type === "array" && typeof value === "string" && value !== "") return [value];
  if (typeof value !== "string") return undefined;
  if (type === "boolean" && /^(true|false)$/i.test(value)) return value.toLowerCase() === "true";
  if (type === "integer" && /^-?\d{1,15}$/.test(value)) return Number(value);
  if (type === "number" && /^-?\d{1,15}(\.\d{1,15})?$/.test(value)) return Number(value);
  return undefined;
}

function boundProblems(schema: JsonSchema, value: number, key: string): Problem[] {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  const parts: string[] = [];
  if (exclusiveMinimum !== undefined) parts.push(`greater than ${exclusiveMinimum}`);
  else if (minimum !== undefined && minimum > -9007199254740991) parts.push(`at least ${minimum}`);
  if (exclusiveMaximum !== undefined) parts.push(`less than ${exclusiveMaximum}`);
  else if (maximum !== undefined && maximum < 9007199254740991) parts.push(`at most ${maximum}`);
  const broken =
    (minimum !== undefined && value < minimum) ||
    (maximum !== undefined && value > maximum) ||
    (exclusiveMinimum !== undefined && value <= exclusiveMinimum) ||
    (exclusiveMaximum !== undefined && value >= exclusiveMaximum);
  return broken ? [problem(key, `must be ${parts.join(" and ")}`, value, parts.join(" and "))] : [];
}

function lengthProblems(schema: JsonSchema, value: string, key: string): Problem[] {
  const length = [...value].length;
  if (length < (schema.minLength ?? 0)) return [problem(key, "must not be empty", value)];
  if (schema.maxLength !== undefined && length > schema.maxLength)
    return [problem(key, `must have at most ${schema.maxLength} characters`, `${[...value].slice(0, 40).join("")}…`)];
  return [];
}

function enumProblem(key: string, allowed: unknown[], value: unknown): Problem {
  const near = typeof value === "string" ? nearest(value, allowed.map(String)) : null;
  return {
    ...problem(key, `must be one of ${allowed.map(show).join(", ")}`, value, allowed),
    ...(near && { nearest: near, mend: { kind: "set", value: near } satisfies Mend }),
  };
}

function problem(key: string, must: string, sent: unknown, allowed?: unknown): Problem {
  const name = key || "arguments";
  return { key: name, message: `'${name}' ${must}, not ${show(sent)}`, sent, ...(allowed !== undefined && { allowed }) };
}

/** A value as it reads in a sentence: JSON, cut short. */
function show(value: unknown): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  const letters = [...text];
  return letters.length > 60 ? `${letters.slice(0, 57).join("")}…` : text;
}

// -- what a schema cannot say ---------------------------------------------------------------------

/** Says of an unknown key that it is known on the other level: a config key beside `config`, or an argument inside it. */
function nameRightLevel(input: JsonSchema, args: Json, problems: Problem[]): void {
  const configKeys = input.properties?.config?.properties ?? {};
  const topKeys = input.properties ?? {};
  for (const found of problems) {
    const inConfig = found.key.startsWith("config.");
    const name = inConfig ? found.key.slice("config.".length) : found.key;
    if (!("sent" in found) || !found.message.includes("is not a known parameter")) continue;
    if (!inConfig && Object.hasOwn(configKeys, name)) {
      const free = (args.config as Json)[name] === undefined;
      amend(found, `'${name}' belongs into 'config'`, free ? { kind: "move", to: "config" } : undefined);
    } else if (inConfig && name !== "config" && Object.hasOwn(topKeys, name)) {
      const free = args[name] === undefined;
      amend(found, `'${name}' belongs beside 'config', not into it`, free ? { kind: "move", to: "top" } : undefined);
    }
  }
}

function amend(found: Problem, message: string, mend: Mend | undefined): void {
  found.message = message;
  delete found.nearest;
  delete found.allowed;
  delete found.mend;
  if (mend) found.mend = mend;
}

function frameworkProblems(manifest: Manifest, action: string, args: Json, config: Json): Problem[] {
  const sent = args.framework ?? "auto";
  if (typeof sent !== "string") return [];
  if (sent === "auto") return requiredByAll(manifest, action, config);
  const row = manifest.frameworks.find((one) => one.name === sent || one.aliases.includes(sent));
  if (!row) return [];
  const capability = row.actions[action];
  const able = manifest.frameworks.filter((one) => one.actions[action]).map((one) => one.name);
  if (!capability)
    return [{ key: "framework", message: `${row.title} cannot ${action}`, sent, allowed: able }];
  const known = manifest.actions[action]?.input.properties?.config?.properties ?? {};
  const problems: Problem[] = capability.requires
    .filter((key) => config[key] === undefined)
    .map((key) => ({ key: `config.${key}`, message: `'config.${key}' is required for ${action} with ${row.name}` }));
  const { requiresOneOf = [] } = capability;
  if (requiresOneOf.length > 0 && requiresOneOf.every((key) => config[key] === undefined)) {
    const names = requiresOneOf.map((key) => `'config.${key}'`).join(" or ");
    problems.push({ key: `config.${requiresOneOf[0]}`, message: `${names} is required for ${action} with ${row.name}` });
  }
  for (const key of Object.keys(config)) {
    if (!Object.hasOwn(known, key) || config[key] === undefined || capability.keys.includes(key)) continue;
    const users = manifest.frameworks.filter((one) => one.actions[action]?.keys.includes(key)).map((one) => one.name);
    problems.push({
      key: `config.${key}`,
      message: `'config.${key}' is not used by ${row.name}${users.length ? `; it is by ${users.join(", ")}` : ""}`,
      sent: config[key],
      allowed: [...capability.keys],
      mend: { kind: "drop" },
    });
  }
  return problems;
}

/** Where the framework is still to be found: what is required whichever it turns out to be. */
function requiredByAll(manifest: Manifest, action: string, config: Json): Problem[] {
  const able = manifest.frameworks.flatMap((row) => row.actions[action] ?? []);
  return (able[0]?.requires ?? [])
    .filter((key) => able.every((one) => one.requires.includes(key)) && config[key] === undefined)
    .map((key) => ({ key: `config.${key}`, message: `'config.${key}' is required for ${action}` }));
}

function ruleProblems(rules: readonly Rule[], config: Json): Problem[] {
  const there = (key: string) => config[key] !== undefined;
  const list = (keys: readonly string[]) => keys.map((key) => `'config.${key}'`).join(", ");
  return rules.flatMap((rule): Problem[] => {
    switch (rule.kind) {
      case "requiresOneOf":
        if (rule.keys.some(there)) return [];
        return [{ key: `config.${rule.keys[0]}`, message: `one of ${list(rule.keys)} is required`, allowed: [...rule.keys] }];
      case "excludes": {
        const sent = rule.keys.filter(there);
        if (sent.length < 2) return [];
        return [{ key: `config.${sent[1]}`, message: `only one of ${list(sent)} may be given`, sent: config[sent[1] ?? ""] }];
      }
      case "onlyWith":
        if (!there(rule.key) || rule.keys.some(there)) return [];
        return [
          {
            key: `config.${rule.key}`,
            message: `'config.${rule.key}' needs ${rule.keys.length > 1 ? "one of " : ""}${list(rule.keys)} beside it`,
            sent: config[rule.key],
          },
        ];
    }
  });
}

// -- the answer -----------------------------------------------------------------------------------

function refusal(manifest: Manifest, tool: string, args: unknown, all: Problem[]): ExecutorError {
  const problems = all.slice(0, MOST_PROBLEMS);
  const message = problems.map((one) => one.message).join("; ") + (all.length > problems.length ? `; and ${all.length - problems.length} more` : "");
  const first = problems[0];
  const details = problems.map(({ mend: _, message: __, ...rest }) => rest);
  const call = nextCall(manifest, tool, args, all);
  return ExecutorError.invalidConfiguration(message, {
    solution: call
      ? "Send nextCall: it is this call with that mended."
      : `Mend ${problems.map((one) => `'${one.key}'`).join(", ")} and call again; describe {"action": "${tool}"} shows every parameter.`,
    metadata: first && problems.length === 1 ? { ...details[0] } : { problems: details },
    ...(call && { nextCall: call }),
  });
}

/** The call with everything mended that can be beyond doubt, where no problem is left then. */
function nextCall(manifest: Manifest, tool: string, args: unknown, problems: Problem[]): Call | undefined {
  if (!isObject(args)) return undefined;
  const mended = structuredClone(args);
  for (const { key, mend, sent } of problems) {
    if (!mend) continue;
    const steps = key.split(".");
    const name = steps.pop() ?? "";
    const parent = steps.reduce<unknown>((at, step) => (isObject(at) ? at[step] : undefined), mended);
    if (!isObject(parent) || !Object.hasOwn(parent, name)) return undefined;
    if (mend.kind === "set") parent[name] = mend.value;
    else delete parent[name];
    if (mend.kind === "rename") parent[mend.to] = sent;
    if (mend.kind === "move" && mend.to === "top") mended[name] = sent;
    if (mend.kind === "move" && mend.to === "config") (mended.config as Json)[name] = sent;
  }
  const input = manifest.tools[tool]?.input;
  const left = input ? check(input, mended, "") : actionProblems(manifest, tool, mended);
  return left.length === 0 ? { tool, arguments: mended } : undefined;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
