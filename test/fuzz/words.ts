import { readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { hostileString } from "./values.js";

/** What the parameters of a call may say, where their schema says no more than "a string". */

/** The files and names that calls can be about. */
export interface World {
  directory: string;
  models: string[];
  jobIds: string[];
}

type Strings = fc.Arbitrary<string>;

const ALGORITHMS = [
  "DecisionTreeClassifier",
  "DecisionTreeRegressor",
  "GaussianNB",
  "KNeighborsClassifier",
  "Ridge",
  "LogisticRegression",
  "HistGradientBoostingClassifier",
  "SGDClassifier",
  "XGBClassifier",
  "XGBRegressor",
  "LGBMClassifier",
  "LGBMRegressor",
  "sklearn.svm.SVC",
  "KMeans",
  "StandardScaler",
  "VotingClassifier",
  "IsolationForest",
  "Nonsense",
  "sklearn.os.system",
  "__builtins__.eval",
  "..",
];

const HYPERPARAMETERS = [
  "max_depth",
  "n_estimators",
  "learning_rate",
  "alpha",
  "C",
  "max_iter",
  "n_neighbors",
  "random_state",
  "n_jobs",
  "criterion",
  "subsample",
  "objective",
  "num_class",
  "eval_metric",
  "booster",
  "tree_method",
  "num_leaves",
  "nthread",
  "verbosity",
  "estimators",
  "no_such_parameter",
];

const hyperparameters = fc.dictionary(
  fc.constantFrom(...HYPERPARAMETERS),
  fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: -2, max: 6 }) },
    { weight: 2, arbitrary: fc.constantFrom<unknown>(0.1, 0.5, -0.5, 1e-9, 1e9, 1e308) },
    { weight: 1, arbitrary: fc.constantFrom<unknown>(null, true, "auto", "gini", "no", [], {}) },
  ),
  { maxKeys: 4 },
);

/** Of networks: what is there, what cannot be used, what is not there. */
const NETWORKS: Record<string, string[]> = {
  lossFunction: ["cross_entropy", "mse", "bce_with_logits", "nll", "CTCLoss", "hinge", "os.system"],
  optimizer: ["adam", "sgd", "lbfgs", "rmsprop", "torch.optim.AdamW", "Optimizer", "__init__"],
  scheduler: ["step_lr", "cosine", "one_cycle", "plateau", "LambdaLR", "no_such"],
  modelClass: ["Net", "build_model", "os", "Lonely", "__doc__"],
};

/** Strings, or another value, for parameters by their names; the manifest need not know of them. */
export function wordsFor(world: World): (key: string) => fc.Arbitrary<unknown> | null {
  const filesOf = (name: string) =>
    readdirSync(join(world.directory, name)).map((file) => join(world.directory, name, file));
  const good = fc.oneof(
    { weight: 3, arbitrary: fc.constant(join(world.directory, "good", "classes.csv")) },
    { weight: 2, arbitrary: fc.constantFrom(...filesOf("good")) },
  );
  const bad = fc.constantFrom(...filesOf("bad"), world.directory, "nowhere/at/all.csv");
  const data = mostly(good, fc.oneof(bad, hostileString));
  const models = mostly(fc.constantFrom(...world.models), fc.oneof(bad, hostileString));
  const outputs = fc.oneof(
    fc.integer({ min: 0, max: 30 }).map((n) => join(world.directory, "out", `run${n}`)),
    fc.constantFrom(
      ...["file", "loop", "fifo", "file/below", "deep/er/and/deeper", "é\n"].map((name) =>
        join(world.directory, "out", name),
      ),
      "relative",
      "a/../b/./c",
      join(world.directory, "out", "n".repeat(300)),
    ),
  );
  const scripts = mostly(fc.constantFrom(...filesOf("scripts")), bad);
  const columns = mostly(
    fc.constantFrom("kind", "kind", "a", "b", "c", "weight", "town", "y", "x", "0"),
    hostileString,
  );
  const pythons = mostly(
    fc.constantFrom("nowhere", "/bin", "/dev/null", "conda:no-such", world.directory, "~nobody/x"),
    fc.oneof(
      fc.constantFrom("/bin/true", "/bin/false", join(world.directory, "bad")),
      hostileString,
    ),
  );
  const timeout = fc.oneof(
    { weight: 20, arbitrary: fc.constant(3) },
    { weight: 1, arbitrary: fc.constantFrom(1e-9, 0.5, 31536000) },
  );
  const rules: [RegExp, fc.Arbitrary<unknown>][] = [
    [/^(dataPath|inputData|testData|validationData|sampleData)$/, data],
    [/^(model(Path|Id|s)|checkpointPath|runDir|compiledModel|pretrainedModel)$/, models],
    [/^freezeLayers$/, mostly(fc.constantFrom("layer", "layer.0-1", "weight", "*"), hostileString)],
    [/^timeout$/, timeout],
    [/^pythonEnv$/, pythons],
    [/^path$/, fc.oneof(data, models)],
    [/^output(Dir|Path)$/, outputs],
    [/^modelScript$/, scripts],
    [/[cC]olumns?$|^categorical$/, columns],
    [/^algorithm$/, mostly(fc.constantFrom(...ALGORITHMS), hostileString)],
    [/^(hyperparameters|modelArgs)$/, hyperparameters],
    ...Object.entries(NETWORKS).map(([key, words]): [RegExp, fc.Arbitrary<unknown>] => [
      new RegExp(`^${key}$`),
      mostly(fc.constantFrom(...words), hostileString),
    ]),
    [/^epochs$/, fc.oneof({ weight: 4, arbitrary: fc.integer({ min: -1, max: 3 }) }, fc.nat())],
    [/^jobId$/, mostly(fc.constantFrom(...world.jobIds, "../../etc", "."), hostileString)],
    [/^requestId$/, fc.constantFrom("one", "two", "three", "\ud800", "../x")],
    [/^action$/, mostly(fc.constantFrom("train", "predict", "evaluate", "resume"), hostileString)],
    [/^encoding$/, mostly(fc.constantFrom("utf-8", "utf-16", "cp1252", "rot13"), hostileString)],
    [/^separator$/, mostly(fc.constantFrom(",", ";", "\t", "||", "\\"), hostileString)],
    [/^metric(s)?$/, mostly(fc.constantFrom("accuracy", "f1", "rmse", "roc_auc"), hostileString)],
  ];
  return (key) => rules.find(([pattern]) => pattern.test(key))?.[1] ?? null;
}

const mostly = (usual: Strings, other: Strings): Strings =>
  fc.oneof({ weight: 4, arbitrary: usual }, { weight: 1, arbitrary: other });
