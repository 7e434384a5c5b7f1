import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import type { Config } from "../config.js";
import { type Answer, ExecutorError, MANIFEST, validate } from "../contract/index.js";
import { placeOf } from "../jobs/base-dir.js";
import { type JobHandle, JobService } from "../jobs/service.js";
import type { Logger } from "../log.js";
import { JobView } from "./job-view.js";

/**
 * `ml-executor run REQUEST.json`: runs one request, shows its course on stderr and prints its answer.
 *
 * @param source path of the request, or `-` for stdin
 * @returns the answer's exit code
 */
export async function run(config: Config, log: Logger, source: string): Promise<number> {
  const service = new JobService(config, log, { oneJob: true });
  try {
    const { action, args } = await readRequest(source);
    const { waitSeconds: _, ...call } = validate(action, args);
    const job = await service.submit({ ...call, action }, placeOf(config, null, null));
    return printAnswer(await follow(config, job, action, "cancel"));
  } catch (error) {
    const known = ExecutorError.internal(error);
    if (known.shape.type === "internal-error") log.error({ err: error }, "the request failed");
    return printAnswer({ error: known.shape });
  } finally {
    await service.close();
  }
}

/**
 * Shows a job's course until it ends.
 *
 * @param onInterrupt what Ctrl-C does: `cancel` ends the job (a second one only the following),
 *   `leave` ends the following
 * @returns the answer. Where the user leaves, the program ends here, with the signal's exit code
 */
export async function follow(
  config: Config,
  job: JobHandle,
  title: string,
  onInterrupt: "cancel" | "leave",
): Promise<Answer> {
  const view = new JobView(config, title);
  const leave = (exitCode: number) => {
    view.close();
    process.stderr.write(`Job ${job.id} goes on: ml-executor jobs follow ${job.id}\n`);
    process.exit(exitCode);
  };
  let interrupted = onInterrupt === "leave";
  const interrupt = () => {
    if (interrupted) leave(130);
    interrupted = true;
    view.say("Cancelling the job; Ctrl-C again leaves it to end by itself.");
    job.cancel().catch((error: Error) => view.say(error.message));
  };
  const terminate = () => leave(143);
  process.on("SIGINT", interrupt).on("SIGTERM", terminate);
  try {
    const answer = await job.wait(Number.POSITIVE_INFINITY, (event) => view.onEvent(event));
    if (!answer) throw new Error("the waiting ended without an answer");
    return answer;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", terminate);
    view.close();
  }
}

/** Prints an answer on stdout, and an error for people on stderr where they would not see it there. */
export function printAnswer(answer: Answer): number {
  process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
  if ("executionReport" in answer) return answer.executionReport.exitCode;
  if (!process.stdout.isTTY) {
    process.stderr.write(`${answer.error.message}\n${answer.error.solution}\n`);
  }
  return answer.error.exitCode;
}

async function readRequest(source: string): Promise<{ action: string; args: unknown }> {
  const name = source === "-" ? "the request on stdin" : `the request '${source}'`;
  const request = parse(await readSource(source, name), name);
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw badRequest(`${name} is not a JSON object`, request);
  }
  const { action } = request as { action?: unknown };
  if (typeof action === "string") return { action, args: request };
  const actions = Object.keys(MANIFEST.actions);
  throw ExecutorError.invalidConfiguration(`${name} names no action`, {
    solution: `Add "action": one of ${actions.join(", ")}.`,
    metadata: { key: "action", sent: action ?? null, allowed: actions },
  });
}

async function readSource(source: string, name: string): Promise<string> {
  try {
    return source === "-" ? await text(process.stdin) : await readFile(source, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "does not exist" : `cannot be read: ${message}`;
    throw badRequest(`${name} ${why}`, source);
  }
}

function parse(json: string, name: string): unknown {
  try {
    return JSON.parse(json.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw badRequest(`${name} is not JSON: ${(error as Error).message}`, json.slice(0, 200));
  }
}

function badRequest(message: string, sent: unknown): ExecutorError {
  return ExecutorError.invalidConfiguration(message, {
    solution: 'Give a file with one request: {"action": "train", "framework": …, "config": {…}}.',
    metadata: { key: "request", sent },
  });
}
