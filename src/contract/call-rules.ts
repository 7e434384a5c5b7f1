import type { Rule } from "./action.js";
import type { JsonSchema, Manifest } from "./manifest.js";
import { isObject, type Json, type Mend, type Problem } from "./problems.js";

/** What a call's schema cannot say: levels, frameworks, rules between keys. */

/** Says of an unknown key that it is known on the other level: a config key beside `config`, or an argument inside it. */
export function nameRightLevel(input: JsonSchema, args: Json, problems: Problem[]): void {
  const { config: inner, ...top } = input.properties ?? {};
  for (const found of problems.filter(isUnknownKey)) {
    const name = found.key.replace(/^config\./, "");
    if (name !== found.key) {
      if (Object.hasOwn(top, name))
        amend(found, `'${name}' belongs beside 'config', not into it`, move(name, args, "top"));
    } else if (Object.hasOwn(inner?.properties ?? {}, name)) {
      // A call that has forgotten config altogether is mended by making it.
      amend(found, `'${name}' belongs into 'config'`, move(name, args.config ?? {}, "config"));
    }
  }
}

const isUnknownKey = (found: Problem) =>
  "sent" in found && found.message.includes("is not a known parameter");

/** Moves a key to its level, where its place there is free. */
function move(name: string, level: unknown, to: "config" | "top"): Mend | undefined {
  return isObject(level) && level[name] === undefined ? { kind: "move", to } : undefined;
}

function amend(found: Problem, message: string, mend: Mend | undefined): void {
  found.message = message;
  delete found.nearest;
  delete found.allowed;
  delete found.mend;
  if (mend) found.mend = mend;
}

/** Config keys that the framework does not use, or lacks. */
export function frameworkProblems(
  manifest: Manifest,
  action: string,
  args: Json,
  config: Json,
): Problem[] {
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
    .map((key) => ({
      key: `config.${key}`,
      message: `'config.${key}' is required for ${action} with ${row.name}`,
    }));
  const { requiresOneOf = [] } = capability;
  if (requiresOneOf.length > 0 && requiresOneOf.every((key) => config[key] === undefined)) {
    const names = requiresOneOf.map((key) => `'config.${key}'`).join(" or ");
    problems.push({
      key: `config.${requiresOneOf[0]}`,
      message: `${names} is required for ${action} with ${row.name}`,
    });
  }
  for (const key of Object.keys(config)) {
    if (!Object.hasOwn(known, key) || config[key] === undefined || capability.keys.includes(key))
      continue;
    const users = manifest.frameworks
      .filter((one) => one.actions[action]?.keys.includes(key))
      .map((one) => one.name);
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

/** Broken rules between config keys; `known` are the schemas of all of them. */
export function ruleProblems(
  rules: readonly Rule[],
  config: Json,
  known: Record<string, JsonSchema>,
): Problem[] {
  const there = (key: string) => config[key] !== undefined;
  const list = (keys: readonly string[]) => keys.map((key) => `'config.${key}'`).join(", ");
  const choices = (key: string) => {
    const values = known[key]?.enum?.map((value) => JSON.stringify(value)).join(", ");
    return values ? ` (${values})` : "";
  };
  const broken = (rule: Rule): Problem[] => {
    switch (rule.kind) {
      case "requiresOneOf":
        if (rule.keys.some(there)) return [];
        return [
          {
            key: `config.${rule.keys[0]}`,
            message: `one of ${list(rule.keys)} is required`,
            allowed: [...rule.keys],
          },
        ];
      case "excludes": {
        const sent = rule.keys.filter(there);
        if (sent.length < 2) return [];
        return [
          {
            key: `config.${sent[1]}`,
            message: `only one of ${list(sent)} may be given`,
            sent: config[sent[1] ?? ""],
          },
        ];
      }
      case "onlyWith":
        if (!there(rule.key) || rule.keys.some(there)) return [];
        return [
          {
            key: `config.${rule.key}`,
            message: `'config.${rule.key}' needs ${rule.keys.length > 1 ? "one of " : ""}${list(rule.keys)}${rule.keys.length === 1 ? choices(rule.keys[0] ?? "") : ""} beside it`,
            sent: config[rule.key],
          },
        ];
    }
  };
  return rules.flatMap(broken);
}
