import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Config } from "../config.js";
import { frameworkRow, MANIFEST } from "../contract/index.js";
import { gpuCount } from "../runners/gpus.js";

const LIGHT_INPUT_BYTES = 1024 * 1024;
/** How many light jobs run at once that have a process of their own; a resident process takes one. */
const LIGHT_SLOTS = 4;
/** Each of them brings code or a size of its own into the process, which others share. */
const NEVER_LIGHT = ["modelScript", "modelClass", "modelArgs", "allowPickle"];

/** Where a job queues. */
export interface Lane {
  /** `light`, `cpu` or `gpu`. */
  readonly name: string;
  readonly slots: number;
  readonly exclusive: boolean;
}

/** What of a call decides where it queues. */
interface Call {
  readonly action: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly gpuEnabled?: boolean | undefined;
}

export function cpuLane(config: Config, action: string): Lane {
  return { name: "cpu", slots: config.slots, exclusive: isExclusive(action) };
}

/**
 * Chooses the lane of a job: light calls on small inputs have their own, those that may compute on a
 * GPU queue for the next that is free, the others for the CPU.
 */
export async function laneOf(
  config: Config,
  call: Call,
  framework: string | null,
  baseDir: string,
): Promise<Lane> {
  const wantsGpu = call.gpuEnabled !== false && framework !== null && frameworkRow(framework)?.gpu;
  if (call.gpuEnabled !== true && (await isLight(call, baseDir))) {
    return { name: "light", slots: LIGHT_SLOTS, exclusive: false };
  }
  const gpus = wantsGpu ? gpuCount(config) : 0;
  if (gpus === 0) return cpuLane(config, call.action);
  return { name: "gpu", slots: gpus, exclusive: isExclusive(call.action) };
}

async function isLight({ action, config }: Call, baseDir: string): Promise<boolean> {
  const entry = MANIFEST.actions[action];
  if (entry?.lane !== "light" || NEVER_LIGHT.some((key) => config[key] !== undefined)) return false;
  const input = entry.lightInput === undefined ? undefined : config[entry.lightInput];
  if (typeof input !== "string") return true;
  // What is not there fails at once; what is no plain file may take any time to read.
  const found = await stat(resolve(baseDir, input)).catch(() => null);
  return found === null || (found.isFile() && found.size <= LIGHT_INPUT_BYTES);
}

/** A measurement that other jobs would disturb takes every slot. */
function isExclusive(action: string): boolean {
  return action === "benchmark";
}
