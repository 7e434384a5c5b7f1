import {
  constants,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  type Answer,
  type JobRequest,
  JobRequestSchema,
  PROTOCOL_VERSION,
} from "../contract/index.js";
import { CallerIds, type RequestKey } from "./caller-ids.js";
import { withContinuation } from "./continuation.js";
import { exists, parseJson, replace } from "./files.js";
import { isId, newId } from "./ids.js";
import { cannotWrite, damagedReport } from "./suffering.js";

const YOUNG_MILLISECONDS = 60_000;
const STOP = "stop.json";

/** The directories of jobs: the truth about them, shared with every server and command on the machine. */
export class Store {
  readonly jobs: string;
  readonly callerIds: CallerIds;
  /** When each job was made, once it is known: thousands of files are not to be looked at for a list. */
  readonly #madeAt = new Map<string, number>();
  #made: Promise<void> | null = null;

  /** @param home the state directory; made when first written to */
  constructor(private readonly home: string) {
    this.jobs = join(home, "jobs");
    this.callerIds = new CallerIds(join(home, "requests"), (id) => this.directory(id));
  }

  directory(id: string): string {
    return join(this.jobs, id);
  }

  /**
   * Makes the state directory, for this user alone.
   *
   * @throws ExecutorError `invalid-configuration` where that cannot be; as all that writes a job's request
   */
  make(): Promise<void> {
    this.#made ??= this.#writing(async () => {
      for (const name of ["jobs", "requests", "slots", "outputs", "logs"]) {
        await makeDirectory(join(this.home, name));
      }
    }).catch((error) => {
      // The disk may have been full; it is tried again.
      this.#made = null;
      throw error;
    });
    return this.#made;
  }

  async #writing<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      throw (await cannotWrite(error, this.home)) ?? error;
    }
  }

  /**
   * Makes a job: its directory, then its request, whose presence makes it one.
   *
   * @param build makes the request for the job's id
   * @returns the request as written
   */
  async create(build: (id: string) => JobRequest): Promise<JobRequest> {
    await this.make();
    const request = build(newId());
    await this.#writing(() => mkdir(this.directory(request.id), { mode: 0o700 }));
    await this.#begin(request);
    return request;
  }

  /** Writes the first request of a job; leaves nothing behind where that fails. */
  async #begin(request: JobRequest): Promise<void> {
    try {
      await this.write(request);
    } catch (error) {
      await rm(this.directory(request.id), { recursive: true, force: true }).catch(() => undefined);
      throw error;
    }
  }

  /** Writes a job's request: whole, or not at all. Not fsynced: a job that a power cut loses never ran. */
  async write(request: JobRequest): Promise<void> {
    const path = join(this.directory(request.id), "request.json");
    await this.#writing(() => replace(path, JSON.stringify(request)));
  }

  /**
   * Makes a job for a caller's own id, unless that id has one already.
   *
   * @param key whose id it is, and the id
   * @returns the request, and whether this call made it
   */
  async createOnce(
    key: RequestKey,
    build: (id: string) => JobRequest,
  ): Promise<{ request: JobRequest; made: boolean }> {
    await this.make();
    const id = await this.#writing(() => this.callerIds.claim(key));
    const known = await this.read(id);
    if (known) return { request: known, made: false };
    // Whoever makes the directory makes the job. A caller that died in between leaves an empty one.
    const ours = await mkdir(this.directory(id), { mode: 0o700 }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "EEXIST") return false;
        return this.#writing(() => Promise.reject(error));
      },
    );
    const theirs = ours ? null : await this.#appearing(id);
    if (theirs) return { request: theirs, made: false };
    const request = build(id);
    await this.#begin(request);
    return { request, made: true };
  }

  async #appearing(id: string): Promise<JobRequest | null> {
    for (let waited = 0; waited < 1000; waited += 20) {
      const request = await this.read(id);
      if (request) return request;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return null;
  }

  /** A job's request; null where there is no such job, or what is there is not one of ours. */
  async read(id: string): Promise<JobRequest | null> {
    return (await this.#look(id))?.request ?? null;
  }

  /** What is wrong with a job whose request cannot be read; null where there is none, or a good one. */
  async damage(id: string): Promise<string | null> {
    return (await this.#look(id))?.problem ?? null;
  }

  async #look(id: string): Promise<{ request: JobRequest | null; problem: string | null } | null> {
    if (!isId(id)) return null;
    let text: string;
    try {
      text = await readFile(join(this.directory(id), "request.json"), "utf8");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const there = await stat(this.directory(id)).catch(() => null);
      if (!there?.isDirectory()) return null;
      const problem = code === "ENOENT" ? "it has no request.json" : `its request.json: ${code}`;
      return { request: null, problem };
    }
    const value = parseJson(text);
    const { data: request, error } = JobRequestSchema.safeParse(value);
    if (request) return { request, problem: null };
    const protocol = (value as { protocol?: unknown } | null)?.protocol;
    if (typeof protocol === "number" && protocol !== PROTOCOL_VERSION) {
      const ours = `this one knows protocol ${PROTOCOL_VERSION}`;
      return { request: null, problem: `it is of another version (protocol ${protocol}; ${ours})` };
    }
    const where = value === null ? "no JSON" : (error.issues[0]?.path.join(".") ?? "");
    return { request: null, problem: `its request.json is damaged (${where})` };
  }

  /** A job's answer; null while it goes on. One that cannot be read is told as an error. */
  async report(id: string): Promise<Answer | null> {
    const path = join(this.directory(id), "report.json");
    try {
      const answer = JSON.parse(await readFile(path, "utf8"));
      // It appears whole. Its shape is the runner's to keep; what is no answer is a broken disk's.
      if (answer?.executionReport) return answer as Answer;
      if (answer?.error?.type)
        return {
          error: await withContinuation(id, answer.error, (other) => this.directory(other)),
        };
      return { error: damagedReport(id, path, "it holds no answer") };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return null;
      return { error: damagedReport(id, path, code ?? message) };
    }
  }

  /** Whether a job has ended. */
  async ended(id: string): Promise<boolean> {
    return await exists(join(this.directory(id), "report.json"));
  }

  /** The ids of all jobs, the latest first; also of directories that were meant to become one. */
  async latest(): Promise<{ id: string; madeAt: number }[]> {
    const names = await readdir(this.jobs).catch(() => [] as string[]);
    if (this.#madeAt.size > 2 * names.length) this.#madeAt.clear();
    const found = await Promise.all(
      names.map(async (id) => {
        const known = this.#madeAt.get(id);
        if (known !== undefined) return { id, madeAt: known };
        const directory = join(this.jobs, id);
        const request = await stat(join(directory, "request.json")).catch(() => null);
        if (request) {
          this.#madeAt.set(id, request.mtimeMs);
          return { id, madeAt: request.mtimeMs };
        }
        const empty = await stat(directory).catch(() => null);
        // A young one is on its way.
        const lost = empty?.isDirectory() && Date.now() - empty.mtimeMs > YOUNG_MILLISECONDS;
        return empty && lost ? { id, madeAt: empty.mtimeMs } : null;
      }),
    );
    return found.filter((job) => job !== null).sort((a, b) => b.madeAt - a.madeAt);
  }

  /**
   * Writes an answer for a job that never came to run, where no Python could be found to do it: under a
   * name that is not taken, so that it never replaces another answer.
   */
  async answer(id: string, answer: Answer): Promise<void> {
    const directory = this.directory(id);
    await this.propose(id, answer);
    await link(join(directory, "result.json"), join(directory, "report.json")).catch((error) => {
      if (error.code !== "EEXIST") throw error;
    });
  }

  /** Leaves an answer for whoever publishes the job's end. */
  async propose(id: string, answer: Answer): Promise<void> {
    await replace(join(this.directory(id), "result.json"), JSON.stringify(answer));
  }

  /** Leaves a note that the job is to end, for whoever has it: see `docs/protocol.md`. */
  async askToStop(id: string): Promise<void> {
    await replace(join(this.directory(id), STOP), JSON.stringify({ reason: "cancelled" }));
  }

  /** Whether somebody has left such a note. */
  async isToStop(id: string): Promise<boolean> {
    return await exists(join(this.directory(id), STOP));
  }

  /** Removes a job that has ended, and the caller's own id that stood for it. */
  async remove(id: string): Promise<void> {
    const request = await this.read(id).catch(() => null);
    if (request && request.requestId !== null) {
      const { principal, requestId } = request;
      await this.callerIds.forget({ principal, requestId });
    }
    await rm(this.directory(id), { recursive: true, force: true });
  }

  /** The last bytes of one of a job's logs; empty where it printed nothing. */
  async tail(id: string, name: string, bytes: number): Promise<string> {
    let file: FileHandle;
    try {
      file = await open(join(this.directory(id), name), constants.O_RDONLY);
    } catch {
      return "";
    }
    try {
      const { size } = await file.stat();
      const from = Math.max(0, size - bytes);
      const buffer = Buffer.alloc(size - from);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
      // A character that the cut split is dropped.
      const start = from === 0 ? 0 : firstCharacter(buffer);
      return buffer.toString("utf8", start, bytesRead);
    } finally {
      await file.close();
    }
  }
}

function firstCharacter(buffer: Buffer): number {
  let start = 0;
  while (start < 4 && ((buffer[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return start;
}

/** Makes a directory and what lies above it. Node's own way calls a read-only file system ENOENT. */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && dirname(path) !== path) {
      await makeDirectory(dirname(path));
      await makeDirectory(path);
    } else if (!(await stat(path).catch(() => null))?.isDirectory()) throw error;
  }
}
