"""A training that was killed at any step ends with the same weights, to the last bit."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from tests.actions.interrupting import Runs

_AUGMENTED = """
import random
import numpy as np, torch
from mlp import MLP

class Noisy(torch.utils.data.Dataset):
    def __init__(self, X, y):
        self.X, self.y = X, y
    def __len__(self):
        return len(self.X)
    def __getitem__(self, index):
        noise = torch.randn(64) * random.random() + float(np.random.rand())
        return self.X[index] + noise, self.y[index]

def build_datasets(config):
    from sklearn.datasets import load_digits
    X, y = load_digits(return_X_y=True)
    X, y = torch.from_numpy(X).float(), torch.from_numpy(y)
    return Noisy(X[:1400], y[:1400]), torch.utils.data.TensorDataset(X[1400:], y[1400:])

def build_model(config):
    return MLP(64, 10, dropout=0.3)
"""

_TABLE = {"dataPath": "data/digits.csv", "targetColumn": "target", "modelScript": "mlp.py",
          "lossFunction": "cross_entropy", "validationSplit": 0.2}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "dropout and BatchNorm": {**_TABLE, "modelArgs": {"dropout": 0.5}, "batchSize": 8},
    "a schedule by step": {**_TABLE, "batchSize": 8, "scheduler": "one_cycle",
                           "schedulerArgs": {"max_lr": 0.01}},
    "accumulation": {**_TABLE, "batchSize": 8, "gradientAccumulation": 3, "optimizer": "sgd",
                     "learningRate": 0.05, "momentum": 0.9, "gradientClipping": 1.0},
    "early stopping": {**_TABLE, "batchSize": 8, "modelArgs": {"dropout": 0.2},
                       "earlyStopping": {"patience": 50, "metric": "val_accuracy"}},
    "images, two workers": {"dataPath": "data/digits_images", "modelScript": "resnet.py",
                            "modelClass": "ResNet", "modelArgs": {"width": 4}, "batchSize": 4,
                            "colorMode": "grayscale", "numWorkers": 2, "validationSplit": 0.2},
    "bf16, augmented and mixed images": {
        "dataPath": "data/digits_images", "modelScript": "resnet.py", "modelClass": "ResNet",
        "modelArgs": {"width": 4}, "batchSize": 8, "colorMode": "grayscale", "numWorkers": 2,
        "validationSplit": 0.2, "mixedPrecision": "bf16", "channelsLast": True,
        "gradientCheckpointing": True,
        "augment": ["rotate", {"type": "crop", "padding": 1}, "noise", "erasing", "mixup"],
    },
    "compiled": {**_TABLE, "batchSize": 24, "modelArgs": {"dropout": 0.3}, "compile": True},
    "augmentation, two workers": {"modelScript": "augmented.py", "batchSize": 8, "numWorkers": 2},
}  # fmt: skip


def _request(config: dict[str, Any], output: str, epochs: int) -> dict[str, Any]:
    config = {**config, "epochs": epochs, "checkpointSteps": 7, "checkpoint": True}
    return {"action": "train", "framework": "pytorch", "config": config, "outputDir": output,
            "gpuEnabled": False}  # fmt: skip


def _weights(runs: Runs, output: str, name: str) -> dict[str, torch.Tensor]:
    return torch.load(runs.base / output / name, weights_only=True)


def _killed_and_resumed(
    runs: Runs, config: dict[str, Any], kills: int, source: random.Random
) -> None:
    (runs.base / "augmented.py").write_text(_AUGMENTED)
    epochs = 3
    whole = runs.report(_request(config, "whole", epochs))
    steps = -(-int(whole["metadata"]["samplesProcessed"]) // config["batchSize"]) * epochs
    request, previous = _request(config, "out", epochs), 0.0
    for _ in range(kills):
        started = runs.start(request)
        at = source.uniform(previous, min(epochs * 0.9, previous + epochs / kills))
        started.wait_for("epoch", at)
        error = started.kill()
        assert error["type"] == "runner-crashed", error
        request = runs.follow(error)
        assert request["action"] == "resume"
        previous = at
    report = runs.report(request)
    assert report["metrics"] == whole["metrics"], steps
    for name in ("best_model.pt", "last_model.pt"):
        before, after = _weights(runs, "whole", name), _weights(runs, "out", name)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before), name
    assert "resumedFrom" in report["metadata"]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_killed_training_ends_as_if_nothing_had_happened(
    name: str, runs: Runs, request: pytest.FixtureRequest
) -> None:
    seed = random.randrange(10**9)
    print(f"{request.node.name}: random seed {seed}")
    _killed_and_resumed(runs, CONFIGS[name], 1, random.Random(seed))


@pytest.mark.soak
@pytest.mark.parametrize("name", CONFIGS)
def test_ten_times_killed(name: str, runs: Runs, request: pytest.FixtureRequest) -> None:
    seed = random.randrange(10**9)
    print(f"{request.node.name}: random seed {seed}")
    _killed_and_resumed(runs, CONFIGS[name], 10, random.Random(seed))
