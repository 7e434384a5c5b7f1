import { z } from "zod";

/**
 * A tool's call as it comes: the SDK's own schema answers arguments that are no object with a JSON-RPC
 * error, from which an agent learns nothing; here they reach the validation as `sent`.
 */
export const ToolCallSchema = z.object({
  method: z.literal("tools/call"),
  params: z
    .looseObject({
      name: z.string(),
      arguments: z.unknown(),
      _meta: z.looseObject({ progressToken: z.union([z.string(), z.int()]).optional() }).optional(),
    })
    .transform(({ arguments: sent, ...params }) =>
      isRecord(sent) || sent === undefined
        ? { ...params, arguments: sent, sent: sent ?? {} }
        : { ...params, sent },
    ),
});

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
