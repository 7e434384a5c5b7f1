import { z } from "zod";
import { defineAction } from "../contract/action.js";
import { bareWeights, samples, textColumn } from "../contract/networks.js";
import { allowPickle, batchSize, columnRoles, path, reading } from "../contract/shared.js";

export const predict = defineAction({
  name: "predict",
  title: "Predict with a model",
  description:
    "Runs a trained model on new rows and writes its predictions (CSV, JSON). " +
    "Columns are matched by name.",
  config: z.strictObject({
    modelPath: path("Model file, or the outputDir of its training.").optional(),
    inputData: path("Table of the rows to predict.").optional(),
    batchSize,
    outputFormat: z
      .enum(["classes", "probabilities"])
      .optional()
      .describe("Labels, or a probability for each class beside them (default classes)."),
    topK: z
      .int()
      .min(1)
      .optional()
      .describe("Also the k most probable labels of each row, with their probabilities."),
    allowPickle,
    numWorkers: samples.numWorkers,
    pathColumn: samples.pathColumn,
    textColumn,
    inputKey: samples.inputKey,
    targetColumn: columnRoles.targetColumn.describe("Column to leave out of the inputs."),
    ...bareWeights,
    ...reading,
  }),
  lean: {
    framework: "",
    modelPath: "",
    inputData: "",
    outputFormat: "",
    outputDir: "",
    waitSeconds: "",
  },
  lane: "light",
  lightInput: "inputData",
});
