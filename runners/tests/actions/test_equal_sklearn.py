"""Fold scores, held-out metrics, confusion matrices and predictions equal plain scripts."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.actions import plainly
from tests.actions.calling import Caller

_LARGE = [*(f"x{i}" for i in range(6)), "city", "size"]


def _case(data: str, estimator: str, *, target: str = "target", **more: Any) -> dict[str, Any]:
    return {
        "data": data,
        "target": target,
        "estimator": estimator,
        "parameters": {},
        "cv": 5,
        "test_size": 0.25,
        **more,
    }


CASES = [
    _case(
        "breast_cancer",
        "RandomForestClassifier",
        parameters={"n_estimators": 30, "max_depth": 10, "random_state": 0},
        scale="standard",
    ),
    _case("breast_cancer", "LogisticRegression", parameters={"max_iter": 500}, scale="minmax"),
    _case("iris", "SVC", parameters={"C": 2.0, "random_state": 0}, scale="robust"),
    _case("iris", "XGBClassifier", parameters={"n_estimators": 20, "n_jobs": 1}, encode=True),
    _case(
        "wine",
        "LGBMClassifier",
        parameters={"n_estimators": 20, "n_jobs": 1, "verbose": -1},
    ),
    _case("wine", "GaussianNB"),
    _case("diabetes", "Ridge", parameters={"random_state": 0}, regression=True),
    _case(
        "diabetes",
        "GradientBoostingRegressor",
        parameters={"random_state": 0},
        regression=True,
        scale="standard",
    ),
    _case("digits", "KNeighborsClassifier", cv=3),
    _case(
        "digits",
        "ExtraTreesClassifier",
        parameters={"n_estimators": 40, "random_state": 3},
        seed=3,
        cv=3,
    ),
    _case(
        "large",
        "HistGradientBoostingClassifier",
        target="label",
        parameters={"max_iter": 30, "random_state": 0},
        features=_LARGE,
        categorical=["city", "size"],
        cv=3,
    ),
    _case(
        "large",
        "XGBRegressor",
        target="amount",
        parameters={
            "n_estimators": 20,
            "n_jobs": 1,
            "max_depth": 4,
            "enable_categorical": True,
        },
        features=_LARGE,
        categorical=["city", "size"],
        regression=True,
        cv=3,
    ),
]


@pytest.fixture(scope="module")
def plain(data: Path) -> list[dict[str, Any]]:
    return plainly.run("sklearn_plain.py", data, CASES)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: CASES[n]["estimator"])
def test_equals_the_plain_script(number: int, plain: list[dict[str, Any]], caller: Caller) -> None:
    case, expected = CASES[number], plain[number]
    # What the executor sets by itself is left out of the call.
    sent = {
        name: value
        for name, value in case["parameters"].items()
        if name not in ("random_state", "n_jobs", "enable_categorical")
    }
    config: dict[str, Any] = {
        "algorithm": case["estimator"],
        "dataPath": f"data/{case['data']}.csv",
        "targetColumn": case["target"],
        "hyperparameters": sent,
        "crossValidation": {"folds": case["cv"]},
        "validationSplit": case["test_size"],
        **({"featureScaling": case["scale"]} if case.get("scale") else {}),
        **({"featureColumns": case["features"]} if case.get("features") else {}),
        **({"categorical": case["categorical"]} if case.get("categorical") else {}),
        **({"seed": case["seed"]} if case.get("seed") else {}),
    }
    # The script's folds are of all rows: two calls, since a split leaves fewer to fold.
    split = config.pop("validationSplit")
    report = caller.report("train", "sklearn", config, outputDir="folds")
    folds = report["metrics"]["crossValidation"]
    names = {"accuracy": "accuracy", "f1": "f1Score", "rmse": "rmse", "r2": "r2"}
    short = {"accuracy": "Accuracy", "f1": "F1", "rmse": "Rmse", "r2": "R2"}
    for name, values in expected["folds"].items():
        np.testing.assert_allclose(folds[names[name]], values, rtol=0, atol=1e-9)
        assert folds[f"mean{short[name]}"] == pytest.approx(np.mean(values), abs=1e-9)
        assert folds[f"std{short[name]}"] == pytest.approx(np.std(values), abs=1e-9)
    del config["crossValidation"]
    config["validationSplit"] = split
    report = caller.report("train", "sklearn", config, outputDir="split")
    final = report["metrics"]["finalModel"]
    for name in ("accuracy", "f1", "rmse", "r2"):
        if name in expected:
            assert final[f"test{short[name]}"] == pytest.approx(expected[name], abs=1e-9)
    _compare_predictions(case, expected, caller)


def _compare_predictions(case: dict[str, Any], expected: dict[str, Any], caller: Caller) -> None:
    config: dict[str, Any] = {"modelPath": "split", "inputData": f"data/{case['data']}.csv"}
    if "probabilities" in expected:
        config["outputFormat"] = "probabilities"
    report = caller.report("predict", "auto", config, outputDir="predictions")
    assert report["framework"] == "sklearn"
    with (caller.base / "predictions" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(expected["predictions"])
    if case.get("regression"):
        found = [float(row["predicted_value"]) for row in rows]
        np.testing.assert_allclose(found, expected["predictions"], rtol=1e-9)
        return
    assert [row["predicted_class"] for row in rows] == [str(v) for v in expected["predictions"]]
    if "probabilities" in expected:
        columns = [name for name in rows[0] if name.startswith("probability_")]
        found = [[float(row[name]) for name in columns] for row in rows]
        np.testing.assert_allclose(found, expected["probabilities"], rtol=0, atol=1e-9)


def test_confusion_matrix_of_the_held_out_rows(plain: list[dict[str, Any]], caller: Caller) -> None:
    case, expected = CASES[0], plain[0]
    config = {
        "algorithm": case["estimator"],
        "dataPath": "data/breast_cancer.csv",
        "targetColumn": "target",
        "hyperparameters": {"n_estimators": 30, "max_depth": 10},
        "featureScaling": "standard",
        "validationSplit": 0.25,
        "metrics": ["confusion_matrix"],
    }
    report = caller.report("train", "sklearn", config, outputDir="model")
    assert report["metrics"]["finalModel"]["testConfusionMatrix"] == expected["confusion"]
