import { createHash } from "node:crypto";
import { link, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exists, readIfThere } from "./files.js";
import { isId, newId } from "./ids.js";

/** A caller's own id for a call. */
export interface RequestKey {
  readonly principal: string | null;
  readonly requestId: string;
}

/** Which job a caller's own id stands for: a file for each, that holds the job's id. */
export class CallerIds {
  /** @param directoryOf the directory of a job */
  constructor(
    private readonly directory: string,
    private readonly directoryOf: (id: string) => string,
  ) {}

  /** The job's id that belongs to a key: the first caller's, whoever else comes at the same time. */
  async claim(key: RequestKey): Promise<string> {
    const path = this.#path(key);
    const known = await readIfThere(path);
    if (known) {
      // Its job may be gone and be made anew: pruning leaves it alone meanwhile.
      if (!(await exists(this.directoryOf(known)))) await utimes(path, new Date(), new Date());
      return known;
    }
    const id = newId();
    const temporary = `${path}.${id}`;
    await writeFile(temporary, id, { flag: "wx", mode: 0o600 });
    try {
      // A link fails where the name is taken, and never shows a file that is not written yet.
      await link(temporary, path);
      return id;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      return (await readIfThere(path)) ?? id;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async forget(key: RequestKey): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  /**
   * Forgets the ids whose jobs are gone: the same id then stands for a new job.
   *
   * @param before milliseconds; younger ones may belong to a job that is being made
   */
  async forgetOrphans(before: number): Promise<void> {
    for (const name of await readdir(this.directory).catch(() => [] as string[])) {
      const path = join(this.directory, name);
      const entry = await stat(path).catch(() => null);
      if (!entry || entry.mtimeMs > before) continue;
      const id = await readFile(path, "utf8").catch(() => "");
      if (isId(id) && (await exists(this.directoryOf(id)))) continue;
      await rm(path, { force: true }).catch(() => undefined);
    }
  }

  #path({ principal, requestId }: RequestKey): string {
    const digest = createHash("sha256")
      .update(JSON.stringify([principal, requestId]))
      .digest("hex");
    return join(this.directory, digest);
  }
}
