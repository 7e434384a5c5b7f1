import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { type JobEvent, validate } from "../contract/index.js";
import type { JobHandle } from "../jobs/service.js";
import { runningAnswer } from "../report/running.js";
import type { CallContext } from "./context.js";
import { ProgressReporter } from "./progress.js";
import { answerResult, plainResult } from "./results.js";

/** Runs one of the actions as a job, and waits for it as long as the call wants. */
export async function callAction(
  name: string,
  args: unknown,
  context: CallContext,
): Promise<CallToolResult> {
  const { waitSeconds, ...call } = validate(name, args);
  const { jobs, config } = context.services;
  const job = await jobs.submit({ ...call, action: name }, await context.place());
  context.follow(job);
  return await awaitJob(job, waitSeconds ?? config.waitSeconds, context);
}

/**
 * Waits for a job up to `seconds`, telling its progress; the answer is the job's own, or how far it is.
 *
 * A client that cancels the call ends the job; one that merely stops waiting does not.
 */
export async function awaitJob(
  job: JobHandle,
  seconds: number,
  context: CallContext,
): Promise<CallToolResult> {
  const token = context.progressToken;
  const reporter = token === undefined ? null : new ProgressReporter(token, context.notify, job);
  try {
    // Without a listener the answer of a light job comes straight from its process.
    const onEvent = reporter ? (event: JobEvent) => reporter.onEvent(event) : undefined;
    const answer = await job.wait(seconds, onEvent, context.signal);
    if (answer) return answerResult(answer, job, context.services.config.userHome);
    if (context.signal.aborted && context.cancelled()) await job.cancel();
    return plainResult({ ...runningAnswer(job.id, await job.snapshot()) });
  } finally {
    reporter?.close();
  }
}
