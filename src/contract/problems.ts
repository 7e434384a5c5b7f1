/** What can be wrong with a call, and how it is worded; `runners/ml_runner/validation/problems.py` is its twin. */

/** One thing wrong with a call. */
export interface Problem {
  /** Dotted path of the parameter. */
  key: string;
  message: string;
  sent?: unknown;
  allowed?: unknown;
  nearest?: string;
  /** How to mend it, where that is beyond doubt. */
  mend?: Mend;
}

export type Mend =
  | { kind: "rename"; to: string }
  | { kind: "set"; value: unknown }
  | { kind: "move"; to: "config" | "top" }
  | { kind: "drop" };

export type Json = Record<string, unknown>;

/** A parameter that must be something else. */
export function problem(key: string, must: string, sent: unknown, allowed?: unknown): Problem {
  const name = key || "arguments";
  return {
    key: name,
    message: `'${name}' ${must}, not ${show(sent)}`,
    sent,
    ...(allowed !== undefined && { allowed }),
  };
}

/** A value as it reads in a sentence: JSON, cut short. */
export function show(value: unknown): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  const letters = [...text];
  return letters.length > 60 ? `${letters.slice(0, 57).join("")}…` : text;
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
