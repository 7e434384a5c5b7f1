"""Evaluating and predicting from ``modelPath`` alone, and what is refused to be loaded."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from ml_runner.process import models as memory
from tests.actions.calling import Caller

IRIS = {"dataPath": "data/iris.csv", "targetColumn": "target"}
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("sklearn", {"algorithm": "LogisticRegression", "featureScaling": "standard"}),
    ("sklearn", {"algorithm": "XGBClassifier", "hyperparameters": {"n_estimators": 4}}),
    ("sklearn", {"algorithm": "SVC"}),
    ("xgboost", {"numRounds": 4}),
    ("lightgbm", {"numRounds": 4}),
]
SUFFIX = {"sklearn": "model.pkl", "xgboost": "model.ubj", "lightgbm": "model.txt"}


def _train(caller: Caller, number: int, **more: Any) -> str:
    framework, config = MODELS[number]
    caller.report("train", framework, {**IRIS, **config, **more}, outputDir="m", overwrite=True)
    return framework


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_evaluation_equals_what_its_own_predictions_give(number: int, caller: Caller) -> None:
    framework = _train(caller, number)
    report = caller.report(
        "evaluate",
        "auto",
        {
            "modelPath": f"m/{SUFFIX[framework]}",
            "dataPath": "data/iris.csv",
            "metrics": ["accuracy", "precision", "recall", "f1", "confusion_matrix",
                        "cohen_kappa_score", "f1_weighted"],
            "batchSize": 64,
        },
        outputDir="evaluation",
    )  # fmt: skip
    assert report["framework"] == framework
    metadata = report["metadata"]
    assert (metadata["samplesEvaluated"], metadata["batchSize"]) == (150, 64)
    assert metadata["inferenceTime"]
    assert metadata["avgInferenceTimePerSample"]
    with (caller.base / report["artifacts"]["predictionsCSV"]).open() as file:
        rows = list(csv.DictReader(file))
    y = [row["true_class"] for row in rows]
    p = [row["predicted_class"] for row in rows]
    found = report["metrics"]
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(y, p), abs=1e-9)
    for key, name in (("precision", "precision"), ("recall", "recall"), ("f1Score", "f1")):
        expected = getattr(reference, f"{name}_score")(y, p, average="macro")
        assert found[key] == pytest.approx(expected, abs=1e-9)
    assert found["confusionMatrix"] == reference.confusion_matrix(y, p).tolist()
    expected_report: Any = reference.classification_report(y, p, output_dict=True)
    for label in ("setosa", "versicolor", "virginica"):
        row = found["classificationReport"][f"class_{label}"]
        assert row["f1"] == pytest.approx(expected_report[label]["f1-score"], abs=1e-9)
        assert row["support"] == 50
    assert found["cohenKappaScore"] == pytest.approx(reference.cohen_kappa_score(y, p))
    assert found["f1Weighted"] == pytest.approx(reference.f1_score(y, p, average="weighted"))
    assert {"confusionMatrixPlot", "rocCurve"} <= set(report["artifacts"])
    if "probability_setosa" in rows[0]:
        scores = [[float(r[f"probability_{c}"]) for c in sorted(set(y))] for r in rows]
        assert found["logLoss"] == pytest.approx(reference.log_loss(y, scores), abs=1e-6)
        expected = reference.roc_auc_score(y, scores, multi_class="ovr")
        assert found["rocAuc"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "lightgbm"])
def test_regression(framework: str, caller: Caller) -> None:
    config: dict[str, Any] = {"dataPath": "data/diabetes.csv", "targetColumn": "target"}
    if framework == "sklearn":
        config["algorithm"] = "Ridge"
    caller.report("train", framework, config, outputDir="m")
    report = caller.report("evaluate", "auto", {"modelPath": "m", "dataPath": "data/diabetes.csv"})
    rows = pd.read_csv(report["artifacts"]["predictionsCSV"])
    y, p = rows["true_value"], rows["predicted_value"]
    found = report["metrics"]
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(y, p), rel=1e-9)
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(y, p), rel=1e-9)
    assert found["r2"] == pytest.approx(reference.r2_score(y, p), rel=1e-9)
    assert "residualsPlot" in report["artifacts"]
    predicted = caller.report(
        "predict", "auto", {"modelPath": "m", "inputData": "data/diabetes.csv"}
    )
    assert predicted["predictions"]["format"] == "values"
    sample = predicted["predictions"]["samplePredictions"][4]
    assert sample == {"sample_id": 4, "predicted_value": p[4]}
    error = caller.error("predict", "auto", {"modelPath": "m", "inputData": "data/diabetes.csv",
                                             "outputFormat": "probabilities"})  # fmt: skip
    assert "predicts numbers" in error["message"]


def test_weighted_evaluation(caller: Caller) -> None:
    config = {"algorithm": "DecisionTreeClassifier", "hyperparameters": {"max_depth": 3},
              "dataPath": "data/large.csv", "targetColumn": "label",
              "featureColumns": ["x0", "x2"]}  # fmt: skip
    caller.report("train", "sklearn", config, outputDir="m")
    shared = {"modelPath": "m", "dataPath": "data/large.csv"}
    report = caller.report("evaluate", "auto", {**shared, "sampleWeightColumn": "weight"})
    rows = pd.read_csv(report["artifacts"]["predictionsCSV"], keep_default_na=False)
    weight = pd.read_csv(caller.base / "data/large.csv")["weight"]
    y, p = rows["true_class"], rows["predicted_class"]
    expected = reference.accuracy_score(y, p, sample_weight=weight)
    assert report["metrics"]["accuracy"] == pytest.approx(expected, abs=1e-9)
    assert report["metadata"]["average"] == "binary"
    expected = reference.f1_score(y, p, sample_weight=weight, pos_label="yes")
    assert report["metrics"]["f1Score"] == pytest.approx(expected, abs=1e-9)


def test_predictions_of_the_specification(caller: Caller) -> None:
    _train(caller, 0)
    config = {"modelPath": "m", "inputData": "data/iris.csv", "outputFormat": "probabilities"}
    report = caller.report("predict", "sklearn", config, outputDir="predictions/")
    predictions = report["predictions"]
    assert predictions["format"] == "probabilities"
    assert predictions["shape"] == [150, 3]
    assert predictions["outputFile"] == "predictions/predictions.csv"
    assert len(predictions["samplePredictions"]) == 5
    first = predictions["samplePredictions"][0]
    assert first["sample_id"] == 0
    assert first["predicted_class"] == "setosa"
    assert first["confidence"] == max(first["probabilities"])
    assert sum(first["probabilities"]) == pytest.approx(1)
    assert {"predictionsCSV", "predictionsJSON"} == set(report["artifacts"])
    assert report["metadata"]["samplesProcessed"] == 150
    rows = json.loads((caller.base / "predictions/predictions.json").read_text())
    assert rows[:5] == predictions["samplePredictions"]
    classes = caller.report("predict", "auto", {"modelPath": "m", "inputData": "data/iris.csv"})
    assert classes["predictions"]["format"] == "classes"
    assert classes["predictions"]["shape"] == [150]
    assert classes["metadata"]["defaults"] == {"outputFormat": "classes"}
    assert set(classes["predictions"]["samplePredictions"][0]) == {
        "sample_id", "predicted_class", "confidence",
    }  # fmt: skip


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_batches_and_single_rows_give_the_same(number: int, caller: Caller) -> None:
    _train(caller, number)
    config = {"modelPath": "m", "inputData": "data/iris.csv"}
    whole = caller.report("predict", "auto", config, outputDir="whole")
    caller.report("predict", "auto", {**config, "batchSize": 7}, outputDir="batches")
    files = [(caller.base / name / "predictions.json").read_text() for name in ("whole", "batches")]
    assert files[0] == files[1]
    pd.read_csv(caller.base / "data/iris.csv").iloc[:1].to_csv(caller.base / "1.csv", index=False)
    one = caller.report("predict", "auto", {**config, "inputData": "1.csv"})
    assert one["predictions"]["samplePredictions"] == whole["predictions"]["samplePredictions"][:1]


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_columns_are_matched_by_name(number: int, caller: Caller) -> None:
    _train(caller, number)
    frame = pd.read_csv(caller.base / "data/iris.csv")
    frame[frame.columns[::-1]].to_csv(caller.base / "turned.csv", index=False)
    config = {"modelPath": "m", "inputData": "data/iris.csv"}
    straight = caller.report("predict", "auto", config)
    turned = caller.report("predict", "auto", {**config, "inputData": "turned.csv"})
    assert (
        straight["predictions"]["samplePredictions"] == turned["predictions"]["samplePredictions"]
    )
    frame.drop(columns=frame.columns[1]).to_csv(caller.base / "less.csv", index=False)
    error = caller.error("predict", "auto", {**config, "inputData": "less.csv"})
    assert error["type"] == "data-loading-error"
    assert "sepal width (cm)" in error["message"]


def test_probabilities_where_there_are_none(caller: Caller) -> None:
    _train(caller, 2)
    config = {"modelPath": "m", "inputData": "data/iris.csv", "outputFormat": "probabilities"}
    error = caller.error("predict", "auto", config)
    assert error["type"] == "invalid-configuration"
    assert "SVC gives no probabilities" in error["message"]
    error = caller.error("evaluate", "auto", {"modelPath": "m", "dataPath": "data/iris.csv",
                                              "metrics": ["log_loss"]})  # fmt: skip
    assert "needs probabilities" in error["message"]


def test_a_class_that_the_data_lack_makes_a_null_that_is_explained(caller: Caller) -> None:
    _train(caller, 0)
    frame = pd.read_csv(caller.base / "data/iris.csv")
    frame[frame["target"] != "setosa"].to_csv(caller.base / "two.csv", index=False)
    report = caller.report("evaluate", "auto", {"modelPath": "m", "dataPath": "two.csv"})
    assert report["metrics"]["rocAuc"] is None
    assert any("'setosa'" in warning for warning in report["warnings"])
    assert len(report["metrics"]["confusionMatrix"]) == 3


# -- loading ---------------------------------------------------------------------------------------


def _error(caller: Caller, path: str, **more: Any) -> Any:
    return caller.error(
        "predict", "auto", {"modelPath": path, "inputData": "data/iris.csv", **more}
    )


def test_a_model_that_is_not_there(caller: Caller) -> None:
    _train(caller, 0)
    error = _error(caller, "m/modle.pkl")
    assert error["type"] == "model-loading-error"
    assert "m/model.pkl" in error["solution"]
    assert "There is no model" in _error(caller, "n/model.pkl")["message"]
    (caller.base / "empty").mkdir()
    assert "no model" in _error(caller, "empty")["message"]


@pytest.mark.parametrize("number", [0, 3, 4])
def test_a_model_that_is_cut_short(number: int, caller: Caller) -> None:
    framework = _train(caller, number)
    path = caller.base / "m" / SUFFIX[framework]
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 3, len(whole) // 2):
        path.write_bytes(whole[:size])
        error = _error(caller, f"m/{SUFFIX[framework]}", allowPickle=True)
        assert error["type"] == "model-loading-error", (size, error)


def test_files_that_are_no_models(caller: Caller) -> None:
    (caller.base / "picture.pkl.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    assert "a PNG image" in _error(caller, "picture.pkl.png")["message"]
    (caller.base / "text").write_text("hello")
    assert "text, beginning with 'hello'" in _error(caller, "text")["message"]
    (caller.base / "thing.pkl").write_bytes(pickle.dumps({"a": 1}))
    assert "holds a dict" in _error(caller, "thing.pkl", allowPickle=True)["message"]
    (caller.base / "no.json").write_text('{"learner": 1}')
    assert _error(caller, "no.json")["type"] == "model-loading-error"


def test_a_pickle_of_unknown_origin_runs_only_when_that_is_allowed(caller: Caller) -> None:
    marker = caller.base / "ran"
    (caller.base / "evil.pkl").write_bytes(pickle.dumps(_Evil(str(marker))))
    error = _error(caller, "evil.pkl")
    assert error["type"] == "model-loading-error"
    assert "allowPickle: true" in error["solution"]
    assert "nextCall" not in error
    assert not marker.exists()
    # Neither a forged description nor that of another model helps it.
    _train(caller, 0)
    description = (caller.base / "m/model.pkl.meta.json").read_text()
    (caller.base / "evil.pkl.meta.json").write_text(description)
    assert "has changed" in _error(caller, "evil.pkl")["message"]
    import hashlib

    record = json.loads(description)
    record["sha256"] = hashlib.sha256((caller.base / "evil.pkl").read_bytes()).hexdigest()
    (caller.base / "evil.pkl.meta.json").write_text(json.dumps(record))
    assert "not signed" in _error(caller, "evil.pkl")["message"]
    assert not marker.exists()


class _Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


def test_what_was_allowed_once_stays_refused_without_it(caller: Caller, monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "_cache", memory.ModelCache())
    _train(caller, 0)
    (caller.base / "m/model.pkl.meta.json").unlink()
    config = {"modelPath": "m/model.pkl", "inputData": "data/iris.csv"}
    caller.report("predict", "auto", {**config, "allowPickle": True})
    assert _error(caller, "m/model.pkl")["type"] == "model-loading-error"


def test_the_key_is_private_and_another_machines_model_is_not_trusted(caller: Caller) -> None:
    _train(caller, 0)
    key = caller.home / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    caller.report("predict", "auto", {"modelPath": "m", "inputData": "data/iris.csv"})
    key.unlink()
    assert "not signed" in _error(caller, "m")["message"]


@pytest.mark.parametrize("number", [3, 4])
def test_safe_formats_load_without_a_description(number: int, caller: Caller) -> None:
    framework = _train(caller, number)
    config = {"modelPath": "m", "inputData": "data/iris.csv", "outputFormat": "probabilities"}
    before = caller.report("predict", "auto", config)
    path = caller.base / "m" / SUFFIX[framework]
    bare = caller.base / path.name
    path.rename(bare)
    report = caller.report("predict", "auto", {**config, "modelPath": path.name})
    sample = report["predictions"]["samplePredictions"][0]
    assert sample["predicted_class"] == 0
    expected = before["predictions"]["samplePredictions"][0]
    assert sample["probabilities"] == expected["probabilities"]
    error = caller.error("evaluate", "auto", {"modelPath": path.name, "dataPath": "data/iris.csv",
                                              "targetColumn": "target"})  # fmt: skip
    assert "'setosa'" in error["message"]
    assert "0, 1, 2" in error["solution"]


def test_a_plain_pickle_with_permission(caller: Caller) -> None:
    from sklearn.linear_model import LogisticRegression

    frame = pd.read_csv(caller.base / "data/iris.csv")
    model = LogisticRegression(max_iter=300).fit(frame.drop(columns="target"), frame["target"])
    import joblib

    joblib.dump(model, caller.base / "plain.joblib", compress=3)
    (caller.base / "plain.pkl").write_bytes(pickle.dumps(model))
    for name in ("plain.joblib", "plain.pkl"):
        report = caller.report(
            "evaluate",
            "sklearn",
            {"modelPath": name, "dataPath": "data/iris.csv", "targetColumn": "target",
             "allowPickle": True},
        )  # fmt: skip
        expected = model.score(frame.drop(columns="target"), frame["target"])
        assert report["metrics"]["accuracy"] == pytest.approx(expected)


def test_the_wrong_framework_is_named(caller: Caller) -> None:
    _train(caller, 3)
    error = caller.error("predict", "sklearn", {"modelPath": "m", "inputData": "data/iris.csv"})
    assert error["type"] == "invalid-configuration"
    assert error["nextCall"]["arguments"]["framework"] == "xgboost"


def test_other_versions_are_warned_of(caller: Caller, monkeypatch: Any) -> None:
    from ml_runner import distributions

    with monkeypatch.context() as then:
        found = distributions.versions
        then.setattr(distributions, "versions", lambda *n: {**found(*n), "lightgbm": "9.9.9"})
        _train(caller, 4)
    report = caller.report("predict", "auto", {"modelPath": "m", "inputData": "data/iris.csv"})
    assert any("other versions: lightgbm" in warning for warning in report["warnings"])


def test_missing_target_of_an_evaluation(caller: Caller) -> None:
    _train(caller, 0)
    frame = pd.read_csv(caller.base / "data/iris.csv").drop(columns="target")
    frame.to_csv(caller.base / "unlabelled.csv", index=False)
    error = caller.error("evaluate", "auto", {"modelPath": "m", "dataPath": "unlabelled.csv"})
    assert error["type"] == "data-loading-error"
    assert "target" in error["message"]
    # For predicting it is not needed.
    caller.report("predict", "auto", {"modelPath": "m", "inputData": "unlabelled.csv"})


def test_a_target_under_another_name(caller: Caller) -> None:
    _train(caller, 0)
    frame = pd.read_csv(caller.base / "data/iris.csv").rename(columns={"target": "species"})
    frame.to_csv(caller.base / "renamed.csv", index=False)
    config = {"modelPath": "m", "dataPath": "renamed.csv", "targetColumn": "species"}
    report = caller.report("evaluate", "auto", config)
    assert report["metadata"]["targetColumn"] == "species"


def test_many_classes_stay_within_eight_kilobytes(caller: Caller) -> None:
    random = np.random.RandomState(0)
    frame = pd.DataFrame(random.normal(size=(900, 3)), columns=["a", "b", "c"])
    frame["y"] = [f"class number {n}" for n in random.randint(0, 60, 900)]
    frame.to_csv(caller.base / "many.csv", index=False)
    config = {"algorithm": "GaussianNB", "dataPath": "many.csv", "targetColumn": "y"}
    caller.report("train", "sklearn", {**config, "crossValidation": {"folds": 3}}, outputDir="m")
    report = caller.report("evaluate", "auto", {"modelPath": "m", "dataPath": "many.csv"},
                           outputDir="e")  # fmt: skip
    assert report["truncated"] == ["e/report_full.json"]
    whole = json.loads((caller.base / "e/report_full.json").read_text())
    assert len(whole["metrics"]["confusionMatrix"]) == 60
    assert len(whole["metrics"]["classificationReport"]) == 60
    predicted = caller.report("predict", "auto", {"modelPath": "m", "inputData": "many.csv",
                              "outputFormat": "probabilities"}, outputDir="p")  # fmt: skip
    assert len(json.dumps(predicted)) < 8300
