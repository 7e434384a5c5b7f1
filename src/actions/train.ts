import { z } from "zod";
import { defineAction } from "../contract/action.js";
import { epochTraining, samples } from "../contract/networks.js";
import { average, columnRoles, metrics, path, reading, seed } from "../contract/shared.js";

export const crossValidation = z
  .strictObject({
    folds: z.int().min(2).describe("Number of folds."),
    stratified: z
      .boolean()
      .optional()
      .describe("Keep class shares in each fold; left out: as scikit-learn's cv=folds does."),
    shuffle: z
      .boolean()
      .optional()
      .describe("Shuffle rows before they are dealt to folds (default false)."),
    seed: z
      .int()
      .min(0)
      .max(4294967295)
      .optional()
      .describe("Seed of the shuffling; the config's own seed where left out."),
    groupColumn: z
      .string()
      .min(1)
      .optional()
      .describe("Column whose rows of equal value stay in one fold; not a feature."),
  })
  .describe("Scores over k folds, beside the final model.");

export const earlyStopping = z
  .strictObject({
    patience: z.int().min(1).describe("Rounds without improvement before training ends."),
    metric: z
      .string()
      .min(1)
      .optional()
      .describe("Metric on the validation data; the last one evaluated where left out."),
    minDelta: z
      .number()
      .min(0)
      .optional()
      .describe("Least change that counts as an improvement (default 0)."),
    mode: z
      .enum(["min", "max"])
      .optional()
      .describe("Whether less or more is better; known for the library's own metrics."),
  })
  .describe("Ends training when the validation metric stops improving; the best round is kept.");

export const train = defineAction({
  name: "train",
  title: "Train a model",
  description:
    "Trains a model on a table (CSV, TSV, Parquet, JSON Lines, NPZ), or for pytorch also on a folder of images (a folder a class) or arrays, and saves it with its metrics, plots and a description from which evaluate and predict work by modelPath alone. " +
    "sklearn: algorithm is an estimator's class name (RandomForestClassifier, Ridge, …), or modelScript is a Python file whose build_model() returns an estimator or pipeline, fitted on a DataFrame. xgboost, lightgbm: native training with the libraries' parameters. pytorch: modelScript holds an nn.Module whose arguments num_classes, in_features and input_shape, if it has them, are filled from the data. " +
    "Text columns must be left out, or named in categorical (XGBoost, LightGBM, HistGradientBoosting), or encoded in a modelScript pipeline. " +
    "No split, algorithm or target is chosen for you: test metrics need testData or validationSplit, earlyStopping needs validationSplit or validationData.",
  config: z.strictObject({
    dataPath: path("Table to train on.").optional(),
    algorithm: z
      .string()
      .min(1)
      .optional()
      .describe(
        "Class name of the estimator, or its dotted name within its package (sklearn.svm.SVC).",
      ),
    hyperparameters: z
      .record(z.string(), z.unknown())
      .optional()
      .describe("Parameters of the algorithm, by the library's own names."),
    modelScript: path(
      "Python file with an estimator class or network of your own (num_classes, in_features, input_shape among its arguments are filled from the data), or a function that returns one, or a pipeline.",
    ).optional(),
    modelClass: z
      .string()
      .min(1)
      .optional()
      .describe(
        "Class or function in modelScript; its only candidate, or build_model, where left out.",
      ),
    modelArgs: z.record(z.string(), z.unknown()).optional().describe("Arguments of modelClass."),
    ...columnRoles,
    crossValidation: crossValidation.optional(),
    featureScaling: z
      .enum(["standard", "minmax", "robust", "maxabs", "none"])
      .optional()
      .describe("Scaler before the estimator, fitted inside each fold and saved with the model."),
    validationData: path("Table for validation.").optional(),
    validationSplit: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe("Share of the rows held out, drawn at random with the seed, not stratified."),
    testData: path("Table on which the final model is measured.").optional(),
    metrics,
    average,
    numRounds: z.int().min(1).optional().describe("Boosting rounds (n_estimators)."),
    earlyStopping: earlyStopping.optional(),
    checkpoint: z
      .boolean()
      .optional()
      .describe(
        "Write checkpoints while training, from which resume goes on. Default: true where that changes no result, so not for boosting that samples rows or columns.",
      ),
    checkpointInterval: z
      .int()
      .min(1)
      .optional()
      .describe(
        "Rounds between checkpoints, which are at least a minute apart; one more is written when the job is asked to stop.",
      ),
    seed,
    ...epochTraining,
    ...samples,
    ...reading,
  }),
  lean: {
    framework: "",
    dataPath: "",
    algorithm: "",
    hyperparameters: "",
    targetColumn: "",
    featureColumns: "default: all others",
    categorical: "",
    crossValidation: "",
    featureScaling: "",
    validationSplit: "share held out",
    validationData: "",
    testData: "",
    metrics: "",
    numRounds: "",
    earlyStopping: "",
    seed: "",
    outputDir: "",
    modelScript: "",
    modelClass: "",
    epochs: "",
    batchSize: "",
    learningRate: "",
    optimizer: "",
    lossFunction: "",
    scheduler: "",
    gpuEnabled: "",
    timeout: "seconds",
    waitSeconds: "≤ 50",
  },
  rules: [
    { kind: "excludes", keys: ["algorithm", "modelScript"] },
    { kind: "excludes", keys: ["hyperparameters", "modelScript"] },
    { kind: "onlyWith", key: "modelClass", keys: ["modelScript"] },
    { kind: "onlyWith", key: "modelArgs", keys: ["modelScript"] },
    { kind: "excludes", keys: ["validationData", "validationSplit"] },
  ],
});
