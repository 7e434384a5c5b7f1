import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { ExecutorError, validateToolCall } from "../contract/index.js";
import { boundedList, ending, fits } from "../report/bounded.js";
import { runningAnswer } from "../report/running.js";
import { inspectEnvironments } from "../runners/inspect.js";
import { summarize } from "../runners/inspection-summary.js";
import { awaitJob } from "./action-call.js";
import type { CallContext } from "./context.js";
import { withHeartbeat } from "./progress.js";
import { plainResult } from "./results.js";
import { describeAction } from "./schemas.js";

type Handler = (args: Record<string, unknown>, context: CallContext) => Promise<CallToolResult>;

/** The tools that are no jobs themselves. */
const HANDLERS: Record<string, Handler> = {
  environment: async ({ pythonEnv }, context) => {
    const { config } = context.services;
    const place = await context.place();
    const looking = inspectEnvironments(config, pythonEnv as string | undefined, place);
    const found = await withHeartbeat(context, "asking each Python", looking);
    return plainResult({ environment: summarize(found) });
  },

  describe: async (args, context) => {
    const { action, path } = args as { action?: string; path?: string };
    if ((action === undefined) === (path === undefined)) {
      throw ExecutorError.invalidConfiguration("describe takes either 'path' or 'action'", {
        solution: "Send one of them: the path of a table or a model, or the name of an action.",
        metadata: { key: "path" },
      });
    }
    if (action !== undefined) return plainResult({ description: describeAction(action) });
    const looking = context.services.jobs.describe(args, await context.place());
    return plainResult({ ...(await withHeartbeat(context, "reading", looking)) });
  },

  "job-status": async ({ jobId, waitSeconds, since }, context) => {
    const { principal } = await context.place();
    const job = await context.services.jobs.get(jobId as string, principal);
    const waited = await awaitJob(job, (waitSeconds as number | undefined) ?? 0, context);
    if (since === undefined || waited.structuredContent?.job === undefined) return waited;
    const snapshot = await job.snapshot(since as number);
    const { job: running } = runningAnswer(job.id, snapshot);
    const all = snapshot.metricsSince ?? [];
    const following = (metrics: readonly (typeof all)[number][]) => {
      const from = metrics.length < all.length ? (metrics.at(-1)?.seq ?? since) : snapshot.lastSeq;
      return { ...running.next, arguments: { ...running.next.arguments, since: from } };
    };
    // Those that do not fit are told by the next call, which goes on from the last one told.
    return plainResult(
      boundedList(all, (metrics) => ({
        job: { ...running, metrics, next: following(metrics) },
      })),
    );
  },

  "job-list": async ({ limit, state }, context) => {
    const { principal } = await context.place();
    const jobs = await context.services.jobs.list(principal, {
      limit: (limit as number | undefined) ?? 10,
      ...(state !== undefined && { state: state as string }),
    });
    return plainResult(
      boundedList(jobs, (shown) => ({
        jobs: shown,
        ...(shown.length < jobs.length && { omitted: jobs.length - shown.length }),
      })),
    );
  },

  "job-logs": async ({ jobId, stream, lines }, context) => {
    const { principal } = await context.place();
    const job = await context.services.jobs.get(jobId as string, principal);
    let which = (stream as "stdout" | "stderr" | undefined) ?? "stderr";
    let text = await job.logs(which, LOG_BYTES);
    if (stream === undefined && text === "") {
      which = "stdout";
      text = await job.logs(which, LOG_BYTES);
    }
    const all = text.replace(/\n$/, "").split("\n");
    const tail = all.slice(-((lines as number | undefined) ?? 40)).join("\n");
    const of = (end: string) => ({ logs: { jobId: job.id, stream: which, text: end } });
    // Control characters are six bytes each in JSON.
    let end = ending(tail, LOG_BYTES);
    while (!fits(of(end))) end = ending(end, Math.floor((end.length * 7) / 8));
    return plainResult(of(end));
  },

  "job-cancel": async ({ jobId }, context) => {
    const { principal } = await context.place();
    const job = await context.services.jobs.get(jobId as string, principal);
    await withHeartbeat(context, "ending the job", job.cancel());
    const answer = await job.wait(0);
    const error = answer && "error" in answer ? answer.error : null;
    return plainResult({
      job: {
        id: job.id,
        state: await job.state(),
        ...(error?.metadata && { metadata: error.metadata }),
        ...(error?.nextCall && { next: error.nextCall }),
      },
    });
  },
};

/** Logs are read by an agent: the end of them, within the size of a report. */
const LOG_BYTES = 7 * 1024;

/** Calls one of the tools that are no jobs. */
export async function callTool(
  name: string,
  args: unknown,
  context: CallContext,
): Promise<CallToolResult> {
  const valid = validateToolCall(name, args);
  const handler = HANDLERS[name];
  if (!handler) throw new Error(`the tool ${name} has no handler`);
  return await handler(valid, context);
}
