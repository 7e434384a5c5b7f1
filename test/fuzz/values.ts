import fc from "fast-check";

/** Values that no parameter expects, whatever its type. */

/**
 * A number as it is to stand in the JSON text, which `JSON.stringify` would not write: `toJsonText`
 * puts it there.
 */
const raw = (literal: string) => `${MARK}${literal}${MARK}`;
const MARK = "@@raw@@";

/** The JSON text of a message, with the literals of `raw` as they are. */
export function toJsonText(message: unknown): string {
  return JSON.stringify(message).replaceAll(new RegExp(`"${MARK}(.*?)${MARK}"`, "g"), "$1");
}

const nested = (depth: number, open: string, close: string) =>
  JSON.parse(`${open.repeat(depth)}0${close.repeat(depth)}`);

const STRINGS = [
  "",
  " ",
  "\0",
  "a\0b.csv",
  "\ud800",
  "x\udfff.csv",
  "\udc80\udcff",
  "\u202e\u0000\uffff",
  "🤖".repeat(50),
  "line\nbreak\r\n",
  "\u001b[31m\u0007",
  "x".repeat(20_000),
  "é".repeat(300),
  "../".repeat(3),
  ".",
  "..",
  "~",
  "~root",
  "~nobody-there/x",
  "NaN",
  "Infinity",
  "null",
  "__proto__",
  "constructor",
  "hasOwnProperty",
  "$HOME",
  "$(exit)",
  "%s%n",
  "{0}{self.__class__}",
  "-",
  "--help",
  "/dev/null",
  "/dev/zero",
  "/dev/full",
  "/dev/stdin",
  "/proc/self/mem",
  "/proc/self/environ",
  "file:///etc/passwd",
  "http://127.0.0.1:1/x.csv",
];

const NUMBERS: unknown[] = [
  0,
  -1,
  1.5,
  2 ** 31,
  2 ** 53,
  2 ** 63,
  1e308,
  -1e308,
  5e-324,
  ...["1e400", "-1e400", "-0", "0.0", "1E5", "123456789012345678901234567890", "1e-400"].map(raw),
];

const OTHERS: unknown[] = [
  null,
  true,
  false,
  [],
  {},
  [[]],
  [null],
  nested(1500, "[", "]"),
  nested(800, '{"a":', "}"),
  JSON.parse('{"__proto__": {"polluted": true}, "constructor": {"prototype": 1}}'),
  new Array(3000).fill(0),
  Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`key${i}`, i])),
];

export const hostileString = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...STRINGS) },
  // Relative, so that what is written to by that name lies in the server's directory.
  { weight: 1, arbitrary: fc.string({ unit: "binary" }).map((text) => text.replace(/^\/+/, "")) },
);

export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: hostileString },
  { weight: 3, arbitrary: fc.constantFrom(...NUMBERS) },
  { weight: 3, arbitrary: fc.constantFrom(...OTHERS) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);

export const hostileKey = fc.constantFrom(
  "__proto__",
  "constructor",
  "toString",
  "",
  "\0",
  "\ud800",
  "epocs",
  "learning_rate",
  "data path",
  "k".repeat(2000),
);
