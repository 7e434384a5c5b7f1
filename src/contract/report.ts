import { z } from "zod";
import { CallSchema, ErrorShapeSchema } from "./errors.js";

/** What a job answers; `report.json` holds exactly this. */
export const ReportSchema = z.looseObject({
  timestamp: z.string(),
  action: z.string(),
  framework: z.string(),
  exitCode: z.literal(0),
  duration: z.string(),
  durationSeconds: z.number(),
  status: z.literal("success"),
  gpuUsed: z.boolean(),
  outputDir: z.string().optional(),
  metadata: z.record(z.string(), z.unknown()),
  metrics: z.record(z.string(), z.unknown()).optional(),
  predictions: z.record(z.string(), z.unknown()).optional(),
  artifacts: z.record(z.string(), z.string()).optional(),
  warnings: z.array(z.string()).optional(),
  truncated: z.array(z.string()).optional(),
});
export type Report = z.infer<typeof ReportSchema>;

export const AnswerSchema = z.union([
  z.object({ executionReport: ReportSchema }),
  z.object({ error: ErrorShapeSchema }),
]);
export type Answer = z.infer<typeof AnswerSchema>;

export type JobState = "queued" | "running" | "succeeded" | "failed" | "cancelled";

/** What a call answers while its job goes on. */
export const RunningJobSchema = z.object({
  job: z.object({
    id: z.string(),
    state: z.enum(["queued", "running"]),
    progress: z.string(),
    eta: z.string().nullable(),
    finishesAt: z.string().optional(),
    latestMetrics: z.record(z.string(), z.number().nullable()),
    warnings: z.array(z.string()).optional(),
    next: CallSchema,
  }),
});
export type RunningJob = z.infer<typeof RunningJobSchema>;

/** The loose output schema of every tool: clients check errors against it too, and throw where it is tighter. */
export const OUTPUT_SCHEMA = {
  type: "object",
  properties: { executionReport: {}, error: {}, job: {} },
} as const;
