import json from "../../tools.manifest.json" with { type: "json" };
import type { Manifest } from "./manifest.js";
import { type ActionArguments, validateAction, validateTool } from "./validate.js";

/** The generated manifest; the bundle carries it, so that the server starts without building schemas. */
export const MANIFEST = json as unknown as Manifest;

export const manifestSha256 = (): string => MANIFEST.sha256;

/** `validateAction` against the manifest that this program was built with. */
export const validate = (action: string, args: unknown): ActionArguments =>
  validateAction(MANIFEST, action, args);

/** `validateTool` against the manifest that this program was built with. */
export const validateToolCall = (tool: string, args: unknown): Record<string, unknown> =>
  validateTool(MANIFEST, tool, args);
