/**
 * What each framework is and can do, as data: refusals, the lean schemas' enums, the table in the docs
 * and the layers of the managed environment all come from here.
 */

/** Config keys that every action on tables takes. */
const READING = ["header", "separator", "encoding"] as const;
const COLUMNS = ["featureColumns", "targetColumn", "sampleWeightColumn", "categorical"] as const;

const TRAIN_ON_TABLES = [
  "dataPath",
  "algorithm",
  "hyperparameters",
  "crossValidation",
  "validationData",
  "validationSplit",
  "testData",
  "metrics",
  "average",
  "seed",
  ...COLUMNS,
  ...READING,
] as const;
const EVALUATE_TABLES = [
  "modelPath",
  "dataPath",
  "batchSize",
  "metrics",
  "average",
  "targetColumn",
  "sampleWeightColumn",
  "allowPickle",
  ...READING,
] as const;
const PREDICT_TABLES = [
  "modelPath",
  "inputData",
  "batchSize",
  "outputFormat",
  "topK",
  "allowPickle",
  ...READING,
] as const;
const RESUME = ["jobId", "runDir", "checkpointPath", "allowPickle"] as const;
const BOOSTING = ["numRounds", "earlyStopping", "checkpoint", "checkpointInterval"] as const;

/** How samples for networks are read: tables, folders of images, arrays. */
const SAMPLES = [
  "dataPath",
  "targetColumn",
  "featureColumns",
  "featureScaling",
  "validationData",
  "validationSplit",
  "stratify",
  "testData",
  "imageSize",
  "colorMode",
  "normalize",
  "augment",
  "pathColumn",
  "inputKey",
  "inputDtype",
  "targetData",
  "numWorkers",
  ...READING,
] as const;
const TRAIN_BY_EPOCHS = [
  ...SAMPLES,
  "modelScript",
  "modelClass",
  "modelArgs",
  "epochs",
  "batchSize",
  "learningRate",
  "optimizer",
  "optimizerArgs",
  "momentum",
  "weightDecay",
  "lossFunction",
  "lossArgs",
  "classWeights",
  "labelSmoothing",
  "scheduler",
  "schedulerArgs",
  "schedulerInterval",
  "warmupEpochs",
  "warmupSteps",
  "gradientClipping",
  "gradientAccumulation",
  "mixedPrecision",
  "gradientCheckpointing",
  "compile",
  "channelsLast",
  "deterministic",
  "seed",
  "metrics",
  "average",
  "earlyStopping",
  "checkpoint",
  "checkpointInterval",
  "checkpointSteps",
  "keepCheckpoints",
  "tensorboard",
] as const;

const FINE_TUNE = [
  ...TRAIN_BY_EPOCHS,
  "pretrainedModel",
  "freezeLayers",
  "layerLearningRates",
  "textColumn",
  "maxLength",
  "lora",
  "allowPickle",
] as const;

/** Of weights without a description: the model, and how data for it are read. */
const BARE_WEIGHTS = [
  "modelScript",
  "modelClass",
  "modelArgs",
  "lossFunction",
  "featureColumns",
  "imageSize",
  "colorMode",
  "normalize",
  "numWorkers",
  "pathColumn",
  "inputKey",
] as const;

export interface Capability {
  /** Config keys that this framework uses in this action; any other is refused by name. */
  readonly keys: readonly string[];
  /** Config keys without which this framework cannot do it. */
  readonly requires: readonly string[];
  /** At least one of these, where the framework needs one. */
  readonly requiresOneOf?: readonly string[];
}

export interface Framework {
  /** The name in calls and reports. */
  readonly name: string;
  /** Other names that mean the same adapter. */
  readonly aliases: readonly string[];
  readonly title: string;
  /** Names of the distributions that bring it, the usual one first. */
  readonly distributions: readonly string[];
  /** Modules whose presence means that it is there. */
  readonly modules: readonly string[];
  /** Its layer of the managed environment. */
  readonly layer: string;
  /** The oldest version that its adapter supports. */
  readonly oldest: string;
  /** Whether its adapter computes on a GPU; its jobs then queue for one. */
  readonly gpu: boolean;
  /** How names of its own algorithms begin: a hint for which process to keep warm, nothing more. */
  readonly algorithmPrefixes: readonly string[];
  readonly actions: Readonly<Record<string, Capability>>;
}

export const FRAMEWORKS: readonly Framework[] = [
  {
    name: "sklearn",
    aliases: [],
    title: "scikit-learn",
    distributions: ["scikit-learn"],
    modules: ["sklearn"],
    layer: "sklearn",
    oldest: "1.4",
    gpu: false,
    algorithmPrefixes: [],
    actions: {
      train: {
        keys: [
          ...TRAIN_ON_TABLES,
          "featureScaling",
          "modelScript",
          "modelClass",
          "modelArgs",
          "checkpoint",
        ],
        requires: ["dataPath", "targetColumn"],
        requiresOneOf: ["algorithm", "modelScript"],
      },
      resume: { keys: RESUME, requires: [] },
      evaluate: { keys: EVALUATE_TABLES, requires: ["modelPath", "dataPath"] },
      predict: { keys: PREDICT_TABLES, requires: ["modelPath", "inputData"] },
    },
  },
  {
    name: "xgboost",
    aliases: [],
    title: "XGBoost",
    distributions: ["xgboost", "xgboost-cpu"],
    modules: ["xgboost"],
    layer: "xgboost",
    oldest: "2.0",
    gpu: true,
    algorithmPrefixes: ["XGB"],
    actions: {
      train: { keys: [...TRAIN_ON_TABLES, ...BOOSTING], requires: ["dataPath", "targetColumn"] },
      resume: { keys: [...RESUME, "numRounds"], requires: [] },
      evaluate: { keys: EVALUATE_TABLES, requires: ["modelPath", "dataPath"] },
      predict: { keys: PREDICT_TABLES, requires: ["modelPath", "inputData"] },
    },
  },
  {
    name: "lightgbm",
    aliases: [],
    title: "LightGBM",
    distributions: ["lightgbm"],
    modules: ["lightgbm"],
    layer: "lightgbm",
    oldest: "4.0",
    gpu: false,
    algorithmPrefixes: ["LGBM"],
    actions: {
      train: { keys: [...TRAIN_ON_TABLES, ...BOOSTING], requires: ["dataPath", "targetColumn"] },
      resume: { keys: [...RESUME, "numRounds"], requires: [] },
      evaluate: { keys: EVALUATE_TABLES, requires: ["modelPath", "dataPath"] },
      predict: { keys: PREDICT_TABLES, requires: ["modelPath", "inputData"] },
    },
  },
  {
    name: "pytorch",
    aliases: [],
    title: "PyTorch",
    distributions: ["torch"],
    modules: ["torch"],
    layer: "pytorch",
    oldest: "2.4",
    gpu: true,
    algorithmPrefixes: [],
    actions: {
      train: { keys: TRAIN_BY_EPOCHS, requires: ["modelScript", "epochs"] },
      "fine-tune": { keys: FINE_TUNE, requires: ["pretrainedModel", "epochs"] },
      resume: { keys: [...RESUME, "epochs"], requires: [] },
      evaluate: {
        keys: [...EVALUATE_TABLES, ...BARE_WEIGHTS, "targetData", "textColumn"],
        requires: ["modelPath", "dataPath"],
      },
      predict: {
        keys: [...PREDICT_TABLES, ...BARE_WEIGHTS, "targetColumn", "textColumn"],
        requires: ["modelPath", "inputData"],
      },
    },
  },
];

/** Every name that `framework` takes, `auto` first. */
export const FRAMEWORK_NAMES = ["auto", ...FRAMEWORKS.flatMap((row) => [row.name, ...row.aliases])];

/** The row of a framework, by name or alias. */
export function frameworkRow(name: string): Framework | undefined {
  return FRAMEWORKS.find((row) => row.name === name || row.aliases.includes(name));
}
