import type { ErrorShape } from "../contract/index.js";

/** An answer costs an agent what it holds: at most so much, whatever was sent. */
export const MOST_BYTES = 8 * 1024;

const TEXT = 1000;
const DETAIL = 200;
const ITEMS = 12;
const LEVELS = 3;

export const fits = (content: unknown, room = 0): boolean =>
  Buffer.byteLength(JSON.stringify(content)) <= MOST_BYTES - room;

/**
 * The error as it was, or cut until it fits: details first, which may be whatever the caller sent. A
 * call that is cut is none: one that is too long is left out.
 */
export function boundedError(error: ErrorShape): ErrorShape {
  if (fits({ error })) return error;
  const { nextCall, stderr, metadata, ...rest } = error;
  const cut: ErrorShape = {
    ...rest,
    message: clip(error.message, TEXT),
    solution: clip(error.solution, TEXT),
    ...(stderr && { stderr: ending(stderr, TEXT) }),
    ...(metadata && { metadata: shorten(metadata, LEVELS) as Record<string, unknown> }),
  };
  const whole = { ...cut, ...(nextCall && { nextCall }) };
  if (fits({ error: whole })) return whole;
  if (nextCall && /nextCall/.test(cut.solution))
    cut.solution =
      "Mend what the message names and call again; the mended call is too long to show.";
  if (fits({ error: cut })) return cut;
  const { metadata: _, stderr: __, ...bare } = cut;
  return bare;
}

/** The first of a list of which, in `wrap`, so many fit; the latest stand first. */
export function boundedList<T>(
  items: readonly T[],
  wrap: (items: readonly T[]) => Record<string, unknown>,
): Record<string, unknown> {
  let count = items.length;
  while (count > 0 && !fits(wrap(items.slice(0, count)))) count -= Math.ceil(count / 8);
  return wrap(items.slice(0, count));
}

function shorten(value: unknown, levels: number): unknown {
  if (typeof value === "string") return clip(value, DETAIL);
  if (typeof value !== "object" || value === null) return value;
  if (levels === 0) return Array.isArray(value) ? "[…]" : "{…}";
  if (Array.isArray(value)) {
    const items = value.slice(0, ITEMS).map((item) => shorten(item, levels - 1));
    return value.length > ITEMS ? [...items, `… ${value.length - ITEMS} more`] : items;
  }
  const entries = Object.entries(value).slice(0, ITEMS);
  return Object.fromEntries(
    entries.map(([key, inner]) => [clip(key, DETAIL), shorten(inner, levels - 1)]),
  );
}

/** The last of a text; half a character at the cut is dropped. */
export const ending = (text: string, most: number): string =>
  text.slice(-most).replace(/^[\udc00-\udfff]/, "");

/** By characters as people count them, so that no half of one is left. */
function clip(text: string, most: number): string {
  if (text.length <= most) return text;
  return `${[...text.slice(0, most)].slice(0, -1).join("")}…`;
}
