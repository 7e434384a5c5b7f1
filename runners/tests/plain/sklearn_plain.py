"""What scikit-learn alone makes of the data sets: nothing of the executor is imported here.

    python sklearn_plain.py DIRECTORY < cases.json

A case: {"data", "target", "estimator", "parameters", "scale", "cv", "test_size", "categorical"}.
"""

import json
import sys

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    mean_squared_error,
    r2_score,
)
from sklearn.model_selection import cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils import all_estimators


def estimator_named(name):
    if name.startswith("XGB"):
        import xgboost

        return getattr(xgboost, name)
    if name.startswith("LGBM"):
        import lightgbm

        return getattr(lightgbm, name)
    return dict(all_estimators())[name]


def run(directory, case):
    frame = pd.read_csv(f"{directory}/{case['data']}.csv")
    y = frame[case["target"]].to_numpy()
    X = frame[case["features"]] if case.get("features") else frame.drop(columns=case["target"])
    for column in case.get("categorical", []):
        X = X.assign(**{column: X[column].astype("category")})
    labels = None
    if case.get("encode"):
        labels, y = np.unique(y.astype(str), return_inverse=True)
    model = estimator_named(case["estimator"])(**case["parameters"])
    scaler = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}
    if case.get("scale"):
        model = make_pipeline(scaler[case["scale"]](), model)
    regression = case.get("regression", False)
    two = not regression and len(np.unique(y)) == 2
    options = {"pos_label": np.unique(y)[-1]} if two else {"average": "macro"}
    out = {}
    if case.get("cv"):
        if regression:
            scoring = {"rmse": "neg_root_mean_squared_error", "r2": "r2"}
        else:
            from sklearn.metrics import make_scorer

            scoring = {"accuracy": "accuracy", "f1": make_scorer(f1_score, **options)}
        result = cross_validate(model, X, y, cv=case["cv"], scoring=scoring)
        out["folds"] = {name: result[f"test_{name}"].tolist() for name in scoring}
        if regression:
            out["folds"]["rmse"] = [-value for value in out["folds"]["rmse"]]
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=case["test_size"], random_state=case.get("seed", 0)
    )
    model.fit(X_train, y_train)
    predicted = model.predict(X_test)
    if regression:
        out["rmse"] = float(np.sqrt(mean_squared_error(y_test, predicted)))
        out["r2"] = float(r2_score(y_test, predicted))
    else:
        out["accuracy"] = float(accuracy_score(y_test, predicted))
        out["f1"] = float(f1_score(y_test, predicted, **options))
        out["confusion"] = confusion_matrix(y_test, predicted).tolist()
    everything = model.predict(X)
    out["predictions"] = (labels[everything] if labels is not None else everything).tolist()
    if hasattr(model, "predict_proba"):
        out["probabilities"] = model.predict_proba(X).tolist()
    return out


if __name__ == "__main__":
    print(json.dumps([run(sys.argv[1], case) for case in json.load(sys.stdin)]))
