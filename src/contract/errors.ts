import { z } from "zod";

/** Every way in which a call can end badly, with its exit code; `null`: depends on the case. */
export const ERROR_TYPES = {
  "invalid-configuration": {
    exitCode: 2,
    when: "a missing or wrong parameter, an impossible combination",
  },
  "framework-not-found": { exitCode: 127, when: "a library is not in the environment" },
  "data-loading-error": { exitCode: 1, when: "path, format, encoding or schema of the data" },
  "model-loading-error": { exitCode: 1, when: "file, script, class, version or shapes of a model" },
  "training-diverged": { exitCode: 1, when: "the loss became NaN or infinite" },
  "training-failure": {
    exitCode: 1,
    when: "the user's code, or the framework, raised while running",
  },
  "cuda-out-of-memory": { exitCode: 1, when: "the GPU's memory ran out" },
  "cuda-error": { exitCode: 1, when: "any other fault of the GPU" },
  "out-of-memory": {
    exitCode: 137,
    when: "the host's memory ran out, or the job was killed for it",
  },
  "timeout-exceeded": { exitCode: 124, when: "the job ran longer than its timeout" },
  "runner-crashed": {
    exitCode: 1,
    when: "the process died of anything else: 128 + signal, or its own exit code",
  },
  cancelled: { exitCode: 130, when: "ended on request" },
  "job-not-found": { exitCode: 2, when: "an id that is not there" },
  "internal-error": { exitCode: 70, when: "a defect of this program" },
} as const;

export type ErrorType = keyof typeof ERROR_TYPES;

export const CallSchema = z.object({
  tool: z.string(),
  arguments: z.record(z.string(), z.unknown()),
});
export type Call = z.infer<typeof CallSchema>;

export const ErrorShapeSchema = z.object({
  type: z.enum(Object.keys(ERROR_TYPES) as [ErrorType, ...ErrorType[]]),
  message: z.string(),
  exitCode: z.number().int(),
  stderr: z.string().optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  solution: z.string(),
  nextCall: CallSchema.optional(),
});
/** What `error` holds in an answer. */
export type ErrorShape = z.infer<typeof ErrorShapeSchema>;

interface Details {
  solution: string;
  metadata?: Record<string, unknown> | undefined;
  nextCall?: Call | undefined;
  stderr?: string | undefined;
  exitCode?: number | undefined;
  cause?: unknown;
}

/** An expected failure, told to the caller as `{"error": …}`; the cause is kept for the log. */
export class ExecutorError extends Error {
  readonly shape: ErrorShape;

  constructor(type: ErrorType, message: string, details: Details) {
    super(message, { cause: details.cause });
    this.name = "ExecutorError";
    const { solution, metadata, nextCall, stderr, exitCode } = details;
    this.shape = {
      type,
      message,
      exitCode: exitCode ?? ERROR_TYPES[type].exitCode,
      ...(stderr && { stderr }),
      ...(metadata && { metadata }),
      solution,
      ...(nextCall && { nextCall }),
    };
  }

  static invalidConfiguration(message: string, details: Details): ExecutorError {
    return new ExecutorError("invalid-configuration", message, details);
  }

  /** A defect of ours: anything that was not thrown as an `ExecutorError`. */
  static internal(cause: unknown): ExecutorError {
    if (cause instanceof ExecutorError) return cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    return new ExecutorError("internal-error", `ML Executor failed: ${message}`, {
      solution:
        "This is a defect of ML Executor: its log (stderr of the server) has the stack. The call may be sent again.",
      cause,
    });
  }
}
