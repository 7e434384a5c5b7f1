"""What xgboost.train alone makes of the data sets: nothing of the executor is imported here.

python xgboost_plain.py DIRECTORY < cases.json
"""

import json
import sys

import numpy as np
import pandas as pd
import xgboost


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

    def matrix(chosen):
        return xgboost.DMatrix(
            X.iloc[chosen],
            label=y[chosen],
            weight=None if weight is None else weight[chosen],
            enable_categorical=True,
        )

    dtrain = matrix(train)
    evals = [(dtrain, "train")] + ([(matrix(test), "validation")] if held else [])
    history = {}
    booster = xgboost.train(
        {**case["parameters"], "nthread": case.get("threads", 1)},
        dtrain,
        num_boost_round=case["rounds"],
        evals=evals,
        evals_result=history,
        early_stopping_rounds=case.get("patience"),
        verbose_eval=False,
    )
    used = (0, 0)
    if case.get("patience"):
        used = (0, booster.best_iteration + 1)
    predictions = booster.predict(xgboost.DMatrix(X, enable_categorical=True), iteration_range=used)
    return {
        "history": history,
        "best": booster.best_iteration if case.get("patience") else None,
        "predictions": predictions.astype(float).tolist(),
        "booster": booster.save_raw("json").decode(),
    }


if __name__ == "__main__":
    print(json.dumps([run(sys.argv[1], case) for case in json.load(sys.stdin)]))
