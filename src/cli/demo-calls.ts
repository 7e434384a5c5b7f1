import type { JobArguments } from "../jobs/service.js";

/** The three calls of the demo, as an agent would send them. */

export type Call = JobArguments;

/** Where the demo writes, below the working directory. */
export const FOLDER = "ml-executor-demo";
export const TARGET = "diagnosis";

export function trainCall(): Call {
  return {
    action: "train",
    framework: "sklearn",
    config: {
      algorithm: "RandomForestClassifier",
      dataPath: `${FOLDER}/data/train.csv`,
      targetColumn: TARGET,
      hyperparameters: { n_estimators: 200 },
      crossValidation: { folds: 5, stratified: true },
      seed: 0,
    },
    outputDir: `${FOLDER}/model`,
    // A second demo takes the first one's place.
    overwrite: true,
  };
}

export function evaluateCall(): Call {
  return {
    action: "evaluate",
    config: { modelPath: `${FOLDER}/model/model.pkl`, dataPath: `${FOLDER}/data/test.csv` },
    outputDir: `${FOLDER}/evaluation`,
    overwrite: true,
  };
}

export function predictCall(): Call {
  return {
    action: "predict",
    config: {
      modelPath: `${FOLDER}/model/model.pkl`,
      inputData: `${FOLDER}/data/test.csv`,
      outputFormat: "probabilities",
    },
    outputDir: `${FOLDER}/predictions`,
    overwrite: true,
  };
}
