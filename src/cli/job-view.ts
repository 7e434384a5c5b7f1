import type { Config } from "../config.js";
import type { JobEvent } from "../contract/index.js";
import { advance, type History, NO_HISTORY } from "../jobs/state.js";
import { duration, figure, metricsLine, progressLine } from "../report/words.js";
import { LiveLine, type Palette, palette } from "./terminal.js";

type Progress = Extract<JobEvent, { type: "progress" }>;

const BAR_CELLS = 24;
const TICK_MILLISECONDS = 500;
/** Where there is no terminal, lines are for a log: a fast loop must not flood it. */
const LINE_MILLISECONDS = 400;

/** Shows a job's course on stderr: a live bar on a terminal, a line for each step elsewhere. */
export class JobView {
  readonly #line: LiveLine;
  readonly #paint: Palette;
  readonly #ticking: NodeJS.Timeout | null;
  #history: History = NO_HISTORY;
  #lastLine = Number.NEGATIVE_INFINITY;
  /** Progress that was passed over because it came too soon after a line. */
  #unsaid: Progress | null = null;

  /** @param title what the job does, as `train` */
  constructor(
    config: Config,
    private readonly title: string,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {
    this.#line = new LiveLine(stream);
    this.#paint = palette(config, stream);
    this.#ticking = stream.isTTY ? setInterval(() => this.#redraw(), TICK_MILLISECONDS) : null;
  }

  /** Takes note of an event of the job. */
  onEvent(event: JobEvent): void {
    this.#history = advance(this.#history, event);
    if (event.type === "warning") this.say(`${this.#paint.yellow("warning:")} ${event.message}`);
    if (this.stream.isTTY) this.#redraw();
    else this.#write(event);
  }

  /** Writes a line that stays. */
  say(text: string): void {
    this.#line.clear();
    this.stream.write(`${text}\n`);
    if (this.stream.isTTY) this.#redraw();
  }

  /** Ends the view, and leaves the last that was known of the progress. */
  close(): void {
    if (this.#ticking) clearInterval(this.#ticking);
    this.#line.clear();
    if (this.#unsaid) this.stream.write(`${stepLine(this.title, this.#unsaid)}\n`);
    this.#unsaid = null;
  }

  #redraw(): void {
    this.#line.show(liveLine(this.title, this.#history, Date.now() / 1000));
  }

  #write(event: JobEvent): void {
    if (event.type === "phase") {
      this.#flush();
      this.stream.write(`${this.title}: ${event.name}\n`);
    }
    if (event.type !== "progress") return;
    const now = performance.now();
    if (now - this.#lastLine < LINE_MILLISECONDS) {
      this.#unsaid = event;
      return;
    }
    this.#lastLine = now;
    this.#unsaid = null;
    this.stream.write(`${stepLine(this.title, event)}\n`);
  }

  #flush(): void {
    if (this.#unsaid) this.stream.write(`${stepLine(this.title, this.#unsaid)}\n`);
    this.#unsaid = null;
  }
}

/** `train ━━━━━────── 42% round 42/100 · 12 rounds/s · loss 0.31 · 1m 3s left` */
export function liveLine(title: string, history: History, now: number): string {
  const { progress, startedAt, phase } = history;
  if (startedAt === null) return `${title} · waiting for a free slot`;
  const seconds = Math.round(now - startedAt);
  const elapsed = seconds > 0 ? duration(seconds) : "";
  if (!progress) return [title, phase ?? "starting", elapsed].filter(Boolean).join(" · ");
  const parts = [bar(title, progress), rate(progress), metricsLine(progress.metrics)];
  return [...parts, remaining(progress, now) ?? elapsed].filter(Boolean).join(" · ");
}

/** `train: round 42/100 · 12 rounds/s · loss 0.31 · 1m 3s left` */
export function stepLine(title: string, progress: Progress): string {
  const parts = [progressLine(progress), rate(progress), metricsLine(progress.metrics)];
  const words = [...parts, remaining(progress, progress.time)].filter(Boolean).join(" · ");
  return `${title}: ${words}`;
}

function bar(title: string, progress: Progress): string {
  const { done, total } = progress;
  if (total === null || total <= 0) return `${title} · ${progressLine(progress)}`;
  const share = Math.min(1, Math.max(0, done / total));
  const full = Math.round(share * BAR_CELLS);
  const cells = "━".repeat(full) + "─".repeat(BAR_CELLS - full);
  return `${title} ${cells} ${Math.floor(share * 100)}% ${progressLine(progress)}`;
}

function rate({ rate: perSecond, unit }: Progress): string {
  if (perSecond === null || perSecond <= 0) return "";
  return perSecond >= 1
    ? `${figure(perSecond)} ${unit}s/s`
    : `${duration(1 / perSecond)} a ${unit}`;
}

function remaining({ etaSeconds, time }: Progress, now: number): string | null {
  if (etaSeconds === null) return null;
  const left = Math.max(0, etaSeconds - (now - time));
  return left === 0 ? null : `${duration(left)} left`;
}
