/** What the rest of the server needs of the contract. */
export {
  type Call,
  ERROR_TYPES,
  type ErrorShape,
  ExecutorError,
} from "./errors.js";
export { FRAMEWORKS, frameworkRow } from "./frameworks.js";
export { MANIFEST, manifestSha256, validate, validateToolCall } from "./manifest-file.js";
export * from "./protocol.js";
export * from "./report.js";
export type { ActionArguments } from "./validate.js";
