import type { GetPromptResult } from "@modelcontextprotocol/sdk/types.js";
import { runningAnswer } from "../../report/running.js";
import { jobUri } from "../resources/uris.js";
import type { Session } from "../session.js";
import type { Arguments } from "./definitions.js";
import { callBlock, embedded, userText } from "./words.js";

const LOG_BYTES = 6 * 1024;

/** @throws ExecutorError `job-not-found` */
export async function diagnoseJob(
  { jobId = "" }: Arguments,
  { services, principal }: Session,
): Promise<GetPromptResult["messages"]> {
  const job = await services.jobs.get(jobId, principal);
  const answer = await job.wait(0);
  const { action } = job.request.request;
  const own = answer ?? runningAnswer(job.id, await job.snapshot());
  const what = answer
    ? embedded(jobUri(job.id, "report"), "application/json", JSON.stringify(own))
    : embedded(jobUri(job.id), "application/json", JSON.stringify(own));
  const printed = await job.logs("stderr", LOG_BYTES);
  const next = answer
    ? "error" in answer
      ? answer.error.nextCall
      : undefined
    : runningAnswer(job.id, await job.snapshot()).job.next;
  const steps = [
    `Tell me how job ${job.id} (${action}) of ML Executor fared, from its ${answer ? "answer" : "state"} and from what it printed on stderr, both below.`,
    answer && "error" in answer
      ? "Name the cause that its message and stderr state; do not guess beyond them."
      : answer
        ? "It succeeded: give its metrics and its warnings."
        : "It has not ended: give how far it is.",
    next
      ? `${answer ? "The call that mends it, to be sent once I agree" : "The call that follows it"}:\n\n${callBlock(next.tool, next.arguments)}`
      : "No next call follows from it by itself.",
    `Its own call was:\n\n${callBlock(action, withoutAction(job.request.request))}`,
  ];
  const log = printed
    ? [embedded(jobUri(job.id, "logs", "stderr"), "text/plain", printed)]
    : [userText("It printed nothing on stderr.")];
  return [userText(steps.join("\n\n")), what, ...log];
}

function withoutAction({ action: _, ...rest }: Record<string, unknown>): Record<string, unknown> {
  return rest;
}
