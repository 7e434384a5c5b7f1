import { z } from "zod";
import { defineAction } from "../contract/action.js";
import { texts } from "../contract/networks.js";
import { allowPickle, path } from "../contract/shared.js";
import { train } from "./train.js";

/** All that a training by epochs takes; what belongs to other algorithms goes. */
const training = (train.input.shape.config as z.ZodObject).omit({
  algorithm: true,
  hyperparameters: true,
  categorical: true,
  sampleWeightColumn: true,
  crossValidation: true,
  numRounds: true,
});

export const fineTune = defineAction({
  name: "fine-tune",
  title: "Fine-tune a pretrained model",
  description:
    "Trains a pretrained model further: a text model's directory (Hugging Face form; texts in class folders or a table), an outputDir of train, or weights with modelScript. " +
    'Other classes get a new head. freezeLayers: "embeddings", "encoder.layer.0-8". Else as train.',
  config: training.extend({
    pretrainedModel: path(
      "Model to begin from: a local directory in Hugging Face form (config.json, weights, tokenizer; nothing is downloaded), the outputDir of a training, its model file, or a file of weights with modelScript.",
    ).optional(),
    dataPath: path("Data to train on.").optional(),
    freezeLayers: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe(
        "Layers that keep their weights, by whole steps of dotted names: embeddings, encoder.layer.0-8, *.norm.",
      ),
    layerLearningRates: z
      .record(z.string().min(1), z.number().positive())
      .optional()
      .describe("Learning rate of some layers, by names as in freezeLayers; the longest holds."),
    ...texts,
    lora: z
      .strictObject({
        r: z.int().min(1).max(4096).optional().describe("Rank (default 8)."),
        alpha: z.number().positive().optional().describe("Scale (default 8): alpha / r."),
        dropout: z.number().min(0).lt(1).optional().describe("Dropout before them (default 0)."),
        targetModules: z
          .array(z.string().min(1))
          .min(1)
          .optional()
          .describe("Last steps of the names of the layers that get them: query, value, …"),
      })
      .optional()
      .describe(
        "Of a text model: low-rank adapters learn in place of its layers (needs peft). best_model has them merged, adapter/ holds them alone.",
      ),
    modelScript: path("Python file of the model, for weights without a description.").optional(),
    allowPickle,
  }),
  lean: {
    pretrainedModel: "",
    dataPath: "",
    epochs: "",
    batchSize: "",
    learningRate: "",
    freezeLayers: "",
    targetColumn: "",
    validationSplit: "",
    outputDir: "",
    waitSeconds: "",
  },
  rules: [
    { kind: "onlyWith", key: "modelClass", keys: ["modelScript"] },
    { kind: "onlyWith", key: "modelArgs", keys: ["modelScript"] },
    { kind: "excludes", keys: ["validationData", "validationSplit"] },
  ],
});
