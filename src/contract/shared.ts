import { z } from "zod";

/** Config keys that several actions share; what a key means is written here once. */

export const path = (words: string) => z.string().min(1).describe(words);
export const column = (words: string) => z.string().min(1).describe(words);
const columns = z.array(z.string().min(1)).min(1);

/** How a table is read. */
export const reading = {
  header: z
    .boolean()
    .optional()
    .describe(
      "Whether the first line of a text table names the columns (default true). With false they are called 0, 1, 2, …",
    ),
  separator: z
    .string()
    .min(1)
    .optional()
    .describe("Field separator of a text table; found by itself and reported where left out."),
  encoding: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Text encoding; UTF-8, UTF-16 and Windows-1252 are told apart and reported where left out.",
    ),
};

/** Which columns are what. */
export const columnRoles = {
  targetColumn: column("Column to predict.").optional(),
  featureColumns: columns
    .optional()
    .describe("Columns to learn from; every other column than target and weight where left out."),
  sampleWeightColumn: column("Column of sample weights (0 or more); not a feature.").optional(),
  categorical: columns
    .optional()
    .describe(
      "Feature columns to treat as categories, where the algorithm takes categories natively.",
    ),
};

export const seed = z
  .int()
  .min(0)
  .max(4294967295)
  .optional()
  .describe(
    "Seed of everything random: splits, folds, algorithm. scikit-learn: 0 where left out; XGBoost and LightGBM: their own.",
  );

export const metrics = z
  .array(z.string().min(1))
  .min(1)
  .optional()
  .describe(
    "Metrics to report beside the usual ones: accuracy, precision, recall, f1, confusion_matrix, roc_auc, log_loss, rmse, mae, r2, … or any of scikit-learn's by name.",
  );

export const average = z
  .enum(["binary", "macro", "micro", "weighted"])
  .optional()
  .describe(
    "How precision, recall and f1 are averaged; for two classes those of the last sorted label, else macro, where left out.",
  );

export const batchSize = z
  .int()
  .min(1)
  .optional()
  .describe("Rows in one step; all at once where left out.");

export const allowPickle = z
  .boolean()
  .optional()
  .describe(
    "Load a pickle of unknown origin. A pickle can run any code: only for files that you trust.",
  );

/** The arguments that all fifteen actions take, beside `action` and `config`. */
export const callArguments = {
  outputDir: path(
    "Directory for models, logs and plots, made where missing; the job's own directory where left out.",
  ).optional(),
  gpuEnabled: z
    .boolean()
    .optional()
    .describe("Use the GPU; where left out, one is used if it is there and the framework can."),
  timeout: z
    .number()
    .positive()
    .max(31536000)
    .default(3600)
    .describe("Seconds that the job may run, from its start."),
  waitSeconds: z
    .number()
    .min(0)
    .max(50)
    .optional()
    .describe(
      "How long this call waits for the end (default 25); a longer job goes on and is followed with job-status.",
    ),
  overwrite: z.boolean().default(false).describe("Allow outputDir to hold another run's model."),
  pythonEnv: z
    .string()
    .min(1)
    .optional()
    .describe("Python to run in: an interpreter, an environment's directory, or conda:NAME."),
  requestId: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe("The same id again returns the same job and starts nothing."),
};
