/** The schemas that the conformance suite wants to be asked with. */

const OPTIONS = ["option1", "option2", "option3"];
const titled = (word: string, titles: string[]) =>
  titles.map((title, index) => ({ const: `${word}${index + 1}`, title }));

/** Every primitive type with its default (SEP-1034). */
export const PRIMITIVES = {
  type: "object",
  properties: {
    name: { type: "string", default: "John Doe" },
    age: { type: "integer", default: 30 },
    score: { type: "number", default: 95.5 },
    status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
    verified: { type: "boolean", default: true },
  },
  required: [],
};

/** Every kind of choice (SEP-1330). */
export const ENUMS = {
  type: "object",
  properties: {
    untitledSingle: { type: "string", enum: OPTIONS },
    titledSingle: {
      type: "string",
      oneOf: titled("value", ["First Option", "Second Option", "Third Option"]),
    },
    legacyEnum: {
      type: "string",
      enum: ["opt1", "opt2", "opt3"],
      enumNames: ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti: { type: "array", items: { type: "string", enum: OPTIONS } },
    titledMulti: {
      type: "array",
      items: { anyOf: titled("value", ["First Choice", "Second Choice", "Third Choice"]) },
    },
  },
  required: [],
};
