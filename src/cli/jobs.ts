import type { Config, JobsCommand } from "../config.js";
import { ExecutorError } from "../contract/index.js";
import { type JobHandle, JobService, type JobSummary } from "../jobs/service.js";
import type { Logger } from "../log.js";
import { progressMessage } from "../report/running.js";
import { duration } from "../report/words.js";
import { follow, printAnswer } from "./run.js";
import { table } from "./table.js";
import { palette } from "./terminal.js";

/** A beginning shorter than this names no job. */
const SHORTEST_PREFIX = 3;
const ALL = Number.POSITIVE_INFINITY;

/** `ml-executor jobs …`; returns the exit code. */
export async function jobs(config: Config, log: Logger, command: JobsCommand): Promise<number> {
  const service = new JobService(config, log, { oneJob: true });
  try {
    return await act(config, service, command);
  } catch (error) {
    const { shape } = ExecutorError.internal(error);
    if (shape.type === "internal-error") log.error({ err: error }, "jobs failed");
    if (command.json) return printAnswer({ error: shape });
    process.stderr.write(`${shape.message}\n${shape.solution}\n`);
    return shape.exitCode;
  } finally {
    await service.close();
  }
}

async function act(config: Config, service: JobService, command: JobsCommand): Promise<number> {
  if (command.verb === "list") {
    const found = await service.list(null, { limit: command.limit });
    print(command.json ? json({ jobs: found }) : listing(config, found));
    return 0;
  }
  const job = await find(service, command.id);
  switch (command.verb) {
    case "show":
      print(command.json ? json(await facts(job)) : await portrait(job));
      return 0;
    case "follow":
      return printAnswer(await follow(config, job, job.request.request.action, "leave"));
    case "logs": {
      const text = await job.logs(command.which, command.tailBytes);
      if (command.json) print(json({ logs: { jobId: job.id, stream: command.which, text } }));
      else process.stdout.write(text);
      return 0;
    }
    case "cancel": {
      await job.cancel();
      const state = await job.state();
      print(command.json ? json({ job: { id: job.id, state } }) : `${job.id} ${state}`);
      return 0;
    }
  }
}

/** The job of an id, or of the beginning of one that fits no other. */
async function find(service: JobService, id: string): Promise<JobHandle> {
  try {
    return await service.get(id, null);
  } catch (error) {
    if (!(error instanceof ExecutorError) || id.length < SHORTEST_PREFIX) throw error;
    const fitting = (await service.list(null, { limit: ALL })).filter((job) =>
      job.id.startsWith(id),
    );
    if (fitting.length === 0) throw error;
    if (fitting[0] && fitting.length === 1) return await service.get(fitting[0].id, null);
    throw ExecutorError.invalidConfiguration(`${fitting.length} jobs begin with '${id}'`, {
      solution: `Name one of them: ${fitting.map((job) => job.id).join(", ")}.`,
      metadata: { key: "jobId", sent: id, allowed: fitting.map((job) => job.id) },
    });
  }
}

function listing(config: Config, found: readonly JobSummary[]): string {
  if (found.length === 0) return "No jobs yet.";
  const paint = palette(config, process.stdout);
  const head = ["ID", "STATE", "ACTION", "FRAMEWORK", "AGE", ""];
  const [first = "", ...rest] = table([head, ...found.map(row)]);
  return [paint.bold(first), ...rest].join("\n");
}

function row(job: JobSummary): string[] {
  const age = duration(Math.max(1, Math.round((Date.now() - Date.parse(job.createdAt)) / 1000)));
  const took = job.durationSeconds === undefined ? "" : `took ${duration(job.durationSeconds)}`;
  const about = [job.progress ?? job.errorType ?? took, job.outputDir].filter(Boolean).join(" · ");
  return [job.id, job.state, job.action, job.framework, age, about];
}

/** All that is known of a job. */
async function facts(job: JobHandle) {
  const { id, directory, request } = job;
  const { request: call, createdAt, lane, python, baseDir } = request;
  const answer = await job.wait(0);
  const snapshot = await job.snapshot();
  const about = { id, state: snapshot.state, directory, createdAt, lane, baseDir, python };
  return { job: { ...about, snapshot }, request: call, answer };
}

async function portrait(job: JobHandle): Promise<string> {
  const { job: about, request, answer } = await facts(job);
  const { state, snapshot } = about;
  const rows = [
    ["id", about.id],
    ["state", state],
    ["action", `${request.action} (${request.framework ?? "auto"})`],
    ["created", about.createdAt],
    ["directory", about.directory],
    ["python", `${about.python.executable} (${about.python.why})`],
    ["lane", about.lane],
    ...(answer ? [] : [["progress", progressMessage(snapshot)]]),
    ...snapshot.warnings.map((warning) => ["warning", warning]),
  ];
  const lines = table(rows);
  lines.push("", "request", json(request));
  if (answer) lines.push("", "answer", json(answer));
  return lines.join("\n");
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
