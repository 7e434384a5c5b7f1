import { isObject, type Problem } from "./problems.js";

/**
 * What no parameter may hold, of whatever type it is: text that cannot be written as UTF-8 or passed to
 * the system, numbers that JSON cannot carry, depths that no reader follows.
 * `runners/ml_runner/validation/usable.py` is the twin.
 */

const DEEPEST = 50;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** What of `value` cannot be passed on to a job; `key` is its dotted path. */
export function unusable(value: unknown, key: string, depth = 0): Problem[] {
  const name = key || "arguments";
  if (typeof value === "string") return textProblems(value, name, `'${name}'`);
  if (typeof value === "number" && !Number.isFinite(value))
    return [{ key: name, message: `'${name}' is beyond the range of a number` }];
  if (Array.isArray(value) || isObject(value)) {
    if (depth >= DEEPEST)
      return [{ key: name, message: `'${name}' is nested deeper than ${DEEPEST} levels` }];
    return Array.isArray(value)
      ? value.flatMap((item, index) => unusable(item, `${name}[${index}]`, depth + 1))
      : Object.entries(value).flatMap(([inner, item]) => {
          const wrong = textProblems(inner, name, `a key of '${name}'`);
          return wrong.length > 0
            ? wrong
            : unusable(item, key ? `${key}.${inner}` : inner, depth + 1);
        });
  }
  return [];
}

function textProblems(text: string, key: string, subject: string): Problem[] {
  if (text.includes("\0")) return [{ key, message: `${subject} holds a NUL character` }];
  if (LONE_SURROGATE.test(text))
    return [{ key, message: `${subject} holds half a surrogate pair, which is no character` }];
  return [];
}
