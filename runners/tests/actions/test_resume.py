"""An interrupted training goes on, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.actions.calling import Caller
from tests.actions.interrupting import Runs


@pytest.fixture
def runs(tmp_path: Path, data: Path) -> Runs:
    base = tmp_path / "base"
    base.mkdir()
    (base / "data").symlink_to(data)
    return Runs(base, tmp_path / "home")


def _train(framework: str, output: str | None, **config: Any) -> dict[str, Any]:
    return {
        "action": "train",
        "framework": framework,
        "config": {"dataPath": "data/breast_cancer.csv", "targetColumn": "target", **config},
        **({"outputDir": output} if output else {}),
    }


def _same_report(whole: dict[str, Any], resumed: dict[str, Any]) -> None:
    assert resumed["metrics"] == whole["metrics"]
    assert resumed["framework"] == whole["framework"]
    assert set(resumed["artifacts"]) == set(whole["artifacts"])
    own = {"trainingTime", "trainingSeconds", "python", "resumedFrom"}
    own |= {"peakMemory", "peakMemoryBytes"}
    if whole["framework"] == "sklearn":
        # Equal arrays; which of their small parts a pickle shares is an accident.
        own |= {"modelSizeBytes", "modelSize"}
    before, after = (
        {key: value for key, value in report["metadata"].items() if key not in own}
        for report in (whole, resumed)
    )
    assert after == before
    assert resumed.get("warnings") == whole.get("warnings")


# -- boosting, killed ------------------------------------------------------------------------------

EARLY = {"numRounds": 5000, "validationSplit": 0.3,
         "earlyStopping": {"patience": 150, "minDelta": 1e-6}}  # fmt: skip
BOOSTING: dict[str, tuple[str, dict[str, Any]]] = {
    "xgboost": ("xgboost", {"hyperparameters": {"max_depth": 3}, "validationSplit": 0.3}),
    "xgboost-sampled": (
        "xgboost",
        {"hyperparameters": {"subsample": 0.6, "colsample_bynode": 0.5, "eta": 0.05},
         "checkpoint": True, "checkpointInterval": 20, "seed": 3},
    ),
    "xgboost-dart": (
        "xgboost",
        {"hyperparameters": {"booster": "dart", "rate_drop": 0.2, "max_depth": 2},
         "checkpoint": True, "checkpointInterval": 30},
    ),
    "xgboost-early": ("xgboost", {"hyperparameters": {"eta": 0.004, "max_depth": 2}, **EARLY}),
    "lightgbm": ("lightgbm", {"hyperparameters": {"num_leaves": 7}, "validationSplit": 0.3}),
    "lightgbm-sampled": (
        "lightgbm",
        {"hyperparameters": {"bagging_fraction": 0.6, "bagging_freq": 2, "feature_fraction": 0.5},
         "checkpoint": True, "checkpointInterval": 20},
    ),
    "lightgbm-dart": (
        "lightgbm",
        {"hyperparameters": {"boosting": "dart", "num_leaves": 5}, "checkpoint": True,
         "checkpointInterval": 30},
    ),
    "lightgbm-linear": (
        "lightgbm",
        {"hyperparameters": {"linear_tree": True, "num_leaves": 5}, "checkpoint": True,
         "checkpointInterval": 30},
    ),
    "lightgbm-early": ("lightgbm", {"hyperparameters": {"eta": 0.004, "num_leaves": 4}, **EARLY}),
}  # fmt: skip
MODEL = {"xgboost": "model.ubj", "lightgbm": "model.txt"}


@pytest.mark.parametrize("case", BOOSTING)
def test_killed_boosting_ends_with_the_same_model(case: str, runs: Runs) -> None:
    framework, config = BOOSTING[case]
    config = {"numRounds": 400, **config}
    whole = runs.report(_train(framework, "whole", **config), every=60)
    moment = random.randint(20, whole["metadata"]["finalRound"] // 3)
    started = runs.start(_train(framework, "cut", **config))
    started.wait_for("round", moment)
    error = started.kill()
    assert whole["metadata"].get("earlyStopped", True)
    assert error["type"] == "runner-crashed"
    assert error["nextCall"]["tool"] == "resume"
    assert error["nextCall"]["arguments"]["config"] == {"jobId": started.id}
    resumed = runs.report(runs.follow(error), every=60)
    _same_report(whole, resumed)
    assert resumed["metadata"]["resumedFrom"]["done"] > 0
    assert resumed["metadata"]["resumedFrom"]["jobId"] == started.id
    model = MODEL[framework]
    assert runs.sha256(f"cut/{model}") == runs.sha256(f"whole/{model}"), moment
    assert runs.sha256("cut/metrics.csv") == runs.sha256("whole/metrics.csv")


def test_resumed_again_and_again_by_the_id_of_any_of_its_jobs(runs: Runs) -> None:
    framework, config = BOOSTING["xgboost-sampled"]
    config = {**config, "numRounds": 600, "crossValidation": {"folds": 3}}
    whole = runs.report(_train(framework, "whole", **config), every=60)
    first = runs.start(_train(framework, None, **config))
    first.wait_for("round", 60)
    first.kill()
    second = runs.start({"action": "resume", "config": {"jobId": first.id}})
    second.wait_for("round", 160)
    error = second.cancel()
    assert error["type"] == "cancelled"
    third = runs.start({"action": "resume", "config": {"jobId": second.id}, "outputDir": "third"})
    third.wait_for("round", 260)
    third.kill()
    done = runs.report({"action": "resume", "config": {"jobId": third.id}})
    assert done["metadata"]["resumedFrom"]["done"] >= 240
    assert done["outputDir"] == "third"
    _same_report(whole, done)
    assert runs.sha256("third/model.ubj") == runs.sha256("whole/model.ubj")
    # What went on elsewhere is where it was: the first job's own directory can be resumed too.
    again = runs.report({"action": "resume", "config": {"jobId": first.id}})
    _same_report(whole, again)
    model = next(iter((runs.home / "jobs" / first.id / "artifacts").glob("model.ubj")))
    assert model.read_bytes() == (runs.base / "whole/model.ubj").read_bytes()


# -- scikit-learn ----------------------------------------------------------------------------------

SKLEARN: dict[str, dict[str, Any]] = {
    "forest": {"algorithm": "RandomForestClassifier",
               "hyperparameters": {"n_estimators": 2500, "max_depth": 5}},
    "gradient": {
        "algorithm": "GradientBoostingClassifier",
        "hyperparameters": {"n_estimators": 300, "subsample": 0.6, "max_features": "sqrt"},
    },
    "histogram": {
        "algorithm": "HistGradientBoostingClassifier",
        "hyperparameters": {"max_iter": 60, "max_leaf_nodes": 8},
    },
    "network": {
        "algorithm": "MLPClassifier",
        "hyperparameters": {"hidden_layer_sizes": [300, 100], "max_iter": 40, "tol": 0.0,
                            "n_iter_no_change": 1000},
        "featureScaling": "standard",
    },
    "linear": {
        "algorithm": "SGDClassifier",
        "hyperparameters": {"max_iter": 400, "loss": "log_loss", "average": True},
        "featureScaling": "standard",
    },
}  # fmt: skip
UNIT = {"network": "epoch", "linear": "epoch"}


def _state_of(estimator: Any) -> list[np.ndarray]:
    """Every array in a fitted estimator, trees included."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    found: list[np.ndarray] = []

    def walk(value: Any) -> None:
        if isinstance(value, np.ndarray) and value.dtype != object:
            found.append(value)
        elif isinstance(value, (list, tuple, np.ndarray)):
            for one in np.ravel(value) if isinstance(value, np.ndarray) else value:
                walk(one)
        elif hasattr(value, "tree_"):
            found.append(value.tree_.__getstate__()["nodes"])
            found.append(value.tree_.value)
        elif hasattr(value, "nodes"):
            found.append(value.nodes)

    for name, value in sorted(vars(last).items()):
        if name not in ("_random_state", "_optimizer", "_rng"):
            walk(value)
    return found


@pytest.mark.parametrize("case", SKLEARN)
def test_killed_estimators_end_as_if_they_had_not_been(case: str, runs: Runs) -> None:
    config = {**SKLEARN[case], "checkpoint": True, "dataPath": "data/digits.csv"}
    whole = runs.report(_train("sklearn", "whole", **config), every=60)
    started = runs.start(_train("sklearn", "cut", **config), every=0.1)
    started.wait_for(UNIT.get(case, "tree"), 5)
    error = started.kill()
    resumed = runs.report(runs.follow(error), every=60)
    _same_report(whole, resumed)
    assert resumed["metadata"]["resumedFrom"]["unit"] == UNIT.get(case, "tree")
    models = [
        pickle.loads((runs.base / name / "model.pkl").read_bytes()) for name in ("whole", "cut")
    ]
    arrays = [_state_of(model) for model in models]
    assert len(arrays[0]) == len(arrays[1]) > 0
    for one, other in zip(*arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    # Nothing can be added to it, so nothing is kept.
    assert not (runs.base / "cut" / "checkpoints").exists()


def test_a_cancelled_forest_keeps_what_it_had(runs: Runs) -> None:
    config = {**SKLEARN["forest"], "dataPath": "data/digits.csv"}
    config["hyperparameters"] = {"n_estimators": 100_000, "max_depth": 2}
    started = runs.start(_train("sklearn", "m", **config), every=3600)
    while not any(e["type"] == "progress" and e["done"] >= 100 for e in started.events()):
        pass
    error = started.cancel()
    assert error["type"] == "cancelled"
    assert error["metadata"]["lastCheckpoint"]["done"] >= 100
    again = runs.start(runs.follow(error), every=3600)
    again.wait_for("tree", error["metadata"]["lastCheckpoint"]["done"] + 1)
    assert again.cancel()["metadata"]["lastCheckpoint"]["done"] > 100


def test_folds_that_are_done_are_not_done_again(runs: Runs) -> None:
    config = {"algorithm": "SVC", "crossValidation": {"folds": 8}, "dataPath": "data/digits.csv",
              "hyperparameters": {"C": 0.5, "probability": True}}  # fmt: skip
    whole = runs.report(_train("sklearn", "whole", **config))
    started = runs.start(_train("sklearn", "cut", **config))
    started.wait_for("fold", 4)
    error = started.cancel()
    assert error["metadata"]["lastCheckpoint"]["unit"] == "fold"
    assert error["metadata"]["lastCheckpoint"]["done"] >= 4
    resumed = runs.start(runs.follow(error))
    answer = resumed.answer()["executionReport"]
    _same_report(whole, answer)
    folds = [e["done"] for e in resumed.events() if e["type"] == "progress" and e["unit"] == "fold"]
    assert min(folds) > error["metadata"]["lastCheckpoint"]["done"]


# -- more rounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["xgboost", "xgboost-sampled", "lightgbm", "lightgbm-sampled"])
def test_a_finished_training_goes_on_to_a_larger_total(case: str, caller: Caller) -> None:
    framework, config = BOOSTING[case]
    config = {**_train(framework, None)["config"], **config}
    caller.report("train", framework, {**config, "numRounds": 70}, outputDir="whole")
    caller.report("train", framework, {**config, "numRounds": 45}, outputDir="grown")
    error = caller.error("resume", "auto", {"runDir": "grown", "numRounds": 30})
    assert error["type"] == "invalid-configuration"
    report = caller.report("resume", "auto", {"runDir": "grown", "numRounds": 70})
    assert report["metadata"]["rounds"] == report["metadata"]["finalRound"] == 70
    model = MODEL[framework]
    assert (caller.base / "grown" / model).read_bytes() == (
        caller.base / "whole" / model
    ).read_bytes()
    evaluated = caller.report("evaluate", "auto",
                              {"modelPath": "grown", "dataPath": config["dataPath"]})  # fmt: skip
    assert evaluated["metrics"]["r2"] > 0.8


def test_more_rounds_for_one_that_stopped_early_change_nothing(caller: Caller) -> None:
    framework, config = BOOSTING["xgboost-early"]
    config = {**_train(framework, None)["config"], **config, "numRounds": 900}
    config["hyperparameters"] = {"eta": 0.3}
    config["earlyStopping"] = {"patience": 5}
    before = caller.report("train", framework, config, outputDir="m")
    assert before["metadata"]["earlyStopped"]
    report = caller.report("resume", framework, {"runDir": "m", "numRounds": 2000})
    assert report["metadata"]["finalRound"] == before["metadata"]["finalRound"]
    assert any("stopped early" in warning for warning in report["warnings"])


# -- what has changed, what is broken --------------------------------------------------------------

LONG = {"numRounds": 30, "checkpoint": True}


def _interrupted(caller: Caller, monkeypatch: Any, **config: Any) -> str:
    """The id of a job that failed after its training, with checkpoints at 10 and 20 rounds."""
    monkeypatch.setenv("ML_EXECUTOR_CHECKPOINT_SECONDS", "0")
    job = caller.job("train", "xgboost", {**_train("xgboost", None)["config"], **LONG,
                     "checkpointInterval": 10, **config}, outputDir="m")  # fmt: skip
    from ml_runner.actions import train

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("ml_runner.training.saving.save_model", broken)
        with pytest.raises(OSError):
            train.run(job)
    job.release()
    (job.directory / "report.json").write_text("{}")
    return job.id


def test_a_torn_checkpoint_is_passed_over(caller: Caller, monkeypatch: Any) -> None:
    job_id = _interrupted(caller, monkeypatch)
    checkpoints = caller.base / "m/checkpoints"
    whole = checkpoints / "round-000030.ubj"
    whole.write_bytes(whole.read_bytes()[:-100])
    report = caller.report("resume", "auto", {"jobId": job_id})
    assert report["metadata"]["resumedFrom"]["done"] == 20
    assert report["metadata"]["finalRound"] == 30
    assert any("round-000030" in w and "damaged" in w for w in report["warnings"])


def test_without_a_whole_checkpoint_the_same_call_is_proposed(
    caller: Caller, monkeypatch: Any
) -> None:
    job_id = _interrupted(caller, monkeypatch)
    for path in (caller.base / "m/checkpoints").glob("*.json"):
        path.write_text(path.read_text()[:200])
    error = caller.error("resume", "auto", {"jobId": job_id})
    assert error["type"] == "model-loading-error"
    assert error["nextCall"]["tool"] == "train"
    call = dict(error["nextCall"]["arguments"])
    caller.report("train", call.pop("framework"), call.pop("config"), **call)


def test_a_checkpoint_of_unknown_origin(caller: Caller, monkeypatch: Any) -> None:
    _interrupted(caller, monkeypatch)
    path = caller.base / "m/checkpoints/round-000020.json"
    record = json.loads(path.read_text())
    record["seconds"] = 0.5
    path.write_text(json.dumps(record))
    # Numbers alone are harmless; a script or a pickle is not.
    report = caller.report("resume", "auto", {"checkpointPath": str(path)}, outputDir="other")
    assert report["metadata"]["resumedFrom"]["done"] == 20
    record["files"] = {"pkl": record["files"]["ubj"]}
    record["run"]["framework"] = "sklearn"
    path.write_text(json.dumps(record))
    error = caller.error("resume", "auto", {"checkpointPath": str(path)}, outputDir="third")
    assert error["type"] == "model-loading-error"
    assert error["metadata"]["key"] == "config.allowPickle"


def test_changed_data_and_columns(caller: Caller, monkeypatch: Any) -> None:
    frame = pd.read_csv(caller.base / "data/breast_cancer.csv")
    path = caller.base / "mine.csv"
    frame.to_csv(path, index=False)
    job_id = _interrupted(caller, monkeypatch, dataPath="mine.csv")
    frame.drop(columns=frame.columns[0]).to_csv(path, index=False)
    error = caller.error("resume", "auto", {"jobId": job_id})
    assert error["type"] == "data-loading-error"
    assert frame.columns[0] in error["message"]
    frame.iloc[:-7].to_csv(path, index=False)
    report = caller.report("resume", "auto", {"jobId": job_id})
    assert any("569 → 562 rows" in warning for warning in report["warnings"])


def test_other_versions_and_a_changed_script_are_told(caller: Caller, monkeypatch: Any) -> None:
    _interrupted(caller, monkeypatch)
    path = caller.base / "m/checkpoints/round-000030.json"
    record = json.loads(path.read_text())
    record["run"]["versions"]["numpy"] = "1.0.0"
    record["run"]["script"] = {"model.py": "0"}
    path.write_text(json.dumps(record))
    report = caller.report("resume", "auto", {"runDir": "m"})
    assert any("numpy 1.0.0" in warning for warning in report["warnings"])
    assert any("modelScript" in warning for warning in report["warnings"])


# -- what is refused -------------------------------------------------------------------------------


def test_refusals_name_what_to_do(caller: Caller, monkeypatch: Any) -> None:
    error = caller.error("resume", "auto", {"jobId": "nobody"})
    assert error["type"] == "job-not-found"
    error = caller.error("resume", "auto", {"jobId": "../../etc"})
    assert error["type"] == "job-not-found"
    error = caller.error("resume", "auto", {"runDir": "nowhere"})
    assert error["type"] == "invalid-configuration"
    error = caller.error("resume", "auto", {"checkpointPath": "nowhere.json"})
    assert error["type"] == "model-loading-error"
    job_id = _interrupted(caller, monkeypatch)
    error = caller.error("resume", "lightgbm", {"jobId": job_id})
    assert error["metadata"]["key"] == "framework"
    assert error["nextCall"]["arguments"]["framework"] == "xgboost"
    error = caller.error("resume", "auto", {"jobId": job_id, "epochs": 50})
    assert error["metadata"]["key"] == "config.epochs"
    caller.report("resume", "auto", {"jobId": job_id})
    error = caller.error("resume", "auto", {"jobId": job_id})
    assert "complete" in error["message"]
    assert "numRounds" in error["solution"]
    other = caller.job("evaluate", "auto", {"modelPath": "m"})
    (other.directory / "report.json").write_text("{}")
    error = caller.error("resume", "auto", {"jobId": other.id})
    assert "evaluate" in error["message"]


def test_a_job_that_goes_on_is_not_resumed(caller: Caller) -> None:
    job = caller.job("train", "sklearn", {"algorithm": "SVC"})
    error = caller.error("resume", "auto", {"jobId": job.id})
    assert error["metadata"]["state"] == "queued"
    assert error["nextCall"]["tool"] == "job-status"


def test_jobs_of_others_are_not_seen(caller: Caller, monkeypatch: Any) -> None:
    job_id = _interrupted(caller, monkeypatch)
    job = caller.job("resume", "auto", {"jobId": job_id})
    job.record["principal"] = "somebody"
    from ml_runner import errors
    from ml_runner.actions import resume

    with pytest.raises(errors.JobNotFound) as raised:
        resume.run(job)
    assert job_id not in raised.value.solution


def test_a_job_without_a_checkpoint_is_to_be_called_again(caller: Caller) -> None:
    config = {**_train("sklearn", None)["config"], "algorithm": "SVC"}
    job = caller.job("train", "sklearn", config)
    (job.directory / "report.json").write_text("{}")
    error = caller.error("resume", "auto", {"jobId": job.id})
    assert error["type"] == "invalid-configuration"
    same = {"framework": "sklearn", "config": config}
    assert error["nextCall"] == {"tool": "train", "arguments": same}
    for name in ("RandomForest", "XGBoost", "LightGBM"):
        assert name in error["solution"]


@pytest.mark.parametrize(
    ("framework", "config"),
    [
        ("sklearn", {"algorithm": "SVC"}),
        ("sklearn", {"algorithm": "MLPClassifier", "hyperparameters": {"early_stopping": True}}),
        ("lightgbm", {"hyperparameters": {"boosting": "rf", "bagging_freq": 1,
                                          "bagging_fraction": 0.5}}),
    ],
    ids=["svc", "stopping", "rf"],
)  # fmt: skip
def test_checkpoint_is_refused_where_it_cannot_be(
    framework: str, config: dict[str, Any], caller: Caller
) -> None:
    config = {**_train(framework, None)["config"], **config, "checkpoint": True}
    error = caller.error("train", framework, config)
    assert error["metadata"]["key"] == "config.checkpoint"
    assert "checkpoint" not in error["nextCall"]["arguments"]["config"]


def test_a_linear_booster_says_that_it_is_not_exact(caller: Caller) -> None:
    config = {**_train("xgboost", None)["config"], "hyperparameters": {"booster": "gblinear"},
              "checkpoint": True}  # fmt: skip
    report = caller.report("train", "xgboost", config, threads=2)
    assert report["metadata"]["resume"].startswith("not exact")
    report = caller.report("train", "xgboost", config, threads=1)
    assert "resume" not in report["metadata"]


# -- soak ------------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize("case", ["xgboost-sampled", "lightgbm-sampled"])
def test_ten_kills_at_random_rounds(case: str, runs: Runs) -> None:
    framework, config = BOOSTING[case]
    config = {**config, "numRounds": 1500}
    seed = int(os.environ.get("ML_EXECUTOR_SOAK_SEED") or random.randrange(1_000_000))
    drawn = random.Random(seed)
    moments = sorted(drawn.sample(range(30, 1400), 10))
    print(f"seed {seed}: {case} killed at the rounds {moments}")
    whole = runs.report(_train(framework, "whole", **config), every=60)
    request = _train(framework, "cut", **config)
    for moment in moments:
        started = runs.start(request)
        started.wait_for("round", moment)
        request = runs.follow(started.kill())
    resumed = runs.report(request)
    _same_report(whole, resumed)
    model = MODEL[framework]
    assert runs.sha256(f"cut/{model}") == runs.sha256(f"whole/{model}"), seed
