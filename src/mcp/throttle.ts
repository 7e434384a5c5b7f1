/** Passes each key on at most once an interval: at once where it was quiet, else when the interval is over. */
export class Throttle<Key> {
  readonly #waiting = new Map<Key, { timer: NodeJS.Timeout; again: boolean }>();

  constructor(
    private readonly milliseconds: number,
    private readonly pass: (key: Key) => void,
  ) {}

  /** Something happened to `key`. */
  tell(key: Key): void {
    const waiting = this.#waiting.get(key);
    if (waiting) waiting.again = true;
    else this.#pass(key);
  }

  /** Forgets what has not been passed on. */
  close(): void {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }

  #pass(key: Key): void {
    const timer = setTimeout(() => {
      const again = this.#waiting.get(key)?.again;
      this.#waiting.delete(key);
      if (again) this.#pass(key);
    }, this.milliseconds).unref();
    this.#waiting.set(key, { timer, again: false });
    this.pass(key);
  }
}
