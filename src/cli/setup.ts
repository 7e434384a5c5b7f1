import type { Config } from "../config.js";
import { ExecutorError, FRAMEWORKS } from "../contract/index.js";
import { nearest } from "../contract/nearest.js";
import { duration } from "../report/words.js";
import { locksDirectory, readLocks } from "../runners/managed.js";
import {
  type SetupDone,
  SetupInterrupted,
  type SetupMessage,
  setUpEnvironment,
} from "../runners/setup-environment.js";
import { homely, LiveLine, type Palette, palette } from "./terminal.js";

export interface SetupCommand {
  /** Frameworks by name or alias; null: all of them. */
  readonly frameworks: readonly string[] | null;
  /** The base Python; null: the first that fits. */
  readonly python: string | null;
  /** Also what the project's own tests and checks need. */
  readonly dev: boolean;
}

/** `ml-executor setup`: progress on stderr, the interpreter's path on stdout. Returns the exit code. */
export async function setup(config: Config, command: SetupCommand): Promise<number> {
  const layers = layersOf(config, command.frameworks);
  const done = await setUpVisibly(
    config,
    command.dev ? [...layers, "dev"] : layers,
    command.python,
  );
  if (!done) return 130;
  process.stdout.write(`${done.executable}\n`);
  return 0;
}

/**
 * Sets up layers of the managed environment, telling what happens on stderr.
 *
 * @returns null where the user interrupted it
 * @throws ExecutorError where it cannot be done
 */
export async function setUpVisibly(
  config: Config,
  layers: readonly string[],
  python: string | null = null,
): Promise<SetupDone | null> {
  const view = new SetupView(config, process.stderr);
  // Ctrl-C reaches the whole process group: the Python side ends pip and says so, then we end.
  const wait = () => undefined;
  process.on("SIGINT", wait);
  try {
    return await setUpEnvironment(config, {
      layers,
      python,
      onMessage: (message) => view.show(message),
    });
  } catch (error) {
    if (!(error instanceof SetupInterrupted)) throw error;
    process.stderr.write("Interrupted. Run the setup again: it goes on where it stopped.\n");
    return null;
  } finally {
    view.end();
    process.off("SIGINT", wait);
  }
}

function layersOf(config: Config, frameworks: readonly string[] | null): string[] {
  const { layers } = readLocks(locksDirectory(config));
  const all = Object.keys(layers).filter((name) => name !== "dev");
  if (frameworks === null) return [...new Set(FRAMEWORKS.map(({ layer }) => layer))];
  return frameworks.map((name) => {
    const row = FRAMEWORKS.find((one) => one.name === name || one.aliases.includes(name));
    const layer = row?.layer ?? name;
    if (all.includes(layer)) return layer;
    const near = nearest(name, all);
    throw ExecutorError.invalidConfiguration(`there is no framework '${name}'`, {
      solution: `${near ? `Did you mean ${near}? ` : ""}Name one or more of: ${all.join(", ")}.`,
      metadata: { key: "--frameworks", sent: name, allowed: all, ...(near && { nearest: near }) },
    });
  });
}

/** Shows what the setup does: a live line on a terminal, a line a step elsewhere. */
class SetupView {
  readonly #paint: Palette;
  readonly #live: LiveLine;
  #title = "";
  #packages = 0;
  #collected = 0;
  #doing = "";
  #started = Date.now();
  #ticking: NodeJS.Timeout | null = null;

  constructor(
    private readonly config: Config,
    private readonly stream: NodeJS.WriteStream,
  ) {
    this.#paint = palette(config, stream);
    this.#live = new LiveLine(stream);
  }

  show(message: SetupMessage): void {
    const { dim, green, yellow } = this.#paint;
    switch (message.type) {
      case "waiting":
        this.#say(yellow("Another setup is at work on this environment: waiting for it …"));
        break;
      case "venv":
        this.#say(
          `Making ${homely(this.config, message.path)} ${dim(`(Python ${message.python})`)}`,
        );
        break;
      case "repaired":
        this.#say(`A setup was cut off here. ${again(message.removed)}`);
        break;
      case "plan":
        if (message.present.length > 0) {
          this.#say(dim(`Already there: ${message.present.join(", ")}`));
        }
        break;
      case "layer":
        if (message.state === "installing") this.#begin(message);
        else this.#finish(`${message.megabytes} MB in ${duration(message.seconds)}`);
        break;
      case "step":
        this.#step(message);
        break;
      case "size":
        this.#doing = `${this.#doing.replace(/ · \d+ MB$/, "")} · ${message.megabytes} MB`;
        break;
      case "done":
        this.#say(
          `${green("Ready")}: ${homely(this.config, message.path)} ` +
            dim(`(${message.megabytes} MB; took ${duration(message.seconds)})`),
        );
        break;
      default:
        // Errors are thrown, and an interruption is told by whoever waits.
        break;
    }
  }

  end(): void {
    if (this.#ticking) clearInterval(this.#ticking);
    this.#ticking = null;
    this.#live.clear();
  }

  #begin(message: Extract<SetupMessage, { state: "installing" }>): void {
    this.#title = message.title;
    this.#packages = message.packages;
    this.#collected = 0;
    this.#doing = "";
    this.#started = Date.now();
    this.#say(`${message.title}: ${counted(message.packages)}, about ${message.megabytes} MB`);
    this.#ticking = setInterval(() => this.#tick(), 200);
  }

  #finish(figures: string): void {
    this.end();
    const { bold, green } = this.#paint;
    this.#say(`${green("✓")} ${bold(this.#title)}  ${figures}`);
  }

  #step({ what, name, size }: Extract<SetupMessage, { type: "step" }>): void {
    if (what === "collecting" || what === "processing") this.#collected += 1;
    const count = `${Math.min(this.#collected, this.#packages)}/${this.#packages}`;
    const shown = name.replace(/-\d.*$/, "").replace(/==.*$/, "");
    const sized = size ? ` (${size})` : "";
    if (what === "installing") this.#doing = `unpacking ${counted(name.split(", ").length)}`;
    else
      this.#doing = `${count} ${what === "downloading" ? "downloading" : "fetching"} ${shown}${sized}`;
    // Without a terminal, only what takes its time is worth a line.
    if (
      !this.stream.isTTY &&
      (what === "installing" || (what === "downloading" && /MB|GB/.test(size)))
    ) {
      this.#say(`  ${this.#doing}`);
    }
  }

  #tick(): void {
    const seconds = Math.round((Date.now() - this.#started) / 1000);
    this.#live.show(`  ${this.#doing} · ${seconds} s`);
  }

  #say(line: string): void {
    this.#live.clear();
    this.stream.write(`${line}\n`);
  }
}

function counted(packages: number): string {
  return packages === 1 ? "1 package" : `${packages} packages`;
}

function again(removed: readonly string[]): string {
  return removed.length > 0
    ? `Installing again what it left half done: ${removed.join(", ")}`
    : "Going on.";
}
