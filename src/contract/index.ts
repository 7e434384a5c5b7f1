/** What the rest of the server needs of the contract. */
export type { Annotations } from "./action.js";
export { type Call, ERROR_TYPES, type ErrorShape, type ErrorType, ExecutorError } from "./errors.js";
export { FRAMEWORKS, type Framework, frameworkRow } from "./frameworks.js";
export type { JsonSchema, Manifest, ManifestTool } from "./manifest.js";
export { MANIFEST, manifestSha256, validate, validateToolCall } from "./manifest-file.js";
export * from "./protocol.js";
export * from "./report.js";
export type { ActionArguments } from "./validate.js";
