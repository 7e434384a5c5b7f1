"""A training equals a plain PyTorch loop on the same seed and order of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.actions import plainly
from tests.actions.interrupting import Runs

_TOLERANCE = 1e-6

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an MLP on a table": (
        {"data": "wine.csv", "target": "target", "script": "mlp", "class": "MLP", "scale": True,
         "args": {"dropout": 0.2}, "split": 0.25, "batch": 16, "epochs": 6,
         "optimizer_args": {"lr": 0.01}, "clip": 1.0, "scheduler": "CosineAnnealingLR",
         "scheduler_args": {"T_max": 6}},
        {"dataPath": "data/wine.csv", "targetColumn": "target", "modelScript": "mlp.py",
         "modelArgs": {"dropout": 0.2}, "featureScaling": "standard", "validationSplit": 0.25,
         "batchSize": 16, "epochs": 6, "learningRate": 0.01, "lossFunction": "cross_entropy",
         "gradientClipping": 1.0, "scheduler": "cosine_annealing"},
    ),
    "an MLP for numbers": (
        {"data": "diabetes.csv", "target": "target", "script": "mlp", "class": "MLP",
         "scale": True, "regression": True, "split": 0.2, "batch": 30, "epochs": 5, "seed": 7,
         "optimizer": "AdamW", "optimizer_args": {"weight_decay": 0.1}},
        {"dataPath": "data/diabetes.csv", "targetColumn": "target", "modelScript": "mlp.py",
         "modelClass": "MLP", "featureScaling": "standard", "validationSplit": 0.2,
         "batchSize": 30, "epochs": 5, "seed": 7, "optimizer": "adamw", "weightDecay": 0.1},
    ),
    "a CNN on images": (
        {"data": "digits_images", "script": "resnet", "class": "ResNet", "grey": True,
         "split": 0.2, "batch": 32, "epochs": 2, "optimizer": "SGD",
         "optimizer_args": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
         "scheduler": "StepLR", "scheduler_args": {"step_size": 1, "gamma": 0.1}},
        {"dataPath": "data/digits_images", "modelScript": "resnet.py", "modelClass": "ResNet",
         "colorMode": "grayscale", "validationSplit": 0.2, "batchSize": 32, "epochs": 2,
         "optimizer": "sgd", "learningRate": 0.1, "momentum": 0.9, "weightDecay": 1e-4,
         "scheduler": "step_lr", "numWorkers": 2},
    ),
    "a CNN in bf16, clipped": (
        {"data": "digits_images", "script": "resnet", "class": "ResNet", "grey": True,
         "split": 0.2, "batch": 32, "epochs": 3, "bf16": True, "clip": 0.5,
         "optimizer_args": {"lr": 0.01}},
        {"dataPath": "data/digits_images", "modelScript": "resnet.py", "modelClass": "ResNet",
         "colorMode": "grayscale", "validationSplit": 0.2, "batchSize": 32, "epochs": 3,
         "mixedPrecision": "bf16", "gradientClipping": 0.5, "learningRate": 0.01},
    ),
    "numbers in bf16": (
        {"data": "diabetes.csv", "target": "target", "script": "mlp", "class": "MLP",
         "scale": True, "regression": True, "split": 0.2, "batch": 30, "epochs": 5, "bf16": True},
        {"dataPath": "data/diabetes.csv", "targetColumn": "target", "modelScript": "mlp.py",
         "featureScaling": "standard", "validationSplit": 0.2, "batchSize": 30, "epochs": 5,
         "mixedPrecision": "bf16"},
    ),
    "a transformer": (
        {"data": "digits.csv", "target": "target", "script": "transformer",
         "class": "Transformer", "split": 0.25, "batch": 64, "epochs": 2, "seed": 1,
         "loss": {"label_smoothing": 0.1}, "optimizer_args": {"lr": 0.002}},
        {"dataPath": "data/digits.csv", "targetColumn": "target", "modelScript": "transformer.py",
         "validationSplit": 0.25, "batchSize": 64, "epochs": 2, "seed": 1,
         "lossFunction": "cross_entropy", "labelSmoothing": 0.1, "learningRate": 0.002},
    ),
}  # fmt: skip


def _near(value: Any) -> Any:
    return pytest.approx(value, rel=_TOLERANCE, abs=_TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_losses_and_accuracies_of_each_epoch_are_those_of_a_plain_loop(
    name: str, runs: Runs, data: Path
) -> None:
    plain, config = CASES[name]
    report = runs.report(
        {"action": "train", "framework": "pytorch", "config": config, "gpuEnabled": False,
         "outputDir": "out"}
    )  # fmt: skip
    # Sums over several threads are rounded otherwise.
    threads = report["metadata"]["threads"]
    (expected,) = plainly.run("pytorch_plain.py", data, [{**plain, "threads": threads}])
    assert report["metadata"]["modelParameters"] == expected["parameters"]
    assert report["metadata"]["finalEpoch"] == plain["epochs"]
    last = expected["history"][-1]
    for metric, value in last.items():
        assert report["metrics"][metric] == _near(value), metric
        part, _, short = metric.partition("_")
        part = {"val": "validation"}.get(part, part)
        series = [epoch[metric] for epoch in expected["history"]]
        assert report["metrics"][part][short] == _near(series)
