"""``compile`` and ``channelsLast``: what is saved is as without them, and what is refused."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch

from tests.actions.interrupting import Runs

_TABLE = {"dataPath": "data/wine.csv", "targetColumn": "target", "modelScript": "mlp.py",
          "featureScaling": "standard", "validationSplit": 0.25, "lossFunction": "cross_entropy",
          "epochs": 3,
          "batchSize": 16}  # fmt: skip
_IMAGES = {"dataPath": "data/digits_images", "modelScript": "resnet.py", "modelClass": "ResNet",
           "colorMode": "grayscale", "validationSplit": 0.2, "epochs": 2,
           "batchSize": 32}  # fmt: skip


def _train(config: dict[str, Any], output: str, **more: Any) -> dict[str, Any]:
    return {"action": "train", "framework": "pytorch", "config": {**config, **more},
            "outputDir": output, "gpuEnabled": False}  # fmt: skip


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
def test_a_compiled_training_is_the_same_within_rounding(runs: Runs) -> None:
    plain = runs.report(_train(_TABLE, "plain"))
    compiled = runs.report(_train(_TABLE, "compiled", compile=True))
    told = compiled["metadata"]
    assert told["compiled"] is True
    # Forward and backward of whole and last batches, forward in validation.
    assert told["compiledGraphs"] >= 3
    assert told["compileSeconds"] > 0
    for part in ("train", "validation"):
        expected = plain["metrics"][part]["loss"]
        assert compiled["metrics"][part]["loss"] == pytest.approx(expected, rel=1e-4)
    one, other = (
        torch.load(runs.base / name / "best_model.pt", weights_only=True)
        for name in ("plain", "compiled")
    )
    assert one.keys() == other.keys()
    evaluated = runs.report(
        {"action": "evaluate", "framework": "pytorch", "outputDir": "seen",
         "config": {"modelPath": "compiled", "dataPath": "data/wine.csv"}}
    )  # fmt: skip
    assert evaluated["metrics"]["accuracy"] > 0.8


def test_without_a_compiler_it_is_refused_with_the_reason(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    error = runs.answer(_train(_TABLE, "out", compile=True))["error"]
    assert error["type"] == "invalid-configuration"
    assert error["metadata"]["key"] == "config.compile"
    assert "C++ compiler" in error["message"]
    assert "compile" not in error["nextCall"]["arguments"]["config"]


def test_channels_last_changes_the_layout_alone(runs: Runs) -> None:
    plain = runs.report(_train(_IMAGES, "plain"))
    last = runs.report(_train(_IMAGES, "last", channelsLast=True))
    assert last["metadata"]["channelsLast"] is True
    for part in ("train", "validation"):
        expected = plain["metrics"][part]["loss"]
        assert last["metrics"][part]["loss"] == pytest.approx(expected, rel=1e-3)
    weights = torch.load(runs.base / "last/best_model.pt", weights_only=True)
    kernel = weights["stem.0.weight"]
    assert kernel.shape == (8, 1, 3, 3)
    kernel = weights["blocks.0.body.0.weight"]
    assert kernel.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_is_refused_for_tables(runs: Runs) -> None:
    error = runs.answer(_train(_TABLE, "out", channelsLast=True))["error"]
    assert error["type"] == "invalid-configuration"
    assert error["metadata"]["key"] == "config.channelsLast"
    assert error["metadata"]["shape"] == [13]
