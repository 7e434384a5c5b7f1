"""A fine-tuning equals a plain PyTorch loop, and a killed one ends as if nothing had happened."""

from __future__ import annotations

import importlib.util
import random
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from ml_runner.data.describe import describe
from tests.actions import plainly
from tests.actions.interrupting import Runs
from tests.data.samples.digits import write_digits
from tests.pytorch.conftest import MODELS

_TOLERANCE = 1e-6
_TRAINED = {"lossFunction": "cross_entropy", "targetColumn": "target", "epochs": 2}


@pytest.fixture(scope="module")
def halves(data: Path) -> None:
    """The digits below five in one table, all of them (half the rows) in another."""
    frame = pd.read_csv(data / "digits.csv")
    frame[frame["target"] < 5].to_csv(data / "low_digits.csv", index=False)
    frame.iloc[::2].to_csv(data / "half_digits.csv", index=False)
    frame.iloc[1::2].to_csv(data / "other_half.csv", index=False)


def _pretrained(runs: Runs, script: str, table: str, output: str, **config: Any) -> None:
    runs.report(
        {"action": "train", "framework": "pytorch", "outputDir": output, "gpuEnabled": False,
         "config": {**_TRAINED, "modelScript": f"{script}.py", "dataPath": f"data/{table}",
                    **config}}
    )  # fmt: skip


def _fine_tune(config: dict[str, Any], output: str = "out") -> dict[str, Any]:
    return {"action": "fine-tune", "framework": "pytorch", "config": config,
            "outputDir": output, "gpuEnabled": False}  # fmt: skip


# (what was trained before, the fine-tuning's own config, the plain loop's case)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "further, with frozen layers, rates by layer, and the scaling of its training": (
        {"script": "mlp", "table": "half_digits.csv", "featureScaling": "standard",
         "validationSplit": 0.25},
        {"dataPath": "data/other_half.csv", "freezeLayers": ["body.0-1"],
         "layerLearningRates": {"head": 0.005}},
        {"data": "other_half.csv", "script": "mlp", "class": "MLP",
         "scaled_as": {"data": "half_digits.csv", "split": 0.25},
         "facts": {"in_features": 64, "num_classes": 10}, "frozen": ["body.0.", "body.1."],
         "still": ["body.1"], "rates": {"head.": 0.005}},
    ),
    "a new output layer, made by num_classes": (
        {"script": "mlp", "table": "low_digits.csv"},
        {"dataPath": "data/half_digits.csv", "seed": 3, "freezeLayers": ["body"]},
        {"data": "half_digits.csv", "script": "mlp", "class": "MLP", "seed": 3,
         "facts": {"in_features": 64, "num_classes": 10}, "fresh": ["head.weight", "head.bias"],
         "frozen": ["body."], "still": ["body.1"]},
    ),
    "a new output layer in the place of one of fixed size": (
        {"script": "five", "table": "low_digits.csv"},
        {"dataPath": "data/half_digits.csv", "layerLearningRates": {"body": 1e-4}},
        {"data": "half_digits.csv", "script": "five", "class": "Five",
         "facts": {"in_features": 64}, "replace": "out", "outputs": 10, "rates": {"body.": 1e-4}},
    ),
    "weights of unknown origin, a new output layer": (
        {"script": "mlp", "table": "low_digits.csv"},
        {"dataPath": "data/half_digits.csv", "modelScript": "mlp.py", "targetColumn": "target",
         "lossFunction": "cross_entropy", "pretrainedModel": "bare.pt"},
        {"data": "half_digits.csv", "script": "mlp", "class": "MLP",
         "facts": {"in_features": 64, "num_classes": 10}, "fresh": ["head.weight", "head.bias"]},
    ),
}  # fmt: skip


@pytest.mark.usefixtures("halves")
@pytest.mark.parametrize("name", CASES)
def test_losses_and_weights_are_those_of_a_plain_loop(name: str, runs: Runs, data: Path) -> None:
    before, config, plain = CASES[name]
    _pretrained(runs, output="base", **before)
    weights = runs.base / "base" / "best_model.pt"
    (runs.base / "bare.pt").write_bytes(weights.read_bytes())
    report = runs.report(
        _fine_tune({"pretrainedModel": "base", "epochs": 4, "batchSize": 32, "learningRate": 0.002,
                    "scheduler": "cosine_annealing", "validationSplit": 0.2, **config})
    )  # fmt: skip
    metadata = report["metadata"]
    case = {"target": "target", "batch": 32, "epochs": 4, "lr": 0.002, "split": 0.2,
            "weights": str(weights), "threads": metadata["threads"], **plain}  # fmt: skip
    (expected,) = plainly.run("pytorch_fine_tune_plain.py", data, [case])
    for metric, value in expected["history"][-1].items():
        part, _, short = metric.partition("_")
        part = {"val": "validation"}.get(part, part)
        series = [epoch[metric] for epoch in expected["history"]]
        assert report["metrics"][part][short] == pytest.approx(
            series, rel=_TOLERANCE, abs=_TOLERANCE
        ), metric
        assert report["metrics"][metric] == pytest.approx(value, rel=_TOLERANCE, abs=_TOLERANCE)
    trained = torch.load(runs.base / "out" / "last_model.pt", weights_only=True)
    for tensor, size in expected["weights"].items():
        assert float(trained[tensor].double().abs().sum()) == pytest.approx(size, rel=1e-5), tensor
    # What was frozen has the bits that it had, running statistics included.
    frozen = [key for key in trained if key.startswith(tuple(plain.get("frozen", ["-"])))]
    earlier = torch.load(weights, weights_only=True)
    assert all(torch.equal(trained[key], earlier[key]) for key in frozen)
    assert expected["unchanged"]
    assert metadata["trainableParameters"] == expected["trainable"]
    assert metadata["pretrained"].get("newTensors", []) == (
        plain.get("fresh") or (["out.weight", "out.bias"] if "replace" in plain else [])
    )


@pytest.mark.usefixtures("halves")
@pytest.mark.parametrize("script", ["mlp", "five"])
def test_a_killed_fine_tuning_ends_with_the_same_bits(
    script: str, runs: Runs, request: pytest.FixtureRequest
) -> None:
    seed = random.randrange(10**9)
    print(f"{request.node.name}: random seed {seed}")
    _pretrained(runs, script, "low_digits.csv", "base", featureScaling="minmax")
    body = "body.0-1" if script == "mlp" else "body"
    config = {
        "pretrainedModel": "base", "dataPath": "data/digits.csv", "epochs": 3, "batchSize": 8,
        "freezeLayers": [body], "checkpointSteps": 7, "validationSplit": 0.2,
        "scheduler": "one_cycle", "learningRate": 0.01,
        "layerLearningRates": {"head" if script == "mlp" else "out": 0.02},
    }  # fmt: skip
    whole = runs.report(_fine_tune(config, "whole"))
    started = runs.start(_fine_tune(config))
    started.wait_for("epoch", random.Random(seed).uniform(0, 2.5))
    error = started.kill()
    call = runs.follow(error)
    assert call["action"] == "resume"
    report = runs.report(call)
    assert report["metrics"] == whole["metrics"]
    assert report["metadata"]["frozen"] == whole["metadata"]["frozen"]
    assert "resumedFrom" in report["metadata"]
    for name in ("best_model.pt", "last_model.pt"):
        one, two = (
            torch.load(runs.base / output / name, weights_only=True) for output in ("whole", "out")
        )
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name
    # The result needs nothing of what it was made from.
    evaluated = runs.report(
        {"action": "evaluate", "framework": "auto",
         "config": {"modelPath": "out", "dataPath": "data/other_half.csv"}}
    )  # fmt: skip
    assert evaluated["metrics"]["accuracy"] > 0.5


def _state(runs: Runs, path: str) -> dict[str, torch.Tensor]:
    return torch.load(runs.base / path, weights_only=True)


def test_images_are_read_as_in_the_first_training(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_digits(runs.base / "few", count=150)
    for folder in (runs.base / "few").iterdir():
        if folder.name > "digit_4":
            shutil.rmtree(folder)
    write_digits(runs.base / "all" / "train", first=200, count=200)
    write_digits(runs.base / "all" / "val", first=400, count=60)
    runs.report(
        {"action": "train", "framework": "pytorch", "outputDir": "base", "gpuEnabled": False,
         "config": {"modelScript": "resnet.py", "modelClass": "ResNet", "modelArgs": {"width": 4},
                    "dataPath": "few", "colorMode": "grayscale", "imageSize": 10,
                    "normalize": {"mean": [0.5], "std": [0.5]}, "epochs": 1, "numWorkers": 0}}
    )  # fmt: skip
    config = {"pretrainedModel": "base/last_model.pt", "dataPath": "all", "epochs": 1,
              "freezeLayers": ["stem", "blocks.0"], "numWorkers": 0, "weightDecay": 0.1,
              "optimizer": "adamw", "mixedPrecision": "bf16",
              "gradientCheckpointing": ["blocks.0", "blocks.1"]}  # fmt: skip
    report = runs.report(_fine_tune(config))
    metadata = report["metadata"]
    assert metadata["inputShape"] == [1, 10, 10]
    assert metadata["classes"] == 10
    assert metadata["validationSamples"] == 60
    assert metadata["pretrained"]["newTensors"] == ["head.2.weight", "head.2.bias"]
    before, after = _state(runs, "base/last_model.pt"), _state(runs, "out/last_model.pt")
    kept = {name for name in before if name.startswith(("stem.", "blocks.0."))}
    assert any("running_mean" in name for name in kept)
    assert kept == {name for name in before if torch.equal(before[name], after[name])}
    evaluated = runs.report(
        {"action": "evaluate", "framework": "auto",
         "config": {"modelPath": "out", "dataPath": "all/val"}}
    )  # fmt: skip
    assert evaluated["metadata"]["samplesEvaluated"] == 60
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(runs.home))
    told = describe({"path": "out"}, str(runs.base), None)
    assert told["described"]
    assert told["inputs"] == [{"name": "inputs", "shape": [1, 10, 10]}]
    assert told["parameters"]["pretrainedModel"] == "base/last_model.pt"


_OWN = """
import torch
from sklearn.datasets import load_digits
from mlp import MLP

def build_datasets(config):
    X, y = load_digits(n_class=config["modelArgs"]["classes"], return_X_y=True)
    return torch.utils.data.TensorDataset(torch.from_numpy(X).float(), torch.from_numpy(y))

def build_model(classes):
    return MLP(64, classes)
"""


def test_a_script_builds_its_data_sets_here_too(runs: Runs) -> None:
    (runs.base / "own.py").write_text(_OWN)
    runs.report(
        {"action": "train", "framework": "pytorch", "outputDir": "base", "gpuEnabled": False,
         "config": {"modelScript": "own.py", "modelArgs": {"classes": 5}, "epochs": 2}}
    )  # fmt: skip
    report = runs.report(_fine_tune({"pretrainedModel": "base", "epochs": 1}))
    assert report["metadata"]["pretrained"]["tensorsTaken"] == len(
        _state(runs, "base/best_model.pt")
    )
    assert report["metadata"]["samplesProcessed"] == 901
    assert report["metadata"]["defaults"]["modelArgs"] == {"classes": 5}


def test_safetensors_with_a_head_for_numbers_and_a_pretrained_model_that_has_gone(
    runs: Runs,
) -> None:
    torch.manual_seed(1)
    saved = {"module." + name: tensor for name, tensor in _mlp(5).state_dict().items()}
    save_file(saved, runs.base / "w.safetensors")
    config = {
        "pretrainedModel": "w.safetensors", "modelScript": "mlp.py", "dataPath": "data/iris.csv",
        "targetColumn": "petal width (cm)", "epochs": 30, "batchSize": 4, "checkpointSteps": 2,
        "featureColumns": ["sepal length (cm)", "sepal width (cm)", "petal length (cm)"],
        "modelArgs": {"num_classes": 1}, "validationSplit": 0.2, "freezeLayers": ["body.4"],
    }  # fmt: skip
    whole = runs.report(_fine_tune(config, "whole"))
    assert whole["metadata"]["task"] == "regression"
    assert whole["metadata"]["pretrained"] == {
        "path": "w.safetensors", "tensorsTaken": 9, "newTensors": ["head.weight", "head.bias"],
        "outputsBefore": 5,
    }  # fmt: skip
    assert any("begin with 'module.'" in warning for warning in whole["warnings"])
    started = runs.start(_fine_tune(config))
    started.wait_for("epoch", 1)
    call = runs.follow(started.kill())
    (runs.base / "w.safetensors").rename(runs.base / "moved.safetensors")
    error = runs.answer(call)["error"]
    assert error["type"] == "model-loading-error"
    assert error["metadata"]["key"] == "config.pretrainedModel"
    assert "w.safetensors" in error["message"]
    # Other weights come too late to change anything but what is said.
    save_file({name: tensor + 1 for name, tensor in saved.items()}, runs.base / "w.safetensors")
    report = runs.report(call)
    assert report["metrics"] == whole["metrics"]
    assert any("w.safetensors' has changed" in warning for warning in report["warnings"])


def _mlp(outputs: int) -> torch.nn.Module:
    spec = importlib.util.spec_from_file_location("mlp_of_test", MODELS / "mlp.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MLP(3, outputs)
