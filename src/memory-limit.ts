import type { MemoryLimit } from "./contract/protocol.js";

/** No process of the runner comes to life in less. */
const SMALLEST_BYTES = 64 * 1024 ** 2;
const UNITS = ["", "k", "m", "g", "t"];

/**
 * Reads `4GB`, `512MB`, `1.5G` (powers of 1024) or `80%`; `parse` in
 * `ml_runner/process/memory_limit.py` reads the same.
 *
 * @throws RangeError that says what is wrong with it
 */
export function parseMemoryLimit(text: string): MemoryLimit {
  const found = /^(\d+(?:\.\d+)?) ?(?:(%)|([kmgt]?)(?:i?b)?)$/.exec(text.trim().toLowerCase());
  if (!found) throw new RangeError("it takes a size such as 4GB or 512MB, or a share such as 80%");
  const [, digits, percent, unit = ""] = found;
  const number = Number(digits);
  if (percent) {
    if (number > 0 && number <= 100) return { share: number / 100 };
    throw new RangeError("a share is above 0% and at most 100%");
  }
  const bytes = Math.floor(number * 1024 ** UNITS.indexOf(unit));
  if (bytes >= SMALLEST_BYTES && Number.isSafeInteger(bytes)) return { bytes };
  throw new RangeError("it takes at least 64MB");
}
