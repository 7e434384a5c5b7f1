import { z } from "zod";
import { defineAction } from "../contract/action.js";
import { bareWeights, samples, textColumn } from "../contract/networks.js";
import {
  allowPickle,
  average,
  batchSize,
  columnRoles,
  metrics,
  path,
  reading,
} from "../contract/shared.js";

export const evaluate = defineAction({
  name: "evaluate",
  title: "Evaluate a model",
  description:
    "Accuracy, precision, recall, F1, confusion matrix; RMSE, MAE, R². " +
    "A model that train saved needs only modelPath and dataPath.",
  config: z.strictObject({
    modelPath: path("Model file, or the outputDir of its training.").optional(),
    dataPath: path("Table with the target column.").optional(),
    metrics,
    average,
    batchSize,
    targetColumn: columnRoles.targetColumn.describe(
      "Column with the true values; the model's own target where left out.",
    ),
    sampleWeightColumn: columnRoles.sampleWeightColumn,
    allowPickle,
    numWorkers: samples.numWorkers,
    pathColumn: samples.pathColumn,
    textColumn,
    inputKey: samples.inputKey,
    targetData: samples.targetData,
    ...bareWeights,
    ...reading,
  }),
  lean: {
    framework: "",
    modelPath: "",
    dataPath: "",
    metrics: "",
    average: "",
    targetColumn: "",
    outputDir: "",
    waitSeconds: "",
  },
  lane: "light",
  lightInput: "dataPath",
});
