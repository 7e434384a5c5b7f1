import type { JsonSchema } from "./manifest.js";
import { nearest } from "./nearest.js";
import { isObject, type Json, type Mend, type Problem, problem, show } from "./problems.js";

/** Holds a value against the part of JSON Schema that zod emits for our inputs. */

/** What is wrong with `value` by a schema of the manifest; `key` is its dotted path. */
export function check(schema: JsonSchema, value: unknown, key: string): Problem[] {
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
    return [
      problem(
        key,
        `must have at least ${schema.minItems} item${schema.minItems === 1 ? "" : "s"}`,
        value,
      ),
    ];
  const { items } = schema;
  return items ? value.flatMap((item, index) => check(items, item, `${key}[${index}]`)) : [];
}

function checkObject(schema: JsonSchema, value: Json, key: string): Problem[] {
  const known = schema.properties;
  const at = (name: string) => (key ? `${key}.${name}` : name);
  if (!known) {
    const each = schema.additionalProperties;
    if (typeof each !== "object") return [];
    return Object.entries(value).flatMap(([name, inner]) => check(each, inner, at(name)));
  }
  const problems: Problem[] = [];
  for (const name of schema.required ?? [])
    if (value[name] === undefined)
      problems.push({ key: at(name), message: `'${at(name)}' is required` });
  for (const [name, inner] of Object.entries(value)) {
    const innerSchema = Object.hasOwn(known, name) ? known[name] : undefined;
    if (innerSchema)
      problems.push(...(inner === undefined ? [] : check(innerSchema, inner, at(name))));
    else problems.push(unknownKey(at(name), name, inner, Object.keys(known), value));
  }
  return problems;
}

function unknownKey(
  key: string,
  name: string,
  sent: unknown,
  known: string[],
  siblings: Json,
): Problem {
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
  else if (minimum !== undefined) parts.push(`at least ${minimum}`);
  if (exclusiveMaximum !== undefined) parts.push(`less than ${exclusiveMaximum}`);
  else if (maximum !== undefined) parts.push(`at most ${maximum}`);
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
    return [
      problem(
        key,
        `must have at most ${schema.maxLength} characters`,
        `${[...value].slice(0, 40).join("")}…`,
      ),
    ];
  return [];
}

function enumProblem(key: string, allowed: unknown[], value: unknown): Problem {
  const near = typeof value === "string" ? nearest(value, allowed.map(String)) : null;
  return {
    ...problem(key, `must be one of ${allowed.map(show).join(", ")}`, value, allowed),
    ...(near && { nearest: near, mend: { kind: "set", value: near } satisfies Mend }),
  };
}
