import type { GetPromptResult } from "@modelcontextprotocol/sdk/types.js";
import type { Answer } from "../../contract/index.js";
import type { JobHandle } from "../../jobs/service.js";
import { summaryOf } from "../../jobs/summary.js";
import { figure } from "../../report/words.js";
import { RequestError } from "../requests.js";
import type { Session } from "../session.js";
import type { Arguments } from "./definitions.js";
import { listed, userText } from "./words.js";

const LEAST = 2;
const MOST = 20;
const MOST_METRICS = 40;

/** @throws ExecutorError `job-not-found`; RequestError for fewer than two jobs, or more than twenty */
export async function compareJobs(
  { jobIds }: Arguments,
  { services, principal }: Session,
): Promise<GetPromptResult["messages"]> {
  const ids = [...new Set(listed(jobIds))];
  if (ids.length < LEAST || ids.length > MOST) {
    throw RequestError.invalidParams(
      `jobIds names ${ids.length} jobs; it takes ${LEAST} to ${MOST}, separated by commas`,
      { argument: "jobIds" },
    );
  }
  const jobs = await Promise.all(ids.map((id) => services.jobs.get(id, principal)));
  const columns = await Promise.all(jobs.map(column));
  const all = [...new Set(columns.flatMap((one) => Object.keys(one.metrics)))];
  const shown = all.slice(0, MOST_METRICS);
  const rows: [string, ...string[]][] = [
    ["job", ...ids],
    ["state", ...columns.map(({ state }) => state)],
    ["action", ...columns.map(({ action }) => action)],
    ["framework", ...columns.map(({ framework }) => framework)],
    ["algorithm", ...columns.map(({ algorithm }) => algorithm)],
    ["data", ...columns.map(({ data }) => data)],
    ["duration", ...columns.map(({ duration }) => duration)],
    ...shown.map((name): [string, ...string[]] => [
      name,
      ...columns.map(({ metrics }) => (name in metrics ? figure(metrics[name] ?? null) : "–")),
    ]),
  ];
  const omitted =
    all.length > shown.length ? [`${all.length - shown.length} more are in the reports.`] : [];
  const text = [
    "These are jobs of ML Executor, side by side, each figure as its report gives it. Show me the table. Say where the jobs differ in data or action, since their figures are then not of the same thing.",
    table(rows),
    ...omitted,
  ];
  return [userText(text.join("\n\n"))];
}

async function column(job: JobHandle) {
  const answer = await job.wait(0);
  const { action, framework, state, durationSeconds } = await summaryOf(job.request, job, answer);
  const { algorithm, dataPath, inputData } = job.request.request.config;
  return {
    action,
    framework,
    state,
    algorithm: told(algorithm),
    data: told(dataPath ?? inputData),
    duration: durationSeconds === undefined ? "–" : `${figure(durationSeconds)} s`,
    metrics: figures(answer),
  };
}

const told = (value: unknown): string => (typeof value === "string" ? value : "–");

/** Single figures of a report, those of parts by `part.name`; lists are histories, and left out. */
function figures(answer: Answer | null): Record<string, number | null> {
  const found: Record<string, number | null> = {};
  const visit = (value: unknown, path: string) => {
    if (typeof value === "number" || value === null) found[path] = value;
    else if (typeof value === "object" && !Array.isArray(value)) {
      for (const [name, part] of Object.entries(value))
        visit(part, path ? `${path}.${name}` : name);
    }
  };
  if (answer && "executionReport" in answer) visit(answer.executionReport.metrics ?? {}, "");
  return found;
}

function table(rows: readonly [string, ...string[]][]): string {
  const [head, ...body] = rows.map((row) => `| ${row.map(cell).join(" | ")} |`);
  return [head, `|${" --- |".repeat(rows[0]?.length ?? 0)}`, ...body].join("\n");
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
