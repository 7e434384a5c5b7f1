import type { Config } from "../config.js";
import type { Logger } from "../log.js";
import { abortable, InOrder, type Launcher, type Runtime } from "./launch.js";
import { Resident } from "./resident.js";
import { siteStamp } from "./site-packages.js";
import { type OnExit, Zygote } from "./zygote.js";

const UNUSED_MILLISECONDS = 10 * 60 * 1000;
const SWEEP_MILLISECONDS = 30 * 1000;
/** After this many deaths in a row a zygote is not started again for `PAUSE_MILLISECONDS`. */
const MOST_DEATHS = 4;
const PAUSE_MILLISECONDS = 5 * 60 * 1000;
/** One that lived at least this long did not die of its start: the count begins anew. */
const HEALTHY_MILLISECONDS = 60 * 1000;

interface Deaths {
  count: number;
  /** No new start before this time. */
  until: number;
}

/** Forks every process from a zygote that has imported its framework. */
export class ForkLauncher implements Launcher {
  readonly #zygotes = new Map<string, Promise<Zygote>>();
  readonly #deaths = new Map<string, Deaths>();
  /** Jobs on their way to a zygote, by executable and framework: they reach it in order. */
  readonly #lines = new Map<string, InOrder>();
  readonly #sweep: NodeJS.Timeout;
  #closed = false;

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
  ) {
    this.#sweep = setInterval(() => void this.#letGo(), SWEEP_MILLISECONDS);
    this.#sweep.unref();
  }

  async supervise(runtime: Runtime, jobDir: string, onExit: OnExit, signal: AbortSignal) {
    const { executable, framework } = runtime;
    const name = `${executable}\0${framework}`;
    const line = this.#lines.get(name) ?? new InOrder();
    this.#lines.set(name, line);
    const { asked } = await abortable(
      line.next(async () => {
        const zygote = await this.#zygote(runtime);
        await abortable(zygote.ready, signal);
        return { asked: zygote.supervise(jobDir, onExit) };
      }),
      signal,
    );
    await asked;
  }

  async resident(runtime: Runtime, socket: string): Promise<Resident> {
    const zygote = await this.#zygote(runtime);
    return Resident.start(socket, async (path, onExit) => {
      const pid = await zygote.resident(path, this.config.threads, onExit);
      return { kill: () => killChild(pid) };
    });
  }

  async warm(runtime: Runtime): Promise<void> {
    await (await this.#zygote(runtime)).ready;
  }

  async key({ executable, framework }: Runtime): Promise<string> {
    return [executable, framework, await siteStamp(executable)].join("\0");
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweep);
    const zygotes = await Promise.allSettled(this.#zygotes.values());
    await Promise.all(zygotes.map((one) => one.status === "fulfilled" && one.value.end()));
  }

  async #zygote(runtime: Runtime): Promise<Zygote> {
    const key = await this.key(runtime);
    if (this.#closed) throw new Error("this server is ending");
    const known = this.#zygotes.get(key);
    if (known) return known;
    const deaths = this.#deaths.get(key);
    if (deaths && Date.now() < deaths.until) {
      throw new Error(`the zygote for ${runtime.framework} died ${deaths.count} times in a row`);
    }
    const born = Date.now();
    const starting = Zygote.start(this.config, runtime.executable, runtime.framework, this.log);
    this.#zygotes.set(key, starting);
    starting.then(
      (zygote) => zygote.ended.then(() => this.#died(key, born)),
      () => this.#died(key, born),
    );
    return starting;
  }

  #died(key: string, born: number): void {
    this.#zygotes.delete(key);
    if (this.#closed) return;
    const lived = Date.now() - born;
    const count = lived > HEALTHY_MILLISECONDS ? 1 : (this.#deaths.get(key)?.count ?? 0) + 1;
    // The first death is forgiven at once; then 1, 2, 4 seconds, and then a long pause.
    const pause =
      count === 1 ? 0 : count > MOST_DEATHS ? PAUSE_MILLISECONDS : 2 ** (count - 2) * 1000;
    this.#deaths.set(key, { count, until: Date.now() + pause });
  }

  async #letGo(): Promise<void> {
    const oldest = Date.now() - UNUSED_MILLISECONDS;
    for (const [key, starting] of this.#zygotes) {
      const zygote = await starting.catch(() => null);
      if (!zygote?.childless || zygote.lastUsed > oldest) continue;
      this.#zygotes.delete(key);
      this.#deaths.delete(key);
      this.log.debug({ zygote: zygote.label }, "zygote let go");
      await zygote.end();
    }
  }
}

function killChild(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has gone by itself.
  }
}
