"""What lightgbm.train alone makes of the data sets: nothing of the executor is imported here.

python lightgbm_plain.py DIRECTORY < cases.json
"""

import json
import sys

import lightgbm
import numpy as np
import pandas as pd


def run(directory, case):
    frame = pd.read_csv(f"{directory}/{case['data']}.csv")
    X = frame[case["features"]] if case.get("features") else frame.drop(columns=case["target"])
    for column in case.get("categorical", []):
        X = X.assign(**{column: X[column].astype("category")})
    y = frame[case["target"]].to_numpy()
    if case.get("encode"):
        y = np.unique(y.astype(str), return_inverse=True)[1]
    weight = frame[case["weight"]].to_numpy() if case.get("weight") else None
    rows = np.random.RandomState(case.get("seed", 0)).permutation(len(X))
    held = int(np.ceil(case["test_size"] * len(X))) if case.get("test_size") else 0
    train, test = rows[held:], rows[:held]
    if not held:
        train = np.arange(len(X))

    def dataset(chosen, reference=None):
        return lightgbm.Dataset(
            X.iloc[chosen],
            label=y[chosen],
            weight=None if weight is None else weight[chosen],
            reference=reference,
        )

    dtrain = dataset(train)
    sets, names = [dtrain], ["train"]
    if held:
        sets.append(dataset(test, dtrain))
        names.append("validation")
    history = {}
    callbacks = [lightgbm.record_evaluation(history)]
    if case.get("patience"):
        callbacks.append(lightgbm.early_stopping(case["patience"], verbose=False))
    booster = lightgbm.train(
        {**case["parameters"], "num_threads": case.get("threads", 1), "verbosity": -1},
        dtrain,
        num_boost_round=case["rounds"],
        valid_sets=sets,
        valid_names=names,
        callbacks=callbacks,
    )
    return {
        "history": history,
        "best": booster.best_iteration,
        "predictions": booster.predict(X).tolist(),
        "booster": booster.model_to_string(),
    }


if __name__ == "__main__":
    print(json.dumps([run(sys.argv[1], case) for case in json.load(sys.stdin)]))
