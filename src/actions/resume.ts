import { z } from "zod";
import { defineAction } from "../contract/action.js";
import { devices } from "../contract/networks.js";
import { allowPickle, path } from "../contract/shared.js";

const total = (words: string) => z.int().min(1).optional().describe(words);

export const resume = defineAction({
  name: "resume",
  title: "Resume a training",
  description:
    "Goes on with an interrupted training (cancelled, timed out, killed) from its last checkpoint, to the same model and report. " +
    "Name it by jobId, its outputDir as runDir, or a checkpoint's path. With a larger total, a finished training goes on too. Boosting that samples rows or columns, and sklearn's linear models, keep checkpoints only where train was sent checkpoint: true. " +
    "It writes into the same directory, or outputDir.",
  config: z.strictObject({
    jobId: z.string().min(1).max(64).optional().describe("Job of the training, or of a resume."),
    runDir: path("Directory that the training wrote into.").optional(),
    checkpointPath: path("A checkpoint, as an error or an event names it.").optional(),
    epochs: total("New total of epochs, those done included."),
    numRounds: total("New total of boosting rounds, those done included."),
    maxTrials: total("New total of trials, those done included."),
    devices,
    allowPickle,
  }),
  lean: {
    framework: "",
    jobId: "",
    runDir: "",
    checkpointPath: "",
    epochs: "new total",
    numRounds: "new total",
    maxTrials: "new total",
    outputDir: "",
    timeout: "seconds",
    waitSeconds: "",
  },
  rules: [
    { kind: "requiresOneOf", keys: ["jobId", "runDir", "checkpointPath"] },
    { kind: "excludes", keys: ["jobId", "runDir", "checkpointPath"] },
    { kind: "excludes", keys: ["epochs", "numRounds", "maxTrials"] },
  ],
});
