import { join } from "node:path";
import fc from "fast-check";
import { MANIFEST } from "../../src/contract/index.js";
import type { JsonSchema, ManifestAction } from "../../src/contract/manifest.js";
import { hostileKey, hostileString, hostileValue } from "./values.js";
import { type World, wordsFor } from "./words.js";

/** Arbitrary calls, made from the manifest: an action that is added to it is called too. */

export interface HostileCall {
  tool: string;
  args: any;
}

type Json = Record<string, any>;
type Words = (key: string) => fc.Arbitrary<unknown> | null;

/** Jobs with names that go on without end are ended after this; a slot is wanted by the next. */
const LONGEST_SECONDS = 3;

/** Calls of every tool, of which a good part fits its schema. */
export function hostileCall(world: World): fc.Arbitrary<HostileCall> {
  const words = wordsFor(world);
  const actions = Object.entries(MANIFEST.actions);
  const heavy = actions.filter(([, action]) => action.lane === "heavy");
  const light = actions.filter(([, action]) => action.lane === "light");
  const tools = Object.entries(MANIFEST.tools).filter(([name]) => !SELDOM.has(name));
  const seldom = Object.entries(MANIFEST.tools).filter(([name]) => SELDOM.has(name));
  const actionCall = ([name, action]: [string, ManifestAction]) =>
    validAction(name, action, words).map((args) => ({ tool: name, args }));
  const toolCall = ([name, { input }]: (typeof tools)[number]) =>
    valid(input, "", words).map((args) => ({ tool: name, args }));
  const some = (weight: number, arbitraries: fc.Arbitrary<HostileCall>[]) =>
    arbitraries.map((arbitrary) => ({
      arbitrary,
      weight: Math.max(1, Math.round(weight / arbitraries.length)),
    }));
  const fitting = fc.oneof(
    ...some(100, heavy.map(actionCall)),
    ...some(500, light.map(actionCall)),
    ...some(400, tools.map(toolCall)),
    ...some(3, seldom.map(toolCall)),
  );
  const mutated = fc
    .tuple(fitting, fc.array(mutation, { minLength: 1, maxLength: 3 }))
    .map(([{ tool, args }, steps]) => ({ tool, args: steps.reduce(mutate, args) }));
  const nameless = fc.record({ tool: hostileString, args: hostileValue });
  return fc
    .oneof(
      { weight: 66, arbitrary: fitting },
      { weight: 32, arbitrary: mutated },
      { weight: 2, arbitrary: nameless },
    )
    .map((call) => bounded(call, world));
}

/** Those that look at every interpreter of the machine, or end other calls. */
const SELDOM = new Set(["environment", "job-cancel"]);

/** Values that fit a schema of the manifest. */
function valid(schema: JsonSchema, key: string, words: Words): fc.Arbitrary<any> {
  const open = schema.type !== "boolean" && schema.type !== "array" && !schema.enum;
  const own = open && schema.const === undefined ? words(key) : null;
  if (own && !schema.properties) return own;
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one) => valid(one, key, words)));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch (schema.type) {
    case "boolean":
      return fc.boolean();
    case "integer":
    case "number":
      return number(schema);
    case "array":
      return fc.array(valid(schema.items ?? {}, key, words), {
        minLength: schema.minItems ?? 0,
        maxLength: 3,
      });
    case "object":
      return schema.properties
        ? object(schema.properties, schema.required ?? [], words)
        : fc.dictionary(
            fc.oneof(fc.constant("layer"), fc.string({ maxLength: 8 })),
            typeof schema.additionalProperties === "object"
              ? valid(schema.additionalProperties, "", words)
              : hostileValue,
            { maxKeys: 3 },
          );
    case "string":
      return fc.string({ minLength: schema.minLength ?? 0, maxLength: schema.maxLength ?? 20 });
    default:
      return hostileValue;
  }
}

function object(
  properties: Record<string, JsonSchema>,
  required: readonly string[],
  words: Words,
): fc.Arbitrary<Json> {
  const fields = Object.fromEntries(
    Object.entries(properties).map(([key, schema]) => {
      const value = valid(schema, key, words);
      // Not all optional ones at once: with each more, less of the calls can be done.
      return [key, required.includes(key) ? value : fc.option(value, { nil: undefined, freq: 1 })];
    }),
  );
  return fc.tuple(fc.record(fields), fc.infiniteStream(fc.boolean())).map(([all, keep]) => {
    const entries = Object.entries(all).filter(
      ([key, value]) => value !== undefined && (required.includes(key) || keep.next().value),
    );
    return Object.fromEntries(entries);
  });
}

function number(schema: JsonSchema): fc.Arbitrary<number> {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, type } = schema;
  const low = minimum ?? exclusiveMinimum ?? -1000;
  const high = maximum ?? exclusiveMaximum ?? 2 ** 53;
  if (type === "integer") {
    const least = exclusiveMinimum === undefined ? low : low + 1;
    return fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: least, max: Math.min(high, least + 5) }) },
      { weight: 1, arbitrary: fc.constantFrom(least, high) },
    );
  }
  return fc
    .double({ min: low, max: Math.min(high, low + 5), noNaN: true })
    .filter((n) => n !== exclusiveMinimum && n !== exclusiveMaximum);
}

/** Arguments of an action that one of its frameworks takes. */
function validAction(name: string, action: ManifestAction, words: Words): fc.Arbitrary<Json> {
  const { config, ...top } = action.input.properties ?? {};
  const able = MANIFEST.frameworks.filter((row) => row.actions[name]);
  const variants = able.map((row) => {
    const { keys, requires, requiresOneOf = [] } = row.actions[name]!;
    const used = Object.fromEntries(
      Object.entries(config?.properties ?? {}).filter(([key]) => keys.includes(key)),
    );
    const required = [...requires, ...requiresOneOf.slice(0, 1), ...(config?.required ?? [])];
    return fc.record({
      framework: fc.constantFrom(row.name, ...row.aliases, "auto"),
      config: object(used, required, words).map((chosen) => keepingRules(action, chosen)),
    });
  });
  const calls = variants.length > 0 ? fc.oneof(...variants) : valid(action.input, "", words);
  const { framework: _, action: __, pythonEnv: ___, ...rest } = top;
  const others = object(rest, [], words);
  return fc.tuple(calls, others).map(([call, more]) => ({ ...call, ...more }));
}

/** Drops the keys that the action's rules do not allow beside the others. */
function keepingRules(action: ManifestAction, config: Json): Json {
  const kept = { ...config };
  for (const rule of action.rules) {
    if (rule.kind === "excludes")
      for (const key of rule.keys.filter((one) => one in kept).slice(1)) delete kept[key];
    if (rule.kind === "onlyWith" && !rule.keys.some((one) => one in kept)) delete kept[rule.key];
  }
  return kept;
}

/** One change somewhere in the arguments. */
type Mutation =
  | { kind: "set"; where: number; value: unknown }
  | { kind: "drop"; where: number }
  | { kind: "add"; where: number; key: string; value: unknown }
  | { kind: "whole"; value: unknown };

const where = fc.nat({ max: 1000 });
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ kind: fc.constant("set" as const), where, value: hostileValue }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("drop" as const), where }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("add" as const),
      where,
      key: hostileKey,
      value: hostileValue,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("whole" as const), value: hostileValue }) },
);

function mutate(args: unknown, step: Mutation): unknown {
  if (step.kind === "whole") return step.value;
  const copy = structuredClone(args);
  const places = placesIn(copy);
  const place = places[step.where % Math.max(1, places.length)];
  if (!place) return copy;
  const [holder, key] = place;
  if (step.kind === "set") holder[key] = step.value;
  else if (step.kind === "drop") delete holder[key];
  // An own property, also where it is called `__proto__`.
  else
    Object.defineProperty(holder, step.key, {
      value: step.value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  return copy;
}

/** Every (object, key) in a value, to the depth of what a schema describes. */
function placesIn(value: unknown, depth = 0): [any, string][] {
  if (typeof value !== "object" || value === null || depth > 3) return [];
  return Object.keys(value).flatMap((key) => [
    [value, key] as [any, string],
    ...placesIn((value as Json)[key], depth + 1),
  ]);
}

/** Keeps a job that fits the schema from running for an hour, and from writing outside its world. */
function bounded({ tool, args }: HostileCall, world: World): HostileCall {
  if (!isRecord(args)) return { tool, args };
  const { timeout, waitSeconds } = args;
  const endless =
    timeout === undefined || (typeof timeout === "number" && timeout > LONGEST_SECONDS);
  if (tool in MANIFEST.actions && endless) args.timeout = LONGEST_SECONDS;
  if (typeof waitSeconds === "number") args.waitSeconds = Math.min(waitSeconds, LONGEST_SECONDS);
  for (const holder of [args, args.config].filter(isRecord))
    for (const key of ["outputDir", "outputPath"])
      if (leadsOut(holder[key], world)) holder[key] = join(world.directory, "out", "run");
  return { tool, args };
}

const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whoever runs the tests as root has devices to lose. */
const leadsOut = (path: unknown, { directory }: World) =>
  typeof path === "string" &&
  (/^(~|\.\.)/.test(path) || (path.startsWith("/") && !path.startsWith(directory)));
