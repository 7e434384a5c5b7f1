import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ErrorShapeSchema } from "../../src/contract/errors.js";
import {
  ERROR_TYPES,
  MANIFEST,
  ReportSchema,
  RunningJobSchema,
  validate,
  validateToolCall,
} from "../../src/contract/index.js";
import type { HostileCall } from "./calls.js";

/** What an answer must be, whatever the call was. */

const MOST_BYTES = 8 * 1024;
/** Of a JSON-RPC error: a request that is no tool call at all. */
const INVALID_PARAMS = -32602;

/** Whether the call fits its schema, so that the answer to it can only come from further on. */
export function fits({ tool, args }: HostileCall): boolean {
  try {
    check(tool, args);
    return true;
  } catch {
    return false;
  }
}

function check(tool: string, args: unknown): void {
  if (Object.hasOwn(MANIFEST.tools, tool)) validateToolCall(tool, args);
  else validate(tool, args);
}

/** What is wrong with an answer, in words; nothing where it is as it must be. */
export function faultsOf(call: HostileCall, message: any, cwd: string): string[] {
  if (message.died) return ["no answer: the server died"];
  if (message.error) {
    const isCall = typeof call.tool === "string" && isRecord(call.args);
    return isCall || message.error.code !== INVALID_PARAMS
      ? [`JSON-RPC error ${message.error.code}: ${message.error.message}`]
      : [];
  }
  const { content, structuredContent, isError } = message.result ?? {};
  const text = content?.[0]?.text;
  if (typeof text !== "string" || !isRecord(structuredContent)) return ["no structured content"];
  const faults: string[] = [];
  if (text !== JSON.stringify(structuredContent)) faults.push("text and structure differ");
  const bytes = Buffer.byteLength(text);
  const isSchema = call.tool === "describe" && typeof call.args?.action === "string" && !isError;
  if (bytes > MOST_BYTES && !isSchema) faults.push(`${kindOf(structuredContent)}: too long`);
  const { error, executionReport, job } = structuredContent as Record<string, any>;
  if (Boolean(isError) !== (error !== undefined)) faults.push("isError and error differ");
  if (error) faults.push(...errorFaults(error));
  if (executionReport) faults.push(...reportFaults(executionReport, cwd));
  if (job && call.tool in MANIFEST.actions) faults.push(...mismatch(RunningJobSchema, { job }));
  return faults;
}

function kindOf(content: Record<string, any>): string {
  const [kind, body] = Object.entries(content)[0] ?? ["nothing", {}];
  return kind === "error" ? `error ${body.type}` : kind;
}

function errorFaults(error: any): string[] {
  const faults = mismatch(ErrorShapeSchema, error);
  if (faults.length > 0) return faults;
  const { type, exitCode, message, solution, nextCall } = error;
  if (type === "internal-error") faults.push(`internal-error: ${message} ${error.stderr ?? ""}`);
  if (type !== "runner-crashed" && exitCode !== ERROR_TYPES[type as "cancelled"].exitCode)
    faults.push(`${type} with exit code ${exitCode}`);
  if (!message.trim()) faults.push(`${type} without message`);
  if (!solution.trim()) faults.push(`${type} without solution: ${message}`);
  if (nextCall) {
    try {
      check(nextCall.tool, nextCall.arguments);
    } catch (refusal) {
      faults.push(`nextCall of ${type} is refused: ${(refusal as Error).message}`);
    }
  }
  return faults;
}

function reportFaults(report: any, cwd: string): string[] {
  const faults = mismatch(ReportSchema, report);
  for (const path of Object.values<string>(report.artifacts ?? {}))
    if (!existsSync(resolve(cwd, path))) faults.push(`artifact is not there: ${path}`);
  return faults;
}

function mismatch(schema: { safeParse: (v: unknown) => any }, value: unknown): string[] {
  const { success, error } = schema.safeParse(value);
  return success ? [] : [`not of its schema: ${error.message}`];
}

const isRecord = (value: unknown): value is Record<string, any> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
