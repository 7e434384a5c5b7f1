import type { Resource, ResourceTemplate } from "@modelcontextprotocol/sdk/types.js";
import { MANIFEST } from "../../contract/index.js";
import type { JobSummary } from "../../jobs/service.js";
import { RequestError } from "../requests.js";
import { SCHEMA_NAMES } from "../schemas.js";
import type { Session } from "../session.js";
import * as uris from "./uris.js";

const PAGE = 50;
const MOST_JOBS = 100;

export const TEMPLATES: ResourceTemplate[] = [
  {
    uriTemplate: uris.JOB_TEMPLATE,
    name: "job",
    title: "A job",
    description: "State, progress, time remaining, latest metrics; where its other resources are.",
    mimeType: "application/json",
  },
  {
    uriTemplate: uris.REPORT_TEMPLATE,
    name: "job-report",
    title: "A job's report",
    description: "What its call answered, or would have: {executionReport} or {error}.",
    mimeType: "application/json",
  },
  {
    uriTemplate: uris.METRICS_TEMPLATE,
    name: "job-metrics",
    title: "A job's metrics",
    description:
      "One line a step. While it runs at most 1000, evenly thinned; then the run's metrics.csv, where there is one.",
    mimeType: "text/csv",
  },
  {
    uriTemplate: uris.LOG_TEMPLATE,
    name: "job-log",
    title: "What a job printed",
    description: "The last 64 KiB of stdout or stderr.",
    mimeType: "text/plain",
  },
  {
    uriTemplate: uris.ARTIFACT_TEMPLATE,
    name: "job-artifact",
    title: "A job's artifact",
    description:
      "A file by its key in the report's artifacts, up to 8 MiB; of a directory what lies in it.",
  },
  {
    uriTemplate: uris.SCHEMA_TEMPLATE,
    name: "schema",
    title: "A tool's full schema",
    description: "Every key with type, bounds and default, and which framework uses it.",
    mimeType: "application/json",
  },
];

interface Page {
  [key: string]: unknown;
  resources: Resource[];
  nextCursor?: string;
}

/** A place in the list: after a job, so that jobs which come meanwhile shift nothing; or in the schemas. */
type Cursor = { readonly after: string; readonly createdAt: string } | { readonly schema: number };

/**
 * The latest jobs (of those that have ended, their reports), then every tool's schema.
 *
 * @throws RequestError for a cursor that is none of ours
 */
export async function listResources(text: string | undefined, session: Session): Promise<Page> {
  const cursor = text === undefined ? null : readCursor(text);
  const resources: Resource[] = [];
  if (cursor === null || "after" in cursor) {
    const jobs = await session.services.jobs.list(session.principal, { limit: MOST_JOBS });
    const rest = cursor ? later(jobs, cursor) : jobs;
    resources.push(...rest.slice(0, PAGE).map(jobResource));
    const last = rest[PAGE - 1];
    if (last && rest.length > PAGE) {
      return { resources, nextCursor: cursorText({ after: last.id, createdAt: last.createdAt }) };
    }
  }
  const from = cursor && "schema" in cursor ? cursor.schema : 0;
  const room = PAGE - resources.length;
  resources.push(...SCHEMA_NAMES.slice(from, from + room).map(schemaResource));
  const next = from + room;
  return {
    resources,
    ...(next < SCHEMA_NAMES.length && { nextCursor: cursorText({ schema: next }) }),
  };
}

function jobResource(job: JobSummary): Resource {
  const { id, action, framework, state, createdAt, durationSeconds, outputDir } = job;
  const ended = state !== "queued" && state !== "running";
  return {
    uri: ended ? uris.jobUri(id, "report") : uris.jobUri(id),
    name: id,
    title: `${action} (${framework}), ${state}, ${createdAt.slice(0, 19)}Z`,
    description: [
      ended ? "Report" : (job.progress ?? "Progress"),
      durationSeconds !== undefined && `${Math.round(durationSeconds * 10) / 10} s`,
      outputDir && `in ${outputDir}`,
    ]
      .filter(Boolean)
      .join(", "),
    mimeType: "application/json",
  };
}

function schemaResource(name: string): Resource {
  const tool = MANIFEST.actions[name] ?? MANIFEST.tools[name];
  return {
    uri: uris.schemaUri(name),
    name: `schema-${name}`,
    title: `Schema: ${tool?.title ?? name}`,
    description: `The full schema of ${name}.`,
    mimeType: "application/json",
  };
}

/** The jobs after the one of the cursor, or after its time where it has been removed. */
function later(jobs: JobSummary[], cursor: { after: string; createdAt: string }): JobSummary[] {
  const place = jobs.findIndex(({ id }) => id === cursor.after);
  return place >= 0
    ? jobs.slice(place + 1)
    : jobs.filter(({ createdAt }) => createdAt < cursor.createdAt);
}

const cursorText = (cursor: Cursor): string =>
  Buffer.from(JSON.stringify(cursor)).toString("base64url");

function readCursor(text: string): Cursor {
  try {
    const { after, createdAt, schema } = JSON.parse(Buffer.from(text, "base64url").toString());
    if (typeof after === "string" && typeof createdAt === "string") return { after, createdAt };
    if (Number.isInteger(schema) && schema >= 0) return { schema };
  } catch {
    // None of ours.
  }
  throw RequestError.invalidParams("The cursor is none that resources/list gave", {
    cursor: text.slice(0, 100),
  });
}
