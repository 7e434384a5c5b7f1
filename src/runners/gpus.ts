import { readdirSync, readFileSync } from "node:fs";
import type { Config } from "../config.js";

const COMPUTE_NODES = "/sys/class/kfd/kfd/topology/nodes";

/**
 * How many GPUs a job could be given, told from what the drivers show: enough to know which queue it
 * belongs into. What a framework makes of them is found out in the job.
 */
export function gpuCount(config: Pick<Config, "environment" | "platform">): number {
  if (config.platform === "darwin") return process.arch === "arm64" ? 1 : 0;
  const { CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES } = config.environment;
  const nvidia = nvidiaCount();
  if (nvidia > 0) return entries(CUDA_VISIBLE_DEVICES) ?? nvidia;
  const amd = amdCount();
  if (amd === 0) return 0;
  const seen = entries(ROCR_VISIBLE_DEVICES) ?? amd;
  return Math.min(seen, entries(HIP_VISIBLE_DEVICES ?? CUDA_VISIBLE_DEVICES) ?? seen);
}

/** How many GPUs such a variable lists; the drivers stop at the first entry that is none. */
function entries(list: string | undefined): number | null {
  if (list === undefined) return null;
  const all = list.split(",").map((entry) => entry.trim());
  const end = all.findIndex((entry) => entry === "" || entry === "-1" || entry === "NoDevFiles");
  return end === -1 ? all.length : end;
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
