import type { ReadResourceResult } from "@modelcontextprotocol/sdk/types.js";
import { ExecutorError } from "../../contract/index.js";
import type { JobHandle } from "../../jobs/service.js";
import { metricsOf } from "../../jobs/state.js";
import { summaryOf } from "../../jobs/summary.js";
import { runningAnswer } from "../../report/running.js";
import { RESOURCE_NOT_FOUND, RequestError } from "../requests.js";
import { describeSchema } from "../schemas.js";
import type { Session } from "../session.js";
import { artifactsOf } from "./artifact-paths.js";
import { json, readArtifact } from "./artifacts.js";
import { jobUri, parseUri, type Target } from "./uris.js";

const LOG_BYTES = 64 * 1024;
const MOST_POINTS = 1000;
const LONGEST_QUOTED = 300;

type JobTarget = Exclude<Target, { kind: "schema" }>;

/** @throws RequestError `RESOURCE_NOT_FOUND`, also for a job that the session may not see */
export async function readResource(uri: string, session: Session): Promise<ReadResourceResult> {
  const target = parseUri(uri);
  if (target === null) throw notFound(uri, "it is none of resources/templates/list");
  if (target.kind === "schema") {
    const schema = describeSchema(target.name);
    if (schema === null) throw notFound(uri, `there is no tool '${target.name}'`);
    return json(uri, schema);
  }
  const job = await jobOf(uri, target, session);
  const content = await read(uri, target, job, session.services.config.userHome);
  if (content) return content;
  const ended = (await job.wait(0)) !== null;
  throw notFound(uri, ended ? "the job left nothing of that name" : "the job has not ended yet");
}

/** The job that a URI is about. @throws RequestError `RESOURCE_NOT_FOUND` */
export async function jobOf(
  uri: string,
  { id }: JobTarget,
  { services, principal }: Session,
): Promise<JobHandle> {
  try {
    return await services.jobs.get(id, principal);
  } catch (error) {
    if (error instanceof ExecutorError && error.shape.type === "job-not-found") {
      throw notFound(uri, error.shape.message);
    }
    throw error;
  }
}

export function notFound(uri: string, why: string): RequestError {
  const quoted = uri.length > LONGEST_QUOTED ? `${uri.slice(0, LONGEST_QUOTED)}…` : uri;
  return new RequestError(RESOURCE_NOT_FOUND, `Resource not found: ${why}`, { uri: quoted });
}

async function read(
  uri: string,
  target: JobTarget,
  job: JobHandle,
  userHome: string,
): Promise<ReadResourceResult | null> {
  switch (target.kind) {
    case "job":
      return json(uri, await summary(job, userHome));
    case "report": {
      const answer = await job.wait(0);
      return answer && json(uri, answer);
    }
    case "metrics":
      return await metrics(uri, job, userHome);
    case "log": {
      const text = await job.logs(target.stream, LOG_BYTES);
      return { contents: [{ uri, mimeType: "text/plain", text }] };
    }
    case "artifact": {
      const artifact = artifactsOf(job, await job.wait(0), userHome).get(target.name);
      return artifact ? await readArtifact(uri, artifact, target) : null;
    }
  }
}

/** What `job-status` and `job-list` say of it together, and where the rest is. */
async function summary(job: JobHandle, userHome: string) {
  const answer = await job.wait(0);
  const facts = await summaryOf(job.request, job, answer);
  const running = answer === null ? runningAnswer(job.id, await job.snapshot()).job : {};
  const error = answer && "error" in answer ? answer.error : null;
  const artifacts = [...artifactsOf(job, answer, userHome).keys()];
  return {
    job: {
      ...facts,
      ...running,
      ...(error && { error: error.message, ...(error.nextCall && { next: error.nextCall }) }),
      resources: {
        ...(answer && { report: jobUri(job.id, "report") }),
        metrics: jobUri(job.id, "metrics"),
        stdout: jobUri(job.id, "logs", "stdout"),
        stderr: jobUri(job.id, "logs", "stderr"),
        ...(artifacts.length > 0 && {
          artifacts: Object.fromEntries(
            artifacts.map((name) => [name, jobUri(job.id, "artifacts", name)]),
          ),
        }),
      },
    },
  };
}

/** The run's own table where it has written one, every step in it; else what was told so far, thinned. */
async function metrics(uri: string, job: JobHandle, userHome: string): Promise<ReadResourceResult> {
  const table = artifactsOf(job, await job.wait(0), userHome).get(METRICS_ARTIFACT);
  const written =
    table && (await readArtifact(uri, table, { id: job.id, name: METRICS_ARTIFACT, inside: [] }));
  if (written) return written;
  const points = metricsOf(await job.events(), MOST_POINTS);
  const names = [...new Set(points.flatMap((point) => Object.keys(point.metrics)))];
  const rows = points.map(({ seq, unit, done, metrics: values }) =>
    [seq, unit, done, ...names.map((name) => values[name] ?? "")].join(","),
  );
  const text = [["seq", "unit", "done", ...names].join(","), ...rows, ""].join("\n");
  return { contents: [{ uri, mimeType: "text/csv", text }] };
}

const METRICS_ARTIFACT = "metricsCSV";
