"""Native training equals one plain xgboost.train or lightgbm.train, to the last bit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.actions import plainly
from tests.actions.calling import Caller

_LARGE = [*(f"x{i}" for i in range(6)), "city", "size"]


def _case(data: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"data": data, "target": "target", "parameters": parameters, "rounds": 15, **more}


def _of_large(parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return _case(
        "large", parameters, features=_LARGE, categorical=["city", "size"], weight="weight", **more
    )


XGBOOST = [
    _case("breast_cancer", {"objective": "binary:logistic", "eta": 0.2}, test_size=0.2, threads=2),
    _case(
        "breast_cancer",
        {"objective": "binary:logistic", "subsample": 0.7, "colsample_bytree": 0.6},
        rounds=30,
    ),
    _case(
        "iris",
        {"objective": "multi:softprob", "num_class": 3},
        encode=True,
        test_size=0.3,
        rounds=200,
        patience=5,
    ),
    _case("wine", {"objective": "multi:softprob", "num_class": 3, "max_depth": 3}),
    _case("diabetes", {"max_depth": 3, "seed": 5}, test_size=0.25, rounds=100, patience=4, seed=5),
    _case("digits", {"objective": "multi:softprob", "num_class": 10, "max_depth": 3}, rounds=5),
    _of_large(
        {"objective": "binary:logistic", "max_depth": 4},
        target="label",
        encode=True,
        test_size=0.2,
        rounds=40,
        patience=5,
    ),
    _of_large({"objective": "reg:absoluteerror"}, target="amount"),
]

LIGHTGBM = [
    _case("breast_cancer", {"objective": "binary", "learning_rate": 0.2}, test_size=0.2, threads=2),
    _case(
        "breast_cancer",
        {"objective": "binary", "bagging_fraction": 0.7, "bagging_freq": 1},
        rounds=30,
    ),
    _case(
        "iris",
        {"objective": "multiclass", "num_class": 3},
        encode=True,
        test_size=0.3,
        rounds=200,
        patience=5,
    ),
    _case("wine", {"objective": "multiclass", "num_class": 3, "num_leaves": 7}),
    _case("diabetes", {"num_leaves": 7, "seed": 5}, test_size=0.25, rounds=100, patience=4, seed=5),
    _case("digits", {"objective": "multiclass", "num_class": 10, "num_leaves": 7}, rounds=5),
    _of_large(
        {"objective": "binary"},
        target="label",
        encode=True,
        test_size=0.2,
        rounds=60,
        patience=5,
    ),
    _of_large({"objective": "regression_l1"}, target="amount"),
]


@pytest.fixture(scope="module")
def plain(data: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        "xgboost": plainly.run("xgboost_plain.py", data, XGBOOST),
        "lightgbm": plainly.run("lightgbm_plain.py", data, LIGHTGBM),
    }


@pytest.mark.parametrize(
    ("framework", "number"),
    [("xgboost", n) for n in range(len(XGBOOST))] + [("lightgbm", n) for n in range(len(LIGHTGBM))],
)
def test_equals_the_plain_call(
    framework: str, number: int, plain: dict[str, list[dict[str, Any]]], caller: Caller
) -> None:
    case = (XGBOOST if framework == "xgboost" else LIGHTGBM)[number]
    expected = plain[framework][number]
    sent = {k: v for k, v in case["parameters"].items() if k not in ("num_class", "seed")}
    config = {
        "dataPath": f"data/{case['data']}.csv",
        "targetColumn": case["target"],
        "hyperparameters": sent,
        "numRounds": case["rounds"],
        **({"validationSplit": case["test_size"]} if case.get("test_size") else {}),
        **({"earlyStopping": {"patience": case["patience"]}} if case.get("patience") else {}),
        **({"seed": case["seed"]} if case.get("seed") else {}),
        **({"featureColumns": case["features"]} if case.get("features") else {}),
        **({"categorical": case["categorical"]} if case.get("categorical") else {}),
        **({"sampleWeightColumn": case["weight"]} if case.get("weight") else {}),
    }
    threads = case.get("threads", 1)
    report = caller.report("train", framework, config, outputDir="model", threads=threads)
    assert report["metadata"]["threads"] == threads
    _compare_histories(expected["history"], caller)
    if case.get("patience"):
        found = report["metadata"]["bestRound"] - 1
        assert found == (expected["best"] if framework == "xgboost" else expected["best"] - 1)
    _compare_boosters(framework, expected["booster"], caller)
    _compare_predictions(case, expected, caller)


def _compare_histories(expected: dict[str, dict[str, list[float]]], caller: Caller) -> None:
    with (caller.base / "model" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for data, metrics in expected.items():
        for metric, values in metrics.items():
            name = f"{'val' if data == 'validation' else 'train'}_{metric}"
            assert [float(row[name]) for row in rows] == values


def _compare_boosters(framework: str, expected: str, caller: Caller) -> None:
    if framework == "lightgbm":
        found = (caller.base / "model" / "model.txt").read_text()
        assert found.partition("\nparameters:")[0] == expected.partition("\nparameters:")[0]
        return
    import xgboost

    booster = xgboost.Booster(model_file=str(caller.base / "model" / "model.ubj"))
    found = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    assert found == json.loads(expected)["learner"]["gradient_booster"]


def _compare_predictions(case: dict[str, Any], expected: dict[str, Any], caller: Caller) -> None:
    config: dict[str, Any] = {"modelPath": "model", "inputData": f"data/{case['data']}.csv"}
    regression = case["target"] == "amount" or case["data"] == "diabetes"
    if not regression:
        config["outputFormat"] = "probabilities"
    caller.report("predict", "auto", config, outputDir="predictions")
    rows = json.loads((caller.base / "predictions" / "predictions.json").read_text())
    if regression:
        assert [row["predicted_value"] for row in rows] == expected["predictions"]
    elif isinstance(expected["predictions"][0], list):
        assert [row["probabilities"] for row in rows] == expected["predictions"]
        # Labels are the data's own.
        assert rows[0]["predicted_class"] in ({"setosa"} if case["data"] == "iris" else range(10))
    else:
        assert [row["probabilities"][1] for row in rows] == expected["predictions"]


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])
def test_folds_are_those_of_scikit_learn(framework: str, caller: Caller, data: Path) -> None:
    algorithm = "XGBClassifier" if framework == "xgboost" else "LGBMClassifier"
    shared = {
        "dataPath": "data/wine.csv",
        "targetColumn": "target",
        "algorithm": algorithm,
        "crossValidation": {"folds": 4},
        "hyperparameters": {"n_estimators": 10},
    }
    native = caller.report("train", framework, shared, outputDir="native")
    classes = caller.report("train", "sklearn", shared, outputDir="classes")
    for key in ("accuracy", "f1Score"):
        np.testing.assert_allclose(
            native["metrics"]["crossValidation"][key],
            classes["metrics"]["crossValidation"][key],
            atol=1e-12,
        )
