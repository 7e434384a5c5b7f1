import { z } from "zod";
import { defineTool } from "../contract/action.js";

const jobId = z.string().min(1).describe("Id of the job.");

export const jobStatus = defineTool({
  name: "job-status",
  title: "Follow a job",
  description:
    "State, progress, time remaining and latest metrics of a job; of an ended one, its report or error as the call itself would have answered.",
  input: z.strictObject({
    jobId,
    waitSeconds: z
      .number()
      .min(0)
      .max(50)
      .optional()
      .describe("Wait this long for the end before answering (default 0)."),
    since: z.int().min(0).optional().describe("Give the metrics of events after this seq only."),
  }),
  lean: { jobId: "", waitSeconds: "wait for the end, ≤ 50", since: "seq: only newer metrics" },
});

export const jobList = defineTool({
  name: "job-list",
  title: "List jobs",
  description: "The latest jobs: id, action, state, progress, outputDir.",
  input: z.strictObject({
    limit: z.int().min(1).max(50).optional().describe("At most so many (default 10)."),
    state: z
      .enum(["queued", "running", "succeeded", "failed", "cancelled"])
      .optional()
      .describe("Only jobs in this state."),
  }),
  lean: { limit: "", state: "" },
});

export const jobLogs = defineTool({
  name: "job-logs",
  title: "Read a job's output",
  description: "The last lines that a job printed.",
  input: z.strictObject({
    jobId,
    stream: z
      .enum(["stderr", "stdout"])
      .optional()
      .describe("Which stream; where left out stderr, or stdout where that is empty."),
    lines: z.int().min(1).max(200).optional().describe("How many lines (default 40)."),
  }),
  lean: { jobId: "", stream: "", lines: "" },
});

export const jobCancel = defineTool({
  name: "job-cancel",
  title: "Cancel a job",
  description:
    "Ends a job and all its processes within 10 seconds; it may write a last checkpoint first.",
  input: z.strictObject({ jobId }),
  lean: { jobId: "" },
  annotations: { readOnlyHint: false, destructiveHint: true },
});
