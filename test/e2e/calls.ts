import { data } from "./client.js";

/** Trees of a training that does not end in a test's time. */
export const FOREVER = 10_000_000;

/** The call of a training that takes about `trees` / 300 seconds, or for ever. */
export const forest = (trees: number, more: Record<string, unknown> = {}) => ({
  framework: "sklearn",
  config: {
    algorithm: "RandomForestClassifier",
    dataPath: data("digits.csv"),
    targetColumn: "target",
    // On stumps, to spare the memory.
    hyperparameters: { n_estimators: trees, ...(trees === FOREVER && { max_depth: 2 }) },
  },
  ...more,
});

/** The call of a boosting that measures each of its rounds on validation data. */
export const boosting = (numRounds: number, more: Record<string, unknown> = {}) => ({
  framework: "xgboost",
  config: {
    algorithm: "XGBClassifier",
    dataPath: data("digits.csv"),
    targetColumn: "target",
    validationSplit: 0.2,
    numRounds,
  },
  ...more,
});
