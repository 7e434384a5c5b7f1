import type { Tool } from "../contract/action.js";
import { describe } from "./describe.js";
import { environment } from "./environment.js";
import { jobCancel, jobList, jobLogs, jobStatus } from "./jobs.js";

/** The tools that are not jobs themselves. */
export const TOOLS: readonly Tool[] = [
  environment,
  describe,
  jobStatus,
  jobList,
  jobLogs,
  jobCancel,
];
