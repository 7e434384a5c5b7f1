import { z } from "zod";
import { crossValidation, earlyStopping } from "../../src/actions/train.js";
import { defineAction } from "../../src/contract/action.js";
import { columnRoles, reading } from "../../src/contract/shared.js";

/**
 * Every config key that the seed and the contract name, for the actions that are still to come: so
 * that the price of the whole tool list is known to hold before they exist. An action that has been
 * built is measured as it is; this list is only consulted for the others.
 */

const text = z.string().optional();
const flag = z.boolean().optional();
const count = z.int().optional();
const number = z.number().optional();
const texts = z.array(z.string()).optional();
const object = z.record(z.string(), z.unknown()).optional();

const script = { modelScript: text, modelClass: text, modelArgs: object };
const tables = {
  ...columnRoles,
  ...reading,
  testData: text,
  validationData: text,
  validationSplit: number,
  seed: count,
};
const validation = { crossValidation: crossValidation.optional(), scoring: text };
const search = {
  algorithm: text,
  dataPath: text,
  hyperparameters: object,
  preprocessing: z.array(z.record(z.string(), z.unknown())).optional(),
  refit: flag,
  errorScore: number,
  maxTrials: count,
  maxTime: number,
  parallelTrials: count,
  ...script,
  ...tables,
  ...validation,
};

/** The keys of `train` once PyTorch and Keras are there. */
export const TRAIN_KEYS = {
  dataPath: text,
  algorithm: text,
  hyperparameters: object,
  ...tables,
  crossValidation: crossValidation.optional(),
  featureScaling: z.enum(["standard", "minmax", "robust", "maxabs", "none"]).optional(),
  metrics: texts,
  average: z.enum(["binary", "macro", "micro", "weighted"]).optional(),
  numRounds: count,
  earlyStopping: earlyStopping.optional(),
  checkpoint: flag,
  checkpointInterval: count,
  ...script,
  compiledModel: text,
  epochs: count,
  batchSize: count,
  learningRate: number,
  optimizer: text,
  optimizerArgs: object,
  lossFunction: text,
  lossArgs: object,
  scheduler: text,
  schedulerArgs: object,
  schedulerInterval: text,
  warmupEpochs: count,
  warmupSteps: count,
  momentum: number,
  weightDecay: number,
  classWeights: object,
  labelSmoothing: number,
  gradientClipping: number,
  gradientAccumulation: count,
  gradientCheckpointing: z.union([z.boolean(), z.array(z.string())]).optional(),
  compile: flag,
  channelsLast: flag,
  mixedPrecision: z.enum(["off", "fp16", "bf16", "auto"]).optional(),
  devices: count,
  strategy: z.enum(["dp", "ddp"]).optional(),
  deterministic: flag,
  numWorkers: count,
  imageSize: z.array(z.int()).optional(),
  colorMode: text,
  normalize: text,
  pathColumn: text,
  inputKey: text,
  inputDtype: text,
  targetData: text,
  stratify: flag,
  textColumn: text,
  callbacks: texts,
  tensorboard: flag,
  preprocessing: z.array(z.record(z.string(), z.unknown())).optional(),
  augment: z.array(z.union([z.string(), z.record(z.string(), z.unknown())])).optional(),
  keepCheckpoints: count,
  checkpointSteps: count,
  allowPickle: flag,
};

const DESCRIPTION =
  "Two or three sentences that say what it does, on which data and frameworks, and what it gives back; as long as a description may become that an agent has to read before each of its calls, and a little longer.";

const SHARED = ["framework", "outputDir", "waitSeconds"];

function planned(name: string, config: Record<string, z.ZodType>, shown: string[]) {
  const lean = Object.fromEntries([...SHARED, ...shown].map((key) => [key, ""]));
  return defineAction({
    name,
    title: `The ${name} action`,
    description: DESCRIPTION,
    config: z.strictObject(config),
    lean,
  });
}

/** All fifteen actions, with every key. */
export const PLANNED_ACTIONS = [
  planned("train", TRAIN_KEYS, [
    "dataPath",
    "algorithm",
    "hyperparameters",
    "targetColumn",
    "featureColumns",
    "categorical",
    "crossValidation",
    "featureScaling",
    "validationSplit",
    "validationData",
    "testData",
    "metrics",
    "numRounds",
    "earlyStopping",
    "seed",
    "modelScript",
    "modelClass",
    "epochs",
    "batchSize",
    "learningRate",
    "optimizer",
    "lossFunction",
    "scheduler",
    "gpuEnabled",
    "timeout",
  ]),
  planned("fine-tune", { ...TRAIN_KEYS, pretrainedModel: text, freezeLayers: texts }, [
    "pretrainedModel",
    "dataPath",
    "epochs",
    "batchSize",
    "learningRate",
    "freezeLayers",
    "targetColumn",
    "validationSplit",
  ]),
  planned(
    "resume",
    {
      jobId: text,
      runDir: text,
      checkpointPath: text,
      epochs: count,
      numRounds: count,
      maxTrials: count,
    },
    ["jobId", "runDir", "checkpointPath", "epochs", "numRounds", "maxTrials"],
  ),
  planned(
    "evaluate",
    {
      modelPath: text,
      dataPath: text,
      batchSize: count,
      metrics: texts,
      average: text,
      ...script,
      ...tables,
      allowPickle: flag,
    },
    ["modelPath", "dataPath", "metrics", "average", "targetColumn", "modelScript", "modelClass"],
  ),
  planned(
    "predict",
    {
      modelPath: text,
      inputData: text,
      batchSize: count,
      outputFormat: text,
      ...script,
      ...tables,
      allowPickle: flag,
    },
    ["modelPath", "inputData", "outputFormat", "batchSize", "modelScript", "modelClass"],
  ),
  planned(
    "benchmark",
    {
      modelPath: text,
      models: texts,
      inputData: text,
      batchSizes: z.array(z.int()).optional(),
      threads: z.array(z.int()).optional(),
      iterations: count,
      warmup: count,
    },
    ["modelPath", "models", "inputData", "batchSizes", "threads"],
  ),
  planned(
    "preprocess",
    {
      inputData: text,
      operations: z.array(z.record(z.string(), z.unknown())).optional(),
      outputPath: text,
      saveTransformers: flag,
      transformers: text,
      ...reading,
    },
    ["inputData", "operations", "outputPath", "saveTransformers", "transformers"],
  ),
  planned(
    "split",
    {
      inputData: text,
      ratios: object,
      counts: object,
      folds: count,
      stratify: text,
      groupColumn: text,
      timeColumn: text,
      seed: count,
      ...reading,
    },
    ["inputData", "ratios", "counts", "folds", "stratify", "groupColumn", "timeColumn", "seed"],
  ),
  planned(
    "augment",
    {
      inputData: text,
      operations: z.array(z.record(z.string(), z.unknown())).optional(),
      factor: number,
      perClass: object,
      keepOriginals: flag,
      seed: count,
    },
    ["inputData", "operations", "factor", "perClass", "keepOriginals"],
  ),
  planned("save", { modelPath: text, modelId: text, outputPath: text, format: text }, [
    "modelPath",
    "modelId",
    "outputPath",
    "format",
  ]),
  planned("load", { modelPath: text, pin: flag }, ["modelPath", "pin"]),
  planned(
    "convert",
    {
      modelPath: text,
      targetFormat: text,
      outputPath: text,
      quantize: text,
      sampleData: text,
      tolerance: number,
    },
    ["modelPath", "targetFormat", "outputPath", "quantize", "sampleData", "tolerance"],
  ),
  planned("grid-search", { ...search, paramGrid: object }, [
    "algorithm",
    "dataPath",
    "targetColumn",
    "paramGrid",
    "scoring",
    "crossValidation",
    "timeout",
  ]),
  planned("random-search", { ...search, paramDistributions: object, nIter: count }, [
    "algorithm",
    "dataPath",
    "targetColumn",
    "paramDistributions",
    "nIter",
    "scoring",
    "crossValidation",
    "seed",
    "timeout",
  ]),
  planned(
    "bayesian-optimize",
    { ...search, paramSpace: object, direction: text, sampler: text, pruner: text },
    [
      "algorithm",
      "dataPath",
      "targetColumn",
      "paramSpace",
      "maxTrials",
      "maxTime",
      "direction",
      "sampler",
      "pruner",
      "scoring",
      "crossValidation",
      "timeout",
    ],
  ),
];
