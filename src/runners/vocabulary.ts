import type { Config } from "../config.js";
import { ExecutorError } from "../contract/errors.js";
import { runPython } from "./python.js";
import { siteStamp } from "./site-packages.js";

const SECONDS = 60;

/** Names that the libraries of one environment give meaning to. */
export interface Vocabulary {
  /** Framework → what `algorithm` may be. */
  readonly algorithms: Readonly<Record<string, readonly string[]>>;
  /** What `metrics` may hold. */
  readonly metrics: readonly string[];
}

/** Asks environments for their vocabularies: once each, until a package of theirs changes. */
export class Vocabularies {
  readonly #known = new Map<string, { stamp: string; vocabulary: Promise<Vocabulary> }>();

  constructor(private readonly config: Config) {}

  /** @throws ExecutorError `runner-crashed` where the environment cannot tell */
  async of(executable: string): Promise<Vocabulary> {
    const stamp = await siteStamp(executable);
    const known = this.#known.get(executable);
    if (known?.stamp === stamp) return await known.vocabulary;
    const vocabulary = this.#ask(executable);
    this.#known.set(executable, { stamp, vocabulary });
    // A failure is not kept: it may be of the moment.
    vocabulary.catch(() => this.#known.delete(executable));
    return await vocabulary;
  }

  async #ask(executable: string): Promise<Vocabulary> {
    const { ok, stdout, stderr } = await runPython(
      this.config,
      executable,
      ["vocabulary"],
      SECONDS,
    );
    if (ok) return JSON.parse(stdout);
    throw new ExecutorError("runner-crashed", "The environment did not tell its algorithms", {
      stderr,
      solution: "Look at stderr: the environment may be broken.",
      metadata: { python: executable },
    });
  }
}
