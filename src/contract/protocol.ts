import { z } from "zod";

/**
 * Every message and file that passes between server and runner; `docs/protocol.md` says in words
 * what each is for.
 */

/** Raised when anything in this file changes shape. */
export const PROTOCOL_VERSION = 1;

// -- request.json ---------------------------------------------------------------------------------

export const PythonChoiceSchema = z.object({
  executable: z.string(),
  kind: z.enum(["venv", "conda", "uv", "pyenv", "system", "managed"]),
  why: z.string(),
  warnings: z.array(z.string()),
});

/** Bytes, or the share (above 0, at most 1) of what is left when the job starts to run. */
export const MemoryLimitSchema = z.union([
  z.object({ bytes: z.int().min(1) }),
  z.object({ share: z.number().gt(0).lte(1) }),
]);
export type MemoryLimit = z.infer<typeof MemoryLimitSchema>;

export const JobRequestSchema = z.object({
  protocol: z.literal(PROTOCOL_VERSION),
  id: z.string(),
  createdAt: z.string(),
  request: z.looseObject({
    action: z.string(),
    framework: z.string().optional(),
    config: z.record(z.string(), z.unknown()),
    outputDir: z.string().optional(),
    gpuEnabled: z.boolean().optional(),
    timeout: z.number().optional(),
    overwrite: z.boolean().optional(),
    pythonEnv: z.string().optional(),
  }),
  baseDir: z.string(),
  roots: z.array(z.string()).nullable(),
  python: PythonChoiceSchema,
  lane: z.string(),
  exclusive: z.boolean(),
  slots: z.int().min(1),
  threads: z.int().min(1),
  /** What all processes of the job may take together; null: the runner's default share. */
  memoryLimit: MemoryLimitSchema.nullable().default(null),
  principal: z.string().nullable(),
  requestId: z.string().nullable(),
});
export type JobRequest = z.infer<typeof JobRequestSchema>;

// -- events.ndjson --------------------------------------------------------------------------------

const event = { seq: z.int().min(1), time: z.number() };
const unit = z.string();

export const JobEventSchema = z.discriminatedUnion("type", [
  z.object({
    ...event,
    type: z.literal("started"),
    pid: z.int(),
    supervisorPid: z.int(),
    queuedSeconds: z.number(),
  }),
  z.object({ ...event, type: z.literal("phase"), name: z.string() }),
  z.object({
    ...event,
    type: z.literal("progress"),
    unit,
    done: z.number(),
    total: z.number().nullable(),
    etaSeconds: z.number().nullable(),
    rate: z.number().nullable(),
    metrics: z.record(z.string(), z.number().nullable()),
  }),
  z.object({ ...event, type: z.literal("checkpoint"), path: z.string(), unit, done: z.number() }),
  z.object({ ...event, type: z.literal("warning"), message: z.string() }),
  // The resident process gives the job back: it has not started after all.
  z.object({ ...event, type: z.literal("declined"), why: z.string() }),
  z.object({ ...event, type: z.literal("ended"), state: z.string(), exitCode: z.int() }),
]);
export type JobEvent = z.infer<typeof JobEventSchema>;

// -- server ⇄ zygote ------------------------------------------------------------------------------

export const ToZygoteSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("start"), jobDir: z.string() }),
  z.object({ type: z.literal("resident"), socket: z.string(), threads: z.int().min(1) }),
]);
export type ToZygote = z.infer<typeof ToZygoteSchema>;

const hello = z.object({
  type: z.literal("hello"),
  protocol: z.int(),
  manifest: z.string(),
  python: z.string().optional(),
  pid: z.int(),
});

export const FromZygoteSchema = z.discriminatedUnion("type", [
  hello,
  z.object({
    type: z.literal("ready"),
    importSeconds: z.number(),
    versions: z.record(z.string(), z.string()),
    missing: z.array(z.string()),
  }),
  z.object({ type: z.literal("supervising"), jobDir: z.string(), pid: z.int() }),
  z.object({ type: z.literal("resident"), pid: z.int() }),
  z.object({ type: z.literal("exited"), pid: z.int(), status: z.int() }),
]);
export type FromZygote = z.infer<typeof FromZygoteSchema>;

// -- server ⇄ resident process --------------------------------------------------------------------

export const ToResidentSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("run"), id: z.int(), jobDir: z.string() }),
  z.object({
    type: z.literal("describe"),
    id: z.int(),
    params: z.record(z.string(), z.unknown()),
    baseDir: z.string(),
    roots: z.array(z.string()).nullable(),
  }),
]);
export type ToResident = z.infer<typeof ToResidentSchema>;

export const FromResidentSchema = z.discriminatedUnion("type", [
  hello,
  z.object({ type: z.literal("answer"), id: z.int(), answer: z.record(z.string(), z.unknown()) }),
  z.object({ type: z.literal("decline"), id: z.int(), why: z.string() }),
]);
export type FromResident = z.infer<typeof FromResidentSchema>;
