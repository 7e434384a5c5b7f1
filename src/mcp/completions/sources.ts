import { basename } from "node:path";
import type { RequestId } from "@modelcontextprotocol/sdk/types.js";
import { FRAMEWORKS, frameworkRow } from "../../contract/index.js";
import type { Place } from "../../jobs/service.js";
import { artifactsOf } from "../resources/artifact-paths.js";
import { SCHEMA_NAMES } from "../schemas.js";
import type { Session } from "../session.js";
import { pathsFrom } from "./paths.js";

/** What a value is asked for, and by whom. */
export interface Asked {
  readonly typed: string;
  /** What has been filled in already. */
  readonly others: Readonly<Record<string, string>>;
  readonly session: Session;
  readonly requestId: RequestId;
}

export type Source = keyof typeof SOURCES;

const RECENT = 50;
/** Keys of the artifacts that `modelPath` takes. */
const MODELS = /^(model|bestModel|lastModel|savedModel)$/;

type Values = (asked: Asked) => Promise<readonly string[]> | readonly string[];

/** Where values come from: all that fit what was typed, the likeliest first. */
export const SOURCES = {
  job: async ({ typed, session: { services, principal } }) =>
    startingWith(typed, await services.jobs.ids(principal)),
  jobs: async ({ typed, session: { services, principal } }) =>
    lastOfList(typed, await services.jobs.ids(principal)),
  artifact: async ({ typed, others, session }) => {
    const { services, principal } = session;
    const job = await services.jobs.get(others.id ?? "", principal);
    const answer = await job.wait(0);
    return startingWith(typed, [...artifactsOf(job, answer, services.config.userHome).keys()]);
  },
  stream: ({ typed }) => startingWith(typed, ["stdout", "stderr"]),
  action: ({ typed }) => startingWith(typed, SCHEMA_NAMES),
  framework: ({ typed }) =>
    startingWith(typed, ["auto", ...FRAMEWORKS.flatMap(({ name, aliases }) => [name, ...aliases])]),
  algorithm: async ({ typed, others, session, requestId }) => {
    const framework = frameworkRow(others.framework ?? "")?.name ?? null;
    const { algorithms } = await session.services.jobs.vocabulary(
      framework,
      await session.place(requestId),
    );
    const rows = framework === null ? Object.values(algorithms).flat() : algorithms[framework];
    return startingWith(typed, [...new Set(rows)]);
  },
  metrics: async ({ typed, session, requestId }) => {
    const { metrics } = await session.services.jobs.vocabulary(
      null,
      await session.place(requestId),
    );
    return lastOfList(typed, metrics);
  },
  path: async ({ typed, session, requestId }) =>
    await pathsFrom(typed, await session.place(requestId)),
  model: async ({ typed, session, requestId }) => {
    const place = await session.place(requestId);
    const trained = startingWith(typed, await trainedModels(session, place));
    const paths = await pathsFrom(typed, place);
    return [...new Set([...trained, ...paths])];
  },
} as const satisfies Record<string, Values>;

/** The models of the latest jobs that succeeded, in the form of their reports. */
async function trainedModels(
  { services, principal }: Session,
  { baseDir }: Place,
): Promise<string[]> {
  const jobs = await services.jobs.list(principal, { limit: RECENT, state: "succeeded" });
  const found = await Promise.all(
    jobs.map(async ({ id }) => {
      const job = await services.jobs.get(id, principal);
      const answer = await job.wait(0);
      const absolute = artifactsOf(job, answer, services.config.userHome);
      const named =
        answer && "executionReport" in answer ? (answer.executionReport.artifacts ?? {}) : {};
      return Object.entries(named)
        .filter(([name]) => MODELS.test(name))
        .map(([name, path]) =>
          // A relative path means another file to a client that stands elsewhere.
          job.baseDir === baseDir ? path : (absolute.get(name)?.path ?? path),
        );
    }),
  );
  return found.flat();
}

/** Those that begin as typed; where none does, those that do in whatever case, or whose file does. */
function startingWith(typed: string, values: readonly string[]): readonly string[] {
  const exact = values.filter((value) => value.startsWith(typed));
  if (exact.length > 0) return exact;
  const start = typed.toLowerCase();
  return values.filter(
    (value) =>
      value.toLowerCase().startsWith(start) || basename(value).toLowerCase().startsWith(start),
  );
}

/** Completes the last item of a list with commas, by what is not in it yet. */
function lastOfList(typed: string, values: readonly string[]): readonly string[] {
  const cut = typed.lastIndexOf(",") + 1;
  const before = typed.slice(0, cut);
  const there = before.split(",").map((item) => item.trim());
  const rest = values.filter((value) => !there.includes(value));
  return startingWith(typed.slice(cut).trim(), rest).map((value) => before + value);
}
