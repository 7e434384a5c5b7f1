import { frameworkProblems, nameRightLevel, ruleProblems } from "./call-rules.js";
import { type Call, ExecutorError } from "./errors.js";
import type { JsonSchema, Manifest } from "./manifest.js";
import { nearest } from "./nearest.js";
import { isObject, type Json, type Problem } from "./problems.js";
import { check } from "./schema-check.js";
import { unusable } from "./usable.js";

/**
 * Checks a call against the manifest, as `runners/ml_runner/validation` does on the other side: the
 * same problems in the same words, held together by `test/golden/validation.json`.
 */

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
  if (!Object.hasOwn(manifest.actions, name)) throw unknownAction(manifest, name);
  const problems = actionProblems(manifest, name, args);
  if (problems.length > 0) throw refusal(manifest, name, args, problems);
  return args as ActionArguments;
}

function actionProblems(manifest: Manifest, name: string, args: unknown): Problem[] {
  const action = manifest.actions[name];
  if (!action) return [];
  const beyondUse = unusable(args, "");
  if (beyondUse.length > 0) return beyondUse;
  const problems = check(action.input, args, "");
  if (!isObject(args)) return problems;
  nameRightLevel(action.input, args, problems);
  if (!isObject(args.config)) return problems;
  return [
    ...problems,
    ...frameworkProblems(manifest, name, args, args.config),
    ...ruleProblems(action.rules, args.config, action.input.properties?.config?.properties ?? {}),
  ];
}

/** Validates the arguments of a tool that is not an action. */
export function validateTool(manifest: Manifest, name: string, args: unknown): Json {
  const tool = manifest.tools[name];
  if (!tool) throw unknownAction(manifest, name);
  const problems = toolProblems(tool.input, args);
  if (problems.length > 0) throw refusal(manifest, name, args, problems);
  return args as Json;
}

function toolProblems(input: JsonSchema, args: unknown): Problem[] {
  const beyondUse = unusable(args, "");
  return beyondUse.length > 0 ? beyondUse : check(input, args, "");
}

function unknownAction(manifest: Manifest, name: string): ExecutorError {
  const known = [...Object.keys(manifest.actions), ...Object.keys(manifest.tools)];
  const near = nearest(name, known);
  return ExecutorError.invalidConfiguration(`There is no action '${name}'`, {
    solution: near
      ? `Did you mean '${near}'? The actions are: ${known.join(", ")}.`
      : `The actions are: ${known.join(", ")}.`,
    metadata: { key: "action", sent: name, allowed: known, ...(near && { nearest: near }) },
  });
}

function refusal(manifest: Manifest, tool: string, args: unknown, all: Problem[]): ExecutorError {
  const problems = all.slice(0, MOST_PROBLEMS);
  const message =
    problems.map((one) => one.message).join("; ") +
    (all.length > problems.length ? `; and ${all.length - problems.length} more` : "");
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
function nextCall(
  manifest: Manifest,
  tool: string,
  args: unknown,
  problems: Problem[],
): Call | undefined {
  if (!isObject(args)) return undefined;
  const mended = structuredClone(args);
  for (const { key, mend, sent } of problems) {
    if (!mend) continue;
    const steps = key.split(".");
    const name = steps.pop() ?? "";
    const parent = steps.reduce<unknown>(
      (at, step) => (isObject(at) ? at[step] : undefined),
      mended,
    );
    if (!isObject(parent) || !Object.hasOwn(parent, name)) return undefined;
    if (mend.kind === "set") parent[name] = mend.value;
    else delete parent[name];
    if (mend.kind === "rename") parent[mend.to] = sent;
    if (mend.kind === "move" && mend.to === "top") mended[name] = sent;
    if (mend.kind === "move" && mend.to === "config")
      mended.config = { ...(mended.config as Json | undefined), [name]: sent };
  }
  const input = manifest.tools[tool]?.input;
  const left = input ? toolProblems(input, mended) : actionProblems(manifest, tool, mended);
  return left.length === 0 ? { tool, arguments: mended } : undefined;
}
