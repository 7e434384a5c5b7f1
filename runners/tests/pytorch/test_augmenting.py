"""Augmentation in training: of the training images alone, the same whoever reads them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.actions.interrupting import Runs

_SETTINGS = {"modelScript": "resnet.py", "modelClass": "ResNet", "modelArgs": {"width": 4},
             "colorMode": "grayscale", "epochs": 2, "batchSize": 16}  # fmt: skip


def _request(data: str, output: str, **config: Any) -> dict[str, Any]:
    return {"action": "train", "framework": "pytorch", "outputDir": output, "gpuEnabled": False,
            "config": {"dataPath": data, **_SETTINGS, **config}}  # fmt: skip


@pytest.fixture
def split(runs: Runs, data: Path) -> Path:
    """``train`` and ``val`` folders, a few images of each class."""
    for folder in (data / "digits_images").iterdir():
        for number, file in enumerate(sorted(folder.iterdir())[:16]):
            part = runs.base / "split" / ("val" if number % 4 == 0 else "train") / folder.name
            part.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, part)
    return runs.base / "split"


def test_what_is_trained_on_is_changed_and_nothing_else(runs: Runs, split: Path) -> None:
    """A flip that is certain: as a training on images that were flipped before, and only those."""
    augmented = runs.report(
        _request("split", "augmented", augment=[{"type": "vertical-flip", "probability": 1}])
    )
    assert augmented["metadata"]["augment"] == ["vertical-flip"]
    for file in (split / "train").rglob("*.png"):
        Image.open(file).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(file)
    assert runs.report(_request("split", "flipped"))["metrics"] == augmented["metrics"]


def test_the_number_of_workers_changes_nothing(runs: Runs, split: Path) -> None:
    wanted = ["affine", {"type": "colour", "contrast": 0.5}, "noise", "mixup", "cutmix"]
    found = [
        runs.report(_request("split", f"out{workers}", augment=wanted, numWorkers=workers))
        for workers in (0, 2)
    ]
    assert found[0]["metrics"] == found[1]["metrics"]
    plain = runs.report(_request("split", "plain"))
    assert plain["metrics"]["train_loss"] != found[0]["metrics"]["train_loss"]


def test_mixed_targets_of_one_output(runs: Runs, split: Path) -> None:
    for part in ("train", "val"):
        for folder in (split / part).iterdir():
            if folder.name not in ("digit_0", "digit_1"):
                shutil.rmtree(folder)
    arguments = {"width": 4, "num_classes": 1}
    report = runs.report(
        _request("split", "out", augment=["mixup"], lossFunction="bce_with_logits",
                 modelArgs=arguments, batchSize=4)
    )  # fmt: skip
    assert 0 <= report["metrics"]["train_accuracy"] <= 1
    assert report["metrics"]["val_accuracy"] >= 0.5


@pytest.mark.parametrize(
    ("config", "key", "words"),
    [
        ({"augment": ["flipp"]}, "config.augment[0]", "Did you mean 'flip'"),
        ({"augment": ["mixup"], "lossFunction": "hinge"}, "config.augment", "cross_entropy"),
        ({"augment": ["flip"], "dataPath": "data/wine.csv", "targetColumn": "target",
          "modelScript": "mlp.py", "modelClass": "MLP", "modelArgs": {}, "colorMode": None},
         "config.augment", "is for images"),
    ],
)  # fmt: skip
def test_refusals(runs: Runs, split: Path, config: dict[str, Any], key: str, words: str) -> None:
    request = _request("split", "out", **config)
    request["config"] = {name: one for name, one in request["config"].items() if one is not None}
    error = runs.answer(request)["error"]
    assert error["type"] == "invalid-configuration", error
    assert error["metadata"]["key"] == key
    assert words in error["message"] + " " + error["solution"]


def test_a_script_with_its_own_data_augments_itself(runs: Runs) -> None:
    (runs.base / "own.py").write_text(
        "import torch\nfrom mlp import MLP\n\n"
        "def build_datasets(config):\n"
        "    X = torch.randn(20, 4)\n"
        "    return torch.utils.data.TensorDataset(X, (X[:, 0] > 0).long())\n\n"
        "def build_model(config):\n"
        "    return MLP(4, 2)\n"
    )
    error = runs.answer(
        {"action": "train", "framework": "pytorch", "outputDir": "out", "gpuEnabled": False,
         "config": {"modelScript": "own.py", "epochs": 1, "augment": ["flip"]}}
    )["error"]  # fmt: skip
    assert error["metadata"]["key"] == "config.augment"
    assert "own data sets" in error["message"]
