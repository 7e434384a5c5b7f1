import type { JobHandle } from "../../jobs/service.js";
import { JobWatch, type WatchedFile } from "../../jobs/watch.js";
import { RequestError } from "../requests.js";
import { SCHEMA_NAMES } from "../schemas.js";
import type { Session } from "../session.js";
import { Throttle } from "../throttle.js";
import { jobOf, notFound } from "./read.js";
import { parseUri, type Target } from "./uris.js";

const INTERVAL_MILLISECONDS = 1000;
const MOST = 500;

type JobTarget = Exclude<Target, { kind: "schema" }>;

/** The resources that a session wants to hear of. */
export class Subscriptions {
  /** URI → what it is; null where it never changes. */
  readonly #wanted = new Map<string, JobTarget | null>();
  readonly #watches = new Map<string, Promise<JobWatch>>();
  readonly #updates: Throttle<string>;

  constructor(private readonly session: Session) {
    this.#updates = new Throttle(INTERVAL_MILLISECONDS, (uri) => {
      if (!this.#wanted.has(uri)) return;
      // The client is gone where this fails.
      session.server.sendResourceUpdated({ uri }).catch(() => undefined);
    });
    session.closed.addEventListener("abort", () => this.#close());
  }

  /**
   * Tells of each change of the resource from now on. One that its job has yet to make is welcome.
   *
   * @throws RequestError where there is no such job or schema, or where there are too many
   */
  async add(uri: string): Promise<void> {
    const target = parseUri(uri);
    if (target === null) throw notFound(uri, "it is none of resources/templates/list");
    if (!this.#wanted.has(uri) && this.#wanted.size >= MOST) {
      throw RequestError.invalidParams(`At most ${MOST} resources can be subscribed to at once`);
    }
    if (target.kind === "schema") {
      if (!SCHEMA_NAMES.includes(target.name)) throw notFound(uri, `no tool '${target.name}'`);
      this.#wanted.set(uri, null);
      return;
    }
    const job = await jobOf(uri, target, this.session);
    this.#wanted.set(uri, target);
    if (this.session.closed.aborted) return;
    const watch = this.#watches.get(job.id) ?? this.#watch(job);
    this.#watches.set(job.id, watch);
    await watch;
  }

  remove(uri: string): void {
    const target = this.#wanted.get(uri);
    this.#wanted.delete(uri);
    if (!target) return;
    const others = [...this.#wanted.values()].some((one) => one?.id === target.id);
    if (!others) this.#unwatch(target.id);
  }

  async #watch(job: JobHandle): Promise<JobWatch> {
    const changed = (files: ReadonlySet<WatchedFile>) => {
      for (const [uri, target] of this.#wanted) {
        if (target?.id === job.id && sources(target).some((file) => files.has(file))) {
          this.#updates.tell(uri);
        }
      }
    };
    return await JobWatch.start(job, changed);
  }

  #unwatch(id: string): void {
    void this.#watches.get(id)?.then((watch) => watch.close());
    this.#watches.delete(id);
  }

  #close(): void {
    this.#updates.close();
    this.#wanted.clear();
    for (const id of [...this.#watches.keys()]) this.#unwatch(id);
  }
}

/** The files that a resource is made from. */
function sources(target: JobTarget): WatchedFile[] {
  switch (target.kind) {
    case "job":
    case "metrics":
      return ["events.ndjson", "report.json"];
    case "report":
    case "artifact":
      return ["report.json"];
    case "log":
      return [`${target.stream}.log`];
  }
}
