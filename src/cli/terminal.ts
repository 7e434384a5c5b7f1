import type { Config } from "../config.js";

/** Words for people: colours where the terminal has them, nothing but text elsewhere. */

type Paint = (text: string) => string;

export interface Palette {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly green: Paint;
  readonly red: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
}

export function palette(config: Config, stream: NodeJS.WriteStream): Palette {
  const { NO_COLOR, FORCE_COLOR, TERM } = config.environment;
  const wanted = FORCE_COLOR ? FORCE_COLOR !== "0" : stream.isTTY && TERM !== "dumb";
  const paint = (code: number): Paint =>
    wanted && !NO_COLOR ? (text) => `\u001b[${code}m${text}\u001b[0m` : (text) => text;
  return {
    bold: paint(1),
    dim: paint(2),
    green: paint(32),
    red: paint(31),
    yellow: paint(33),
    cyan: paint(36),
  };
}

/** A line that is written over by the next one on a terminal, and left out elsewhere. */
export class LiveLine {
  #shown = false;

  constructor(private readonly stream: NodeJS.WriteStream) {}

  show(text: string): void {
    if (!this.stream.isTTY) return;
    const width = (this.stream.columns || 80) - 1;
    this.stream.write(`\r\u001b[2K${text.length > width ? `${text.slice(0, width - 1)}…` : text}`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) this.stream.write("\r\u001b[2K");
    this.#shown = false;
  }
}

/** Paths under the user's home directory as people write them. */
export function homely(config: Config, path: string): string {
  return path === config.userHome || path.startsWith(`${config.userHome}/`)
    ? `~${path.slice(config.userHome.length)}`
    : path;
}
