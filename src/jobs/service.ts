import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Config } from "../config.js";
import {
  type ActionArguments,
  ERROR_TYPES,
  type ErrorShape,
  ExecutorError,
  FRAMEWORKS,
  type JobRequest,
  type JobState,
  PROTOCOL_VERSION,
} from "../contract/index.js";
import type { Logger } from "../log.js";
import { chooseEnvironment } from "../runners/environments.js";
import { logsDirectory } from "../runners/logs.js";
import { RunnerPool } from "../runners/pool.js";
import { runPython } from "../runners/python.js";
import { Vocabularies, type Vocabulary } from "../runners/vocabulary.js";
import { Adopter } from "./adopt.js";
import type { Place } from "./base-dir.js";
import { Board } from "./board.js";
import { JobHandle } from "./handle.js";
import { continued, frameworkHint, ofModel } from "./hint.js";
import { laneOf } from "./lanes.js";
import { Launches } from "./launches.js";
import { prune, pruneLogs } from "./prune.js";
import { Store } from "./store.js";
import { damagedSummary, type JobSummary, summaryOf } from "./summary.js";

export type { Place } from "./base-dir.js";
export type { JobHandle } from "./handle.js";
export type { JobSummary } from "./summary.js";

/** An action's call, validated; `waitSeconds` is its caller's business. */
export type JobArguments = Omit<ActionArguments, "waitSeconds"> & { action: string };

const HOUR_MILLISECONDS = 60 * 60 * 1000;
const DESCRIBE_SECONDS = 60;
const LATEST_TOLD = 5;

/** Everything that can be done with jobs: the one interface of the MCP server and of the command line. */
export class JobService {
  readonly #store: Store;
  readonly #pool: RunnerPool;
  readonly #adopter: Adopter;
  readonly #launches: Launches;
  readonly #board: Board;
  readonly #vocabularies: Vocabularies;
  /** Settles when every call so far has been handed over. */
  #submitting: Promise<unknown> = Promise.resolve();
  #lastFramework: string | null = null;
  #hourly: NodeJS.Timeout | undefined;

  /** @param options `oneJob`: for a program that runs one job and ends */
  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    { oneJob = false }: { oneJob?: boolean } = {},
  ) {
    // A zygote or a resident process is made for the jobs after this one.
    const settled: Config = oneJob ? { ...config, startMethod: "spawn" } : config;
    this.#store = new Store(config.home);
    this.#pool = new RunnerPool(settled, log);
    this.#adopter = new Adopter(config, this.#store, log);
    this.#board = new Board(this.#store);
    this.#vocabularies = new Vocabularies(config);
    this.#launches = new Launches(config, this.#store, this.#pool, this.#adopter, log, !oneJob);
  }

  /**
   * Makes a job of a call and starts it; never waits for its end.
   *
   * @throws ExecutorError where no Python can run it, or where its `requestId` stands for another call
   */
  async submit(args: JobArguments, place: Place): Promise<JobHandle> {
    const before = this.#submitting;
    let done: () => void = () => undefined;
    this.#submitting = Promise.all([before, new Promise<void>((resolve) => (done = resolve))]);
    try {
      return await this.#submit(args, place, before);
    } finally {
      done();
    }
  }

  /** @param before settles when the calls before this one have their place */
  async #submit(args: JobArguments, place: Place, before: Promise<unknown>): Promise<JobHandle> {
    const { requestId, ...request } = args;
    const { baseDir } = place;
    const { userHome } = this.config;
    if (args.action === "resume") await this.#refuseUnfinished(args.config.jobId, place.principal);
    const run = await continued(args.config, baseDir, userHome, this.#store);
    const hint =
      run?.framework ?? (await frameworkHint(args.framework, args.config, baseDir, userHome));
    const python = await chooseEnvironment(this.config, {
      pythonEnv: args.pythonEnv,
      continued: run?.executable ?? undefined,
      framework: hint,
      cwd: baseDir,
      roots: place.roots,
    });
    const lane = await laneOf(this.config, args, hint, baseDir);
    const build = (id: string): JobRequest => ({
      protocol: PROTOCOL_VERSION,
      id,
      createdAt: new Date().toISOString(),
      request,
      baseDir,
      roots: place.roots,
      python: {
        executable: python.executable,
        kind: python.kind,
        why: python.why,
        warnings: [...python.warnings],
      },
      lane: lane.name,
      exclusive: lane.exclusive,
      slots: lane.slots,
      threads: this.config.threads,
      memoryLimit: this.config.memoryLimit,
      principal: place.principal,
      requestId: requestId ?? null,
    });
    const { request: job, made } = await this.#create(requestId, place, build);
    if (!made) return this.#same(job, request, place);
    const framework = hint ?? (await this.#usualFramework());
    this.#lastFramework = framework;
    // In the order of the calls, whatever each of them had to look up; a light one waits for nobody.
    if (lane.name !== "light") await before;
    this.#launches.start(job, { executable: python.executable, framework });
    return this.#handle(job);
  }

  /** @throws ExecutorError `job-not-found`, with the latest ids */
  async get(id: string, principal: string | null): Promise<JobHandle> {
    const job = await this.#store.read(id);
    if (job && isSeenBy(job, principal)) return this.#handle(job);
    const damage = principal === null ? await this.#store.damage(id) : null;
    if (damage) throw this.#damaged(id, damage);
    const latest = (await this.list(principal, { limit: LATEST_TOLD })).map((one) => one.id);
    const known = latest.length > 0 ? `the latest are ${latest.join(", ")}` : "there are none yet";
    throw new ExecutorError("job-not-found", `There is no job '${id}'`, {
      solution: `Use the id that a call answered, or one of job-list: ${known}. Old jobs are removed.`,
      metadata: { key: "jobId", sent: id, latest },
      nextCall: { tool: "job-list", arguments: {} },
    });
  }

  /** The ids of all jobs, the latest first. */
  async ids(principal: string | null): Promise<string[]> {
    const jobs = await Promise.all(
      (await this.#store.latest()).map(({ id }) => this.#store.read(id)),
    );
    return jobs.flatMap((job) => (job && isSeenBy(job, principal) ? [job.id] : []));
  }

  /** The latest jobs first. */
  async list(
    principal: string | null,
    { limit, state }: { limit: number; state?: string },
  ): Promise<JobSummary[]> {
    const found: JobSummary[] = [];
    for (const { id, madeAt } of await this.#store.latest()) {
      if (found.length >= limit) break;
      const job = await this.#store.read(id);
      if (!job) {
        // Whose it was cannot be told, so it is shown to those alone who see everybody's.
        const damage = principal === null && (await this.#store.damage(id));
        if (damage && (state === undefined || state === "damaged"))
          found.push(damagedSummary(id, damage, madeAt));
        continue;
      }
      if (!isSeenBy(job, principal)) continue;
      const summary = await summaryOf(job, this.#handle(job), await this.#store.report(id));
      if (state === undefined || summary.state === (state as JobState)) found.push(summary);
    }
    return found;
  }

  /**
   * Calls `onChange` for each job that begins or ends from now on, whoever started it, until the returned
   * function is called.
   */
  async watchList(principal: string | null, onChange: () => void): Promise<() => void> {
    return await this.#board.watch((job) => isSeenBy(job, principal) && onChange());
  }

  /**
   * The algorithms and metrics that calls may name, as the environment has them that such calls run in.
   *
   * @param framework a name or alias; null: the one used last
   * @throws ExecutorError where no Python can run such calls
   */
  async vocabulary(framework: string | null, { baseDir }: Place): Promise<Vocabulary> {
    const wish = { framework: framework ?? (await this.#usualFramework()), cwd: baseDir };
    const { executable } = await chooseEnvironment(this.config, wish);
    return await this.#vocabularies.of(executable);
  }

  /** What a path holds. @throws ExecutorError as the runner answers */
  async describe(params: Record<string, unknown>, place: Place): Promise<Record<string, unknown>> {
    const { baseDir, roots } = place;
    const { pythonEnv, ...what } = params;
    const path = typeof what.path === "string" ? what.path : null;
    const framework = path && (await ofModel(path, baseDir, this.config.userHome));
    const python = await chooseEnvironment(this.config, {
      pythonEnv: typeof pythonEnv === "string" ? pythonEnv : undefined,
      framework,
      cwd: baseDir,
      roots,
    });
    const runtime = {
      executable: python.executable,
      framework: framework ?? (await this.#usualFramework()),
    };
    const request = { params: what, baseDir, roots };
    const ask = { type: "describe" as const, ...request };
    const call = await this.#pool.light(runtime, ask, DESCRIBE_SECONDS, {
      beforeKill: async () => undefined,
      hasBegun: async () => true,
    });
    const outcome = await call.outcome;
    const answer =
      "answer" in outcome ? outcome.answer : await this.#describeAfresh(python.executable, request);
    if (!answer.error) return answer;
    const { type, message, ...details } = answer.error as ErrorShape;
    throw new ExecutorError(type, message, details);
  }

  /**
   * Begins what a server does beside its calls: has the usual framework imported, sees to jobs that lost
   * their supervisor, removes old ones. To be called once its client has its first answer.
   */
  warm(): void {
    void this.#background("warming up", async () => {
      const framework = await this.#usualFramework();
      const wish = { framework, cwd: this.config.cwd };
      const { executable } = await chooseEnvironment(this.config, wish);
      await this.#pool.warm({ executable, framework });
    });
    const tidy = () =>
      this.#background("pruning", async () => {
        await prune(this.#store, Date.now());
        await pruneLogs(logsDirectory(this.config), Date.now());
      });
    void this.#background("adopting", () => this.#adopter.adoptOrphans()).then(tidy);
    this.#hourly ??= setInterval(tidy, HOUR_MILLISECONDS).unref();
  }

  /** Ends every process of this server; jobs go on. */
  async close(): Promise<void> {
    clearInterval(this.#hourly);
    await this.#pool.close();
  }

  #damaged(id: string, problem: string): ExecutorError {
    const path = this.#store.directory(id);
    return new ExecutorError("job-not-found", `Job '${id}' cannot be read: ${problem}`, {
      solution: `Look into ${path} for what it has left; nothing else needs the directory. Call again for a new job.`,
      metadata: { key: "jobId", sent: id, path, problem },
    });
  }

  /** A job that goes on cannot be resumed; in the queue behind it, the call would learn of it too late. */
  async #refuseUnfinished(jobId: unknown, principal: string | null): Promise<void> {
    if (typeof jobId !== "string") return;
    const { state } = await (await this.get(jobId, principal)).snapshot();
    if (state !== "queued" && state !== "running") return;
    throw ExecutorError.invalidConfiguration(
      `Job '${jobId}' is ${state}: there is nothing to resume`,
      {
        solution: "Send nextCall, which waits for it; or cancel it first with job-cancel.",
        metadata: { key: "config.jobId", sent: jobId, state },
        nextCall: { tool: "job-status", arguments: { jobId, waitSeconds: 50 } },
      },
    );
  }

  #handle(job: JobRequest): JobHandle {
    return new JobHandle(job, this.#store, this.#adopter, (id) => this.#launches.of(id));
  }

  async #create(
    requestId: string | undefined,
    { principal }: Place,
    build: (id: string) => JobRequest,
  ): Promise<{ request: JobRequest; made: boolean }> {
    if (requestId !== undefined) {
      return await this.#store.createOnce({ principal, requestId }, build);
    }
    return { request: await this.#store.create(build), made: true };
  }

  /** The job that a `requestId` stands for, if the call is the same. */
  #same(job: JobRequest, request: JobRequest["request"], place: Place): JobHandle {
    const same = isDeepStrictEqual(job.request, JSON.parse(JSON.stringify(request)));
    if (same && job.baseDir === place.baseDir) return this.#handle(job);
    throw ExecutorError.invalidConfiguration(
      `requestId '${job.requestId}' stands for job ${job.id}, which was started with other arguments`,
      {
        solution:
          "Send another requestId for another call, or the same arguments for the same job.",
        metadata: {
          key: "requestId",
          sent: job.requestId,
          jobId: job.id,
          firstArguments: job.request,
        },
        nextCall: { tool: "job-status", arguments: { jobId: job.id } },
      },
    );
  }

  /** The framework used last, by this server or else by the latest jobs; else the first that there is. */
  async #usualFramework(): Promise<string> {
    if (this.#lastFramework) return this.#lastFramework;
    for (const { id } of (await this.#store.latest()).slice(0, LATEST_TOLD)) {
      const job = await this.#store.read(id);
      if (!job) continue;
      const { framework, config } = job.request;
      const hint = await frameworkHint(framework, config, job.baseDir, this.config.userHome);
      if (hint) return hint;
    }
    return FRAMEWORKS[0]?.name ?? "auto";
  }

  async #describeAfresh(executable: string, request: unknown): Promise<Record<string, unknown>> {
    await this.#store.make();
    const path = join(tmpdir(), `ml-executor-describe-${process.pid}-${performance.now()}.json`);
    await writeFile(path, JSON.stringify(request), { flag: "wx", mode: 0o600 });
    try {
      const args = ["describe", path];
      const { ok, stdout, stderr } = await runPython(
        this.config,
        executable,
        args,
        DESCRIBE_SECONDS,
      );
      if (ok) return JSON.parse(stdout);
      throw new ExecutorError("runner-crashed", "The process that describes the path died", {
        exitCode: ERROR_TYPES["runner-crashed"].exitCode,
        stderr,
        solution:
          "Look at stderr: the file may be too large for the memory, or the environment broken.",
        metadata: { python: executable },
      });
    } finally {
      await rm(path, { force: true });
    }
  }

  async #background(what: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // Nothing was asked for: a call that needs the same will be told.
      this.log.debug({ err: error }, `${what} did not work`);
    }
  }
}

function isSeenBy(job: JobRequest, principal: string | null): boolean {
  return principal === null || job.principal === principal;
}
