"""What train refuses, warns of, reports and leaves behind."""

from __future__ import annotations

import csv
import json
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_runner import errors
from ml_runner.actions import train
from tests.actions.calling import Caller

FOREST = {
    "algorithm": "RandomForestClassifier",
    "dataPath": "data/iris.csv",
    "targetColumn": "target",
    "hyperparameters": {"n_estimators": 5},
}
BOOSTED = {"dataPath": "data/breast_cancer.csv", "targetColumn": "target", "numRounds": 12}


def _with(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**config, **more}


# -- the report ------------------------------------------------------------------------------------


def test_report_has_every_name_of_the_specification(caller: Caller) -> None:
    config = _with(
        FOREST, crossValidation={"folds": 5, "stratified": True}, featureScaling="standard"
    )
    report = caller.report("train", "sklearn", _with(config, testData="data/iris.csv"),
                           outputDir="models/rf_run1")  # fmt: skip
    assert list(report)[:7] == [
        "timestamp", "action", "framework", "exitCode", "duration", "durationSeconds", "status",
    ]  # fmt: skip
    assert report["timestamp"].endswith("Z")
    metadata = report["metadata"]
    assert metadata["algorithm"] == "RandomForestClassifier"
    assert (metadata["samplesProcessed"], metadata["features"]) == (150, 4)
    assert metadata["crossValidationFolds"] == 5
    size = (caller.base / "models/rf_run1/model.pkl").stat().st_size
    assert metadata["modelSizeBytes"] == size
    assert metadata["modelSize"] == f"{size / 1024:.1f}KB"
    assert metadata["average"] == "macro"
    assert metadata["defaults"] == {"seed": 0}
    assert metadata["python"]["packages"]["scikit-learn"]
    folds = report["metrics"]["crossValidation"]
    assert len(folds["accuracy"]) == len(folds["f1Score"]) == 5
    assert folds["meanF1"] == pytest.approx(np.mean(folds["f1Score"]))
    assert {"trainAccuracy", "testAccuracy"} <= set(report["metrics"]["finalModel"])
    assert report["artifacts"]["model"] == "models/rf_run1/model.pkl"
    assert {"scaler", "featureImportances", "metricsPlot"} <= set(report["artifacts"])
    assert report["outputDir"] == "models/rf_run1"


def test_nothing_is_held_out_unless_asked_for(caller: Caller) -> None:
    report = caller.report("train", "sklearn", FOREST, outputDir="m")
    assert set(report["metrics"]) == {"finalModel"}
    assert set(report["metrics"]["finalModel"]) == {"trainAccuracy", "trainF1"}
    assert report["metadata"]["samplesProcessed"] == 150
    assert "metricsPlot" not in report["artifacts"]


def test_the_model_loads_in_plain_python_with_the_callers_parameters(caller: Caller) -> None:
    config = _with(FOREST, featureScaling="minmax", dataPath="data/wine.csv")
    caller.report("train", "sklearn", config, outputDir="m", threads=2)
    script = (
        "import pickle, joblib, sys, pandas as pd\n"
        "m = pickle.load(open('m/model.pkl', 'rb')); joblib.load('m/model.pkl')\n"
        "s = pickle.load(open('m/scaler.pkl', 'rb'))\n"
        "f = pd.read_csv('data/wine.csv')\n"
        "p = m.steps[-1][1].get_params()\n"
        "print(type(s).__name__, m.predict(f.drop(columns='target')).sum(), p['n_jobs'],"
        " p['warm_start'], p['n_estimators'], p['random_state'], 'ml_runner' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=caller.base, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == "MinMaxScaler"
    assert done.stdout.split()[2:] == ["None", "False", "5", "0", "False"]


def test_importances_are_sorted_and_named(caller: Caller) -> None:
    for framework, config in (("sklearn", FOREST), ("xgboost", BOOSTED), ("lightgbm", BOOSTED)):
        caller.report("train", framework, config, outputDir=framework)
        with (caller.base / framework / "feature_importances.csv").open() as file:
            rows = list(csv.DictReader(file))
        values = [float(row["importance"]) for row in rows]
        assert values == sorted(values, reverse=True)
        frame = pd.read_csv(caller.base / str(config["dataPath"]))
        assert {row["feature"] for row in rows} == set(frame.columns) - {"target"}


def test_histories_by_round(caller: Caller) -> None:
    config = _with(
        BOOSTED,
        numRounds=80,
        validationSplit=0.25,
        seed=1,
        hyperparameters={"eval_metric": ["logloss", "auc"], "objective": "binary:logistic"},
    )
    report = caller.report("train", "xgboost", config, outputDir="m")
    metrics = report["metrics"]
    assert len(metrics["train"]["rounds"]) == len(metrics["train"]["logloss"]) == 50
    assert metrics["validation"]["bestLogloss"] <= metrics["validation"]["finalLogloss"]
    assert metrics["validation"]["bestAuc"] >= metrics["validation"]["finalAuc"]
    assert metrics["val_logloss"] == metrics["validation"]["finalLogloss"]
    # Nothing was chosen by these rows: they are a test. Early stopping makes them validation rows.
    assert {"trainAccuracy", "testAccuracy"} <= set(metrics["finalModel"])
    assert "validationAccuracy" not in metrics["finalModel"]
    stopped = {**config, "earlyStopping": {"patience": 5}}
    report = caller.report("train", "xgboost", stopped, outputDir="m2")
    final = report["metrics"]["finalModel"]
    assert "validationAccuracy" in final
    assert "testAccuracy" not in final
    best = report["metadata"]["bestRound"]
    with (caller.base / "m2" / "metrics.csv").open() as file:
        rounds = list(csv.DictReader(file))
    assert report["metadata"]["bestScore"] == float(rounds[best - 1]["val_auc"])
    log = (caller.base / "m" / "training.log").read_text()
    assert "round 80" in log
    assert len((caller.base / "m" / "metrics.csv").read_text().splitlines()) == 81


def test_progress_is_told_by_fold_and_round(caller: Caller, monkeypatch: Any) -> None:
    monkeypatch.setattr("ml_runner.job.PROGRESS_INTERVAL_SECONDS", 0)
    job = caller.job("train", "xgboost", _with(BOOSTED, crossValidation={"folds": 3}))
    train.run(job)
    job.release()
    told = [event for event in caller.events(job) if event["type"] == "progress"]
    folds = [event for event in told if event["unit"] == "fold"]
    assert [event["done"] for event in folds if "rmse" in event["metrics"]] == [1, 2, 3]
    assert all(event["total"] == 3 for event in folds)
    assert folds[-1]["etaSeconds"] > 0
    rounds = [event for event in told if event["unit"] == "round"]
    assert rounds[-1]["done"] == rounds[-1]["total"] == 12
    assert "train_rmse" in rounds[-1]["metrics"]
    phases = [event["name"] for event in caller.events(job) if event["type"] == "phase"]
    assert phases == ["importing", "loading", "training", "evaluating", "saving"]


def test_strings_are_classes_and_few_whole_numbers_are_warned_of(caller: Caller) -> None:
    named = caller.report("train", "lightgbm", _with(BOOSTED, dataPath="data/iris.csv"))
    assert named["metadata"]["defaults"]["objective"] == "multiclass"
    assert named["metadata"]["classes"] == 3
    numbers = caller.report("train", "lightgbm", BOOSTED)
    assert numbers["metadata"]["task"] == "regression"
    assert any("LGBMClassifier" in warning for warning in numbers["warnings"])


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framework", "change", "words"),
    [
        ("sklearn", {"algorithm": "RandomForestClasifier"}, "RandomForestClassifier"),
        ("sklearn", {"algorithm": "os.system"}, "is not an estimator"),
        ("sklearn", {"algorithm": "KMeans", "hyperparameters": {}}, "a clusterer"),
        ("sklearn", {"hyperparameters": {"n_estimator": 5}}, "n_estimators"),
        ("sklearn", {"metrics": ["acuracy"]}, "accuracy"),
        ("sklearn", {"metrics": ["rmse"]}, "for regression"),
        ("sklearn", {"metrics": ["confusion_matrix"]}, "no single number"),
        ("sklearn", {"average": "binary"}, "3 classes"),
        ("sklearn", {"algorithm": "GaussianNB", "hyperparameters": {}, "categorical": ["x"]},
         "no columns of categories"),
        ("sklearn", {"algorithm": "KNeighborsClassifier", "hyperparameters": {},
                     "sampleWeightColumn": "w"}, "no sample weights"),
        ("sklearn", {"algorithm": "Ridge", "hyperparameters": {}}, "holds labels"),
        ("sklearn", {"targetColumn": "sepal length (cm)", "featureColumns": ["petal width (cm)"]},
         "predicts classes"),
        ("sklearn", {"targetColumn": "lable"}, "target"),
        ("sklearn", {"crossValidation": {"folds": 60}}, "50"),
        ("sklearn", {"hyperparameters": {"class_weight": {"setossa": 2}}}, "no label"),
        ("xgboost", {"algorithm": "XGBRFClassifier"}, "framework 'sklearn'"),
        ("xgboost", {"algorithm": None, "hyperparameters": {"max_dept": 3}}, "max_depth"),
        ("xgboost", {"algorithm": None, "hyperparameters": {"early_stopping_rounds": 3}},
         "earlyStopping"),
        ("xgboost", {"algorithm": None, "hyperparameters": {"objective": "rank:ndcg"}}, "groups"),
        ("xgboost", {"algorithm": None, "hyperparameters": {"objective": "binary:logistic"}},
         "two classes"),
        ("xgboost", {"algorithm": None, "hyperparameters": {"n_estimators": 5}, "numRounds": 6},
         "twice"),
        ("xgboost", {"algorithm": "XGBRegressor", "hyperparameters":
                     {"objective": "binary:logistic"}}, "is for regression"),
        ("xgboost", {"algorithm": None, "hyperparameters": {"seed": 1}, "seed": 2}, "is 1"),
        ("lightgbm", {"algorithm": None, "hyperparameters": {"metric": "aucc"}}, "'auc'"),
        ("lightgbm", {"algorithm": None, "hyperparameters": {"num_class": 4,
                      "objective": "multiclass"}}, "has 3 classes"),
        ("lightgbm", {"algorithm": None, "hyperparameters": {"input_model": "x"}}, "command-line"),
        ("lightgbm", {"algorithm": None, "hyperparameters": {"bagging_fraction": 3}},
         "bagging_fraction"),
    ],
)  # fmt: skip
def test_refuses(framework: str, change: dict[str, Any], words: str, caller: Caller) -> None:
    config = {key: value for key, value in _with(FOREST, **change).items() if value is not None}
    error = caller.error("train", framework, config, outputDir="m")
    assert error["type"] == "invalid-configuration"
    assert words in f"{error['message']} {error['solution']} {error['metadata']}"
    assert not list((caller.base / "m").glob("model*")) if (caller.base / "m").exists() else True


def test_missing_values_are_refused_by_name_where_the_estimator_takes_none(caller: Caller) -> None:
    config = {"algorithm": "LogisticRegression", "dataPath": "data/large.csv",
              "targetColumn": "label", "featureColumns": ["x0", "x1", "x3"]}  # fmt: skip
    error = caller.error("train", "sklearn", config)
    assert error["type"] == "data-loading-error"
    assert "x1" in error["message"]
    assert "x3" in error["message"]
    caller.report("train", "sklearn", _with(config, algorithm="HistGradientBoostingClassifier",
                                            hyperparameters={"max_iter": 3}))  # fmt: skip


@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "lightgbm"])
def test_one_class_only_is_named(framework: str, caller: Caller) -> None:
    frame = pd.DataFrame({"a": range(20), "y": ["only"] * 20})
    frame.to_csv(caller.base / "one.csv", index=False)
    config: dict[str, Any] = {"dataPath": "one.csv", "targetColumn": "y"}
    if framework == "sklearn":
        config["algorithm"] = "LogisticRegression"
    error = caller.error("train", framework, config)
    assert error["type"] == "data-loading-error"
    assert "'only'" in error["message"]


def test_unknown_labels_of_a_test_set_are_named(caller: Caller) -> None:
    frame = pd.read_csv(caller.base / "data/iris.csv")
    frame.loc[3, "target"] = "tulip"
    frame.to_csv(caller.base / "test.csv", index=False)
    error = caller.error("train", "sklearn", _with(FOREST, testData="test.csv"))
    assert error["type"] == "data-loading-error"
    assert "'tulip'" in error["message"]


def test_the_librarys_own_error_keeps_its_words(caller: Caller) -> None:
    config = {"algorithm": "MultinomialNB", "dataPath": "data/diabetes.csv",
              "targetColumn": "sex", "featureColumns": ["age", "bmi"]}  # fmt: skip
    frame = pd.read_csv(caller.base / "data/diabetes.csv")
    frame["sex"] = np.where(frame["sex"] > 0, "f", "m")
    frame.to_csv(caller.base / "d.csv", index=False)
    error = caller.error("train", "sklearn", _with(config, dataPath="d.csv"))
    assert error["type"] == "training-failure"
    assert "Negative values" in error["message"]
    assert "MultinomialNB" in error["message"]


def test_warnings_of_the_library_are_in_the_report(caller: Caller) -> None:
    config = {"algorithm": "MLPClassifier", "hyperparameters": {"max_iter": 2},
              "dataPath": "data/iris.csv", "targetColumn": "target"}  # fmt: skip
    report = caller.report("train", "sklearn", config)
    assert any("ConvergenceWarning" in warning for warning in report["warnings"])


def test_a_gpu_that_is_not_used_is_said(caller: Caller) -> None:
    for framework, config in (("sklearn", FOREST), ("lightgbm", BOOSTED), ("xgboost", BOOSTED)):
        report = caller.report("train", framework, config, gpuEnabled=True)
        if not report["gpuUsed"]:
            assert any("gpuEnabled" in warning for warning in report["warnings"])


def test_class_weights_by_label(caller: Caller) -> None:
    config = {"algorithm": "LogisticRegression", "dataPath": "data/breast_cancer.csv",
              "targetColumn": "target",
              "hyperparameters": {"class_weight": {"0": 5, "1": 1}, "max_iter": 300}}  # fmt: skip
    caller.report("train", "sklearn", config, outputDir="m")
    model = pickle.loads((caller.base / "m/model.pkl").read_bytes())
    assert model.get_params()["class_weight"] == {0: 5, 1: 1}


def test_sample_weights(caller: Caller) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    config = {"algorithm": "LogisticRegression", "dataPath": "data/large.csv",
              "targetColumn": "label", "featureColumns": ["x0", "x2"],
              "sampleWeightColumn": "weight", "featureScaling": "standard"}  # fmt: skip
    caller.report("train", "sklearn", config, outputDir="m")
    model = pickle.loads((caller.base / "m/model.pkl").read_bytes())
    frame = pd.read_csv(caller.base / "data/large.csv")
    plain = make_pipeline(StandardScaler(), LogisticRegression(random_state=0)).fit(
        frame[["x0", "x2"]], frame["label"], logisticregression__sample_weight=frame["weight"]
    )
    np.testing.assert_array_equal(model.steps[-1][1].coef_, plain.steps[-1][1].coef_)


def test_groups_stay_together(caller: Caller) -> None:
    config = {"algorithm": "DecisionTreeClassifier", "dataPath": "data/large.csv",
              "targetColumn": "label", "featureColumns": ["x0", "x2"],
              "hyperparameters": {"max_depth": 2},
              "crossValidation": {"folds": 3, "groupColumn": "customer"}}  # fmt: skip
    report = caller.report("train", "sklearn", config)
    assert "grouped by customer" in report["metadata"]["crossValidation"]


# -- the directory ---------------------------------------------------------------------------------


def test_what_a_job_left_that_died_before_its_answer_is_no_obstacle(caller: Caller) -> None:
    caller.report("train", "sklearn", FOREST, outputDir="m")
    job_id = json.loads((caller.base / "m/run.json").read_text())["jobId"]
    report = caller.home / "jobs" / job_id / "report.json"
    report.write_text('{"executionReport": {}}')
    assert "already holds" in caller.error("train", "sklearn", FOREST, outputDir="m")["message"]
    report.write_text('{"error": {"type": "runner-crashed"}}')
    assert caller.report("train", "sklearn", FOREST, outputDir="m")["status"] == "success"


def test_another_runs_model_is_not_overwritten(caller: Caller) -> None:
    caller.report("train", "sklearn", FOREST, outputDir="m")
    before = (caller.base / "m/model.pkl").read_bytes()
    error = caller.error("train", "sklearn", _with(FOREST, dataPath="nowhere.csv"), outputDir="m")
    assert error["type"] == "invalid-configuration"
    assert "already holds model.pkl" in error["message"]
    assert error["nextCall"]["arguments"]["outputDir"] == "m-2"
    assert (caller.base / "m/model.pkl").read_bytes() == before
    report = caller.report("train", "xgboost", BOOSTED, outputDir="m", overwrite=True)
    assert report["framework"] == "xgboost"
    assert not (caller.base / "m/model.pkl").exists()
    assert not (caller.base / "m/model.pkl.meta.json").exists()


def test_a_foreign_model_is_not_overwritten_either(caller: Caller) -> None:
    (caller.base / "m").mkdir()
    (caller.base / "m/model.txt").write_text("mine")
    error = caller.error("train", "sklearn", FOREST, outputDir="m")
    assert "model.txt" in error["message"]


def test_what_a_failed_run_left_is_free(caller: Caller) -> None:
    caller.error("train", "sklearn", _with(FOREST, dataPath="nowhere.csv"), outputDir="m")
    assert json.loads((caller.base / "m/run.json").read_text())["status"] == "failed"
    caller.report("train", "sklearn", FOREST, outputDir="m")
    assert json.loads((caller.base / "m/run.json").read_text())["status"] == "succeeded"


# -- rounds ----------------------------------------------------------------------------------------


def test_divergence_says_round_and_rate_and_proposes_a_lower_one(caller: Caller) -> None:
    config = _with(BOOSTED, dataPath="data/diabetes.csv", numRounds=400,
                   hyperparameters={"eta": 1e7, "lambda": 0})  # fmt: skip
    error = caller.error("train", "xgboost", config)
    assert error["type"] == "training-diverged"
    assert error["metadata"]["round"] > 1
    assert error["metadata"]["lastValidLoss"] > 0
    assert error["metadata"]["learningRate"] == 1e7
    assert error["nextCall"]["arguments"]["config"]["hyperparameters"] == {"eta": 1e6, "lambda": 0}


def test_early_stopping_watches_the_metric_that_is_named(caller: Caller) -> None:
    shared = _with(BOOSTED, numRounds=300, validationSplit=0.3, seed=4)
    for framework, names in (("xgboost", ["logloss", "error"]),
                             ("lightgbm", ["binary_logloss", "binary_error"])):  # fmt: skip
        key = "eval_metric" if framework == "xgboost" else "metric"
        objective = "binary:logistic" if framework == "xgboost" else "binary"
        for name in names:
            config = _with(shared, hyperparameters={key: names, "objective": objective},
                           earlyStopping={"patience": 6, "metric": name})  # fmt: skip
            report = caller.report("train", framework, config, outputDir=f"{framework}-{name}")
            metadata = report["metadata"]
            assert metadata["earlyStopped"]
            with (caller.base / f"{framework}-{name}" / "metrics.csv").open() as file:
                rows = list(csv.DictReader(file))
            values = [float(row[f"val_{name}"]) for row in rows]
            assert metadata["bestRound"] == int(np.argmin(values)) + 1
            assert metadata["finalRound"] == metadata["bestRound"] + 6
    config = _with(shared, earlyStopping={"patience": 2, "metric": "logloss"})
    error = caller.error("train", "xgboost", config)
    assert "val_rmse" in error["solution"]


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])
def test_sampling_with_checkpoints_trains_in_segments(framework: str, caller: Caller) -> None:
    sampled = (
        {"subsample": 0.6} if framework == "xgboost" else
        {"bagging_fraction": 0.6, "bagging_freq": 1}
    )  # fmt: skip
    shared = _with(BOOSTED, numRounds=24, hyperparameters=sampled, seed=3)
    segmented = _with(shared, checkpoint=True, checkpointInterval=10)
    report = caller.report("train", framework, segmented, outputDir="segmented")
    assert any("segments of 10 rounds" in warning for warning in report["warnings"])
    caller.report("train", framework, segmented, outputDir="again")
    plain = caller.report("train", framework, shared, outputDir="plain")
    metrics = [
        (caller.base / name / "metrics.csv").read_text().splitlines()
        for name in ("segmented", "again", "plain")
    ]
    assert len(metrics[0]) == 25
    assert metrics[0] == metrics[1]
    # The first segment has the caller's seed, and so is what one plain call begins with.
    assert metrics[0][:11] == metrics[2][:11]
    assert metrics[0] != metrics[2]
    assert "warnings" not in plain or not any("segment" in w for w in plain["warnings"])
    assert report["metadata"]["finalRound"] == 24


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])
def test_cancelling_writes_a_checkpoint_from_which_the_rest_is_the_same(
    framework: str, caller: Caller, monkeypatch: Any
) -> None:
    config = _with(BOOSTED, numRounds=5000, hyperparameters={"max_depth": 3})
    job = caller.job("train", framework, config, outputDir="m")
    job.listen_for_cancel()
    timer = threading.Timer(1.0, lambda: signal.raise_signal(signal.SIGUSR1))
    started = threading.Event()
    step = job.progress

    def progress(unit: str, done: int, *rest: Any, **more: Any) -> None:
        step(unit, done, *rest, **more)
        if unit == "round" and done >= 20 and not started.is_set():
            started.set()
            signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(job, "progress", progress)
    try:
        with pytest.raises(errors.Cancelled) as caught:
            train.run(job)
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        job.release()
    last = caught.value.metadata["lastCheckpoint"]
    assert last["unit"] == "round"
    assert last["done"] >= 20
    saved = json.loads((caller.base / last["path"]).read_text())
    assert saved["done"] == last["done"]
    assert len(saved["state"]["history"][0][2]) == last["done"]
    (content,) = saved["files"].values()
    model = caller.base / "m" / "checkpoints" / content["file"]
    assert json.loads((caller.base / "m/run.json").read_text())["status"] == "failed"
    _continues_equally(framework, model, saved, caller)


def _continues_equally(framework: str, model: Path, saved: Any, caller: Caller) -> None:
    frame = pd.read_csv(caller.base / "data/breast_cancer.csv")
    X, y = frame.drop(columns="target"), frame["target"]
    parameters = {"max_depth": 3, "nthread": 1, "verbosity": 0 if framework == "xgboost" else -1}
    done = saved["done"]
    if framework == "xgboost":
        import xgboost

        matrix = xgboost.DMatrix(X, label=y)
        rest = xgboost.train(parameters, matrix, 5, xgb_model=str(model))
        whole = xgboost.train(parameters, matrix, done + 5)
        np.testing.assert_array_equal(rest.predict(matrix), whole.predict(matrix))
        return
    import lightgbm

    rest = lightgbm.train(parameters, lightgbm.Dataset(X, y), 5, init_model=str(model))
    whole = lightgbm.train(parameters, lightgbm.Dataset(X, y), done + 5)
    np.testing.assert_allclose(rest.predict(X), whole.predict(X), rtol=0, atol=1e-12)


def test_only_the_newest_checkpoints_are_kept(caller: Caller, monkeypatch: Any) -> None:
    monkeypatch.setattr("ml_runner.training.checkpoints.Checkpoints.due", lambda *_: True)
    config = _with(BOOSTED, numRounds=12, checkpoint=True, checkpointInterval=2)
    caller.report("train", "xgboost", config, outputDir="m")
    names = sorted(path.name for path in (caller.base / "m/checkpoints").iterdir())
    assert names == [
        "round-000008.json", "round-000008.ubj", "round-000010.json", "round-000010.ubj",
        "round-000012.json", "round-000012.ubj",
    ]  # fmt: skip
    caller.report("train", "xgboost", _with(BOOSTED, numRounds=2, checkpoint=False),
                  outputDir="m", overwrite=True)  # fmt: skip
    assert not (caller.base / "m/checkpoints").exists()


def test_column_names_that_the_library_refuses(caller: Caller) -> None:
    frame = pd.read_csv(caller.base / "data/iris.csv")
    frame.columns = ["a[1]", "b<2", 'c:"3"', "d,{4}", "target"]
    frame.to_csv(caller.base / "odd.csv", index=False)
    for framework in ("xgboost", "lightgbm"):
        config = _with(BOOSTED, dataPath="odd.csv")
        report = caller.report("train", framework, config, outputDir=framework)
        assert any("called otherwise" in warning for warning in report["warnings"])
        evaluated = caller.report("evaluate", "auto",
                                  {"modelPath": framework, "dataPath": "odd.csv"})  # fmt: skip
        assert evaluated["metrics"]["accuracy"] > 0.9


def test_a_small_forest_trains_quickly(caller: Caller) -> None:
    caller.report("train", "sklearn", FOREST)
    before = time.perf_counter()
    caller.report("train", "sklearn", FOREST)
    assert time.perf_counter() - before < 2
