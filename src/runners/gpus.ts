import { readdirSync, readFileSync } from "node:fs";
import type { Config } from "../config.js";

const COMPUTE_NODES = "/sys/class/kfd/kfd/topology/nodes";

/**
 * How many GPUs a job could be given, told from what the drivers show: enough to know which queue it
 * belongs into. What a framework makes of them is found out in the job.
 */
export function gpuCount(config: Pick<Config, "environment" | "platform">): number {
  if (config.platform === "darwin") return process.arch === "arm64" ? 1 : 0;
  const visible = config.environment.CUDA_VISIBLE_DEVICES ?? config.environment.HIP_VISIBLE_DEVICES;
  const count = nvidiaCount() || amdCount();
  if (visible === undefined) return count;
  const chosen = visible.split(",").filter((one) => one.trim() !== "" && one.trim() !== "-1");
  return Math.min(count, chosen.length);
}

function nvidiaCount(): number {
  return names("/dev").filter((name) => /^nvidia\d+$/.test(name)).length;
}

function amdCount(): number {
  // A node without SIMD units is a CPU.
  return names(COMPUTE_NODES).filter((node) => {
    try {
      return /^simd_count [1-9]/m.test(readFileSync(`${COMPUTE_NODES}/${node}/properties`, "utf8"));
    } catch {
      return false;
    }
  }).length;
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
