import { join } from "node:path";
import type { Config } from "../config.js";
import { type Answer, type ErrorShape, ExecutorError, type JobRequest } from "../contract/index.js";
import type { Logger } from "../log.js";
import type { LightCall, LightOutcome } from "../runners/lane.js";
import { type Runtime, SUPERVISOR_LOG } from "../runners/launch.js";
import type { RunnerPool } from "../runners/pool.js";
import type { Adopter } from "./adopt.js";
import { control } from "./control.js";
import { cancelled, crashed, notStarted, timedOut } from "./endings.js";
import { EventReader } from "./follow.js";
import { cpuLane } from "./lanes.js";
import { advance, NO_HISTORY } from "./state.js";
import type { Store } from "./store.js";
import { cannotWrite } from "./suffering.js";

const DEFAULT_TIMEOUT_SECONDS = 3600;
const LOOK_MILLISECONDS = 200;

/** The seconds that a job may run. */
export const timeoutOf = (job: JobRequest): number =>
  job.request.timeout ?? DEFAULT_TIMEOUT_SECONDS;

/** A job that this server is bringing on its way, or that runs in a resident process of this server. */
export interface Launch {
  /** The answer of a light job; null once the job has a supervisor, and its files tell the rest. */
  readonly done: Promise<Answer | null>;
  /** Ends the job where it has no supervisor yet; does nothing where it has. */
  cancel(): Promise<void>;
}

/** Brings jobs on their way: to the resident process, or to a supervisor. */
export class Launches {
  readonly #launches = new Map<string, Launch>();

  constructor(
    private readonly config: Config,
    private readonly store: Store,
    private readonly pool: RunnerPool,
    private readonly adopter: Adopter,
    private readonly log: Logger,
    /** Whether light jobs go to a resident process; each has one of its own otherwise. */
    private readonly residents: boolean,
  ) {}

  /** The launch of a job, while it lasts. */
  of(id: string): Launch | null {
    return this.#launches.get(id) ?? null;
  }

  /** Begins; never rejects: what goes wrong becomes the job's answer. */
  start(job: JobRequest, runtime: Runtime): Launch {
    const giveUp = new AbortController();
    let light: LightCall | null = null;
    const done = this.#drive(job, runtime, giveUp.signal, (call) => {
      light = call;
    })
      .catch(async (error) => {
        this.log.error({ err: error, job: job.id }, "a job could not be started");
        const told = (await cannotWrite(error, this.config.home)) ?? ExecutorError.internal(error);
        return await this.#end(job, told.shape);
      })
      .finally(() => this.#launches.delete(job.id));
    const launch = {
      done,
      cancel: async () => {
        giveUp.abort(new Error("cancelled"));
        await light?.cancel();
      },
    };
    this.#launches.set(job.id, launch);
    return launch;
  }

  async #drive(
    job: JobRequest,
    runtime: Runtime,
    signal: AbortSignal,
    onLight: (call: LightCall) => void,
  ): Promise<Answer | null> {
    if (job.lane !== "light" || !this.residents) return await this.#supervise(job, runtime, signal);
    const call = await this.pool.light(
      runtime,
      { type: "run", jobDir: this.store.directory(job.id) },
      timeoutOf(job),
      {
        // Before the process dies: whoever sees to the job then publishes this.
        beforeKill: (ending) =>
          this.store.propose(job.id, { error: this.#ended(job, ending, true) }),
        hasBegun: () => this.#hasBegun(job),
      },
    );
    onLight(call);
    if (signal.aborted) await call.cancel();
    const watch = this.#watchForStop(job, call);
    const outcome = await call.outcome;
    clearInterval(watch);
    if ("answer" in outcome) return outcome.answer as Answer;
    if (!("declined" in outcome)) return await this.#end(job, this.#death(job, outcome));
    this.log.debug({ job: job.id, why: outcome.declined }, "the resident process declined");
    const lane = cpuLane(this.config, job.request.action);
    const heavy = { ...job, lane: lane.name, slots: lane.slots, exclusive: lane.exclusive };
    await this.store.write(heavy);
    return await this.#supervise(heavy, runtime, signal);
  }

  /** Another server or command cannot reach the resident process: it leaves a note in the directory. */
  #watchForStop(job: JobRequest, call: LightCall): NodeJS.Timeout {
    const look = async () => {
      if (await this.store.isToStop(job.id)) await call.cancel();
    };
    return setInterval(() => void look(), LOOK_MILLISECONDS).unref();
  }

  async #hasBegun(job: JobRequest): Promise<boolean> {
    const events = await new EventReader(
      join(this.store.directory(job.id), "events.ndjson"),
    ).read();
    return events.reduce(advance, NO_HISTORY).startedAt !== null;
  }

  #death(
    job: JobRequest,
    outcome: Exclude<LightOutcome, { answer: unknown } | { declined: unknown }>,
  ) {
    if ("ended" in outcome) return this.#ended(job, outcome.ended, false);
    if (outcome.ending) return this.#ended(job, outcome.ending, true);
    return crashed(job, outcome.died, "");
  }

  #ended(job: JobRequest, ending: "timeout" | "cancelled", ran: boolean): ErrorShape {
    return ending === "timeout" ? timedOut(job, timeoutOf(job)) : cancelled(job, ran);
  }

  async #supervise(job: JobRequest, runtime: Runtime, signal: AbortSignal): Promise<Answer | null> {
    const directory = this.store.directory(job.id);
    try {
      const onExit = (status: number | null) => void this.#afterSupervisor(job, status);
      await this.pool.supervise(runtime, directory, onExit, signal);
      return null;
    } catch (error) {
      if (signal.aborted) return await this.#end(job, cancelled(job, false));
      if (error instanceof ExecutorError) return await this.#end(job, error.shape);
      // One that names its own log as the file is not about the interpreter.
      const { path } = error as NodeJS.ErrnoException;
      const ours = path?.startsWith(this.config.home)
        ? await cannotWrite(error, this.config.home)
        : null;
      if (ours) return await this.#end(job, ours.shape);
      return await this.#end(job, notStarted(job, error));
    }
  }

  /** A supervisor has gone: where its job has no answer yet, sees to it that it gets one. */
  async #afterSupervisor(job: JobRequest, status: number | null): Promise<void> {
    try {
      if (await this.store.ended(job.id)) return;
      // The zygote that told of the supervisor may have gone alone; or another supervisor has the job.
      if ((await control(this.store.directory(job.id))) === "supervised") return;
      const adopted = await this.adopter.adopt(job);
      if (adopted) return;
      const stderr = await this.store.tail(job.id, SUPERVISOR_LOG, 4096);
      await this.store.answer(job.id, { error: crashed(job, status, stderr) });
    } catch (error) {
      this.log.error({ err: error, job: job.id }, "a job that ended could not be seen to");
    }
  }

  /** Publishes an end that only this server knows of; an answer that is there already stays. */
  async #end(job: JobRequest, error: ErrorShape): Promise<Answer | null> {
    try {
      if (!(await this.store.ended(job.id))) {
        await this.store.propose(job.id, { error });
        const adopted = await this.adopter.adopt(job);
        if (!adopted) await this.store.answer(job.id, { error });
      }
      return await this.store.report(job.id);
    } catch (cause) {
      // A full disk: who waits here is told all the same.
      this.log.error({ err: cause, job: job.id }, "a job's end could not be written down");
      return { error };
    }
  }
}
