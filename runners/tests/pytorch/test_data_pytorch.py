"""Data that only PyTorch reads, and models that came as weights alone."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.datasets import load_digits, make_multilabel_classification

from tests.actions.interrupting import Runs

_SETS = """
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from mlp import MLP

X, y = load_digits(return_X_y=True)
X, y = torch.from_numpy(X).float() / 16, torch.from_numpy(y)

class Dicts(Dataset):
    classes = [f"digit {n}" for n in range(10)]
    def __init__(self, start, stop):
        self.start, self.stop = start, stop
    def __len__(self):
        return self.stop - self.start
    def __getitem__(self, index):
        return {"pixels": X[self.start + index], "label": int(y[self.start + index])}

class Collated(Dicts):
    def collate_fn(self, items):
        return torch.stack([i["pixels"] for i in items]), torch.tensor([i["label"] for i in items])

class Stream(IterableDataset):
    def __init__(self, start, stop, says=False):
        self.start, self.stop, self.epochs = start, stop, []
        if says:
            type(self).__len__ = lambda self: self.stop - self.start
    def __iter__(self):
        return iter([(X[i], y[i]) for i in range(self.start, self.stop)])

def build_datasets(config):
    return {
        "alone": lambda: TensorDataset(X, y),
        "pair": lambda: (Dicts(0, 600), Dicts(600, 800)),
        "dict": lambda: {"train": Collated(0, 600), "val": Collated(600, 800),
                         "test": Collated(800, 1000)},
        "loaders": lambda: [DataLoader(TensorDataset(X[:600], y[:600]), 7, shuffle=True),
                            DataLoader(TensorDataset(X[600:800], y[600:800]), 7)],
        "stream": lambda: (Stream(0, 600), Stream(600, 800)),
        "nothing": lambda: "none",
        "empty": lambda: TensorDataset(X[:0], y[:0]),
        "inputs": lambda: TensorDataset(X),
    }[config["modelArgs"]["give"]]()

def build_model(give, config):
    torch.manual_seed(3)
    return MLP(64, 10)
"""


def _train(runs: Runs, give: str, **more: Any) -> dict[str, Any]:
    (runs.base / "sets.py").write_text(_SETS)
    config = {"modelScript": "sets.py", "modelArgs": {"give": give}, "epochs": 2, "batchSize": 50,
              **more}  # fmt: skip
    return {"action": "train", "framework": "pytorch", "config": config, "outputDir": "out",
            "gpuEnabled": False}  # fmt: skip


def _error(runs: Runs, request: dict[str, Any]) -> dict[str, Any]:
    answer = runs.answer(request)
    assert "error" in answer, answer
    return answer["error"]


def test_every_form_of_the_same_data_gives_the_same_training(runs: Runs) -> None:
    """Whatever a script gives its data as, and whoever reads them, the order is the call's."""
    reports = {}
    for give in ("pair", "dict", "loaders"):
        reports[give] = runs.report({**_train(runs, give), "outputDir": give})
    losses = {give: report["metrics"]["train"]["loss"] for give, report in reports.items()}
    assert losses["pair"] == losses["dict"] == losses["loaders"]
    for report in reports.values():
        assert report["metadata"]["samplesProcessed"] == 600
        assert report["metadata"]["validationSamples"] == 200
        assert report["metadata"]["classes"] == 10
    assert any("DataLoader" in warning for warning in reports["loaders"]["warnings"])
    # The test set, by the saved model and scikit-learn.
    X, y = load_digits(return_X_y=True)
    rows = np.column_stack([X[800:1000] / 16, y[800:1000]])
    _write_csv(runs.base / "test.csv", [*(f"p{i}" for i in range(64)), "digit"], rows)
    evaluated = runs.report(
        {"action": "evaluate", "framework": "pytorch", "outputDir": "evaluated",
         "config": {"modelPath": "loaders/best_model.pt", "dataPath": "test.csv",
                    "targetColumn": "digit"}}
    )  # fmt: skip
    assert evaluated["metrics"]["accuracy"] == pytest.approx(
        reports["dict"]["metrics"]["finalModel"]["testAccuracy"]
    )
    predicted = runs.report(
        {"action": "predict", "framework": "pytorch", "outputDir": "predicted",
         "config": {"modelPath": "dict", "inputData": "test.csv", "targetColumn": "digit",
                    "topK": 3, "outputFormat": "probabilities"}}
    )  # fmt: skip
    sample = predicted["predictions"]["samplePredictions"][0]
    best = np.argsort(sample["probabilities"])[::-1][:3]
    assert [one["class"] for one in sample["top"]] == [f"digit {place}" for place in best]
    assert [one["probability"] for one in sample["top"]] == [
        sample["probabilities"][place] for place in best
    ]
    wrong = _error(
        runs, {"action": "evaluate", "framework": "pytorch",
         "config": {"modelPath": "dict", "dataPath": "test.csv", "targetColumn": "p0"}}
    )  # fmt: skip
    assert wrong["type"] in ("data-loading-error", "invalid-configuration"), wrong


def test_a_split_of_the_scripts_data(runs: Runs) -> None:
    report = runs.report(_train(runs, "alone", validationSplit=0.25, stratify=True))
    assert report["metadata"]["samplesProcessed"] == 1347
    assert report["metadata"]["validationSamples"] == 450


def test_a_stream_goes_in_its_own_order_and_is_saved_at_epochs_ends(runs: Runs) -> None:
    report = runs.report(_train(runs, "stream", checkpointSteps=3, checkpoint=True))
    assert report["metadata"]["samplesProcessed"] == 600
    assert report["metadata"]["validationSamples"] == 200
    assert any("ends of epochs only" in warning for warning in report["warnings"])
    kept = sorted(path.name for path in (runs.base / "out/checkpoints").iterdir())
    assert kept
    assert not [name for name in kept if "step" in name or "." in Path(name).stem]


@pytest.mark.parametrize(
    ("give", "type_", "words"),
    [
        ("nothing", "model-loading-error", "str"),
        ("empty", "data-loading-error", "without items"),
        ("inputs", "invalid-configuration", "training_step"),
    ],
)
def test_what_is_no_data_set(runs: Runs, give: str, type_: str, words: str) -> None:
    error = _error(runs, _train(runs, give))
    assert error["type"] == type_, error
    assert words in error["message"] + error["solution"]


# -- files of tensors ------------------------------------------------------------------------------


def test_files_of_tensors_are_read_as_npz_files_are(runs: Runs) -> None:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    np.savez(runs.base / "digits.npz", X=X, y=y)
    tensors = torch.from_numpy(X), torch.from_numpy(y)
    torch.save({"X": tensors[0], "y": tensors[1], "version": 3}, runs.base / "named.pt")
    torch.save(tensors, runs.base / "pair.pth")
    losses = {}
    for name in ("digits.npz", "named.pt", "pair.pth"):
        report = runs.report(
            {"action": "train", "framework": "pytorch", "gpuEnabled": False,
             "outputDir": f"out-{name}",
             "config": {"dataPath": name, "modelScript": "mlp.py", "epochs": 1, "batchSize": 64,
                        "lossFunction": "cross_entropy", "validationSplit": 0.2}}
        )  # fmt: skip
        losses[name] = report["metrics"]["val_loss"]
    assert len(set(losses.values())) == 1, losses
    torch.save(torch.utils.data.TensorDataset(*tensors), runs.base / "pickled.pt")
    error = _error(
        runs, {"action": "train", "framework": "pytorch",
         "config": {"dataPath": "pickled.pt", "modelScript": "mlp.py", "epochs": 1}}
    )  # fmt: skip
    assert error["type"] == "data-loading-error", error
    assert "TensorDataset" in error["message"]


# -- weights alone ---------------------------------------------------------------------------------


def test_weights_without_a_description(runs: Runs) -> None:
    report = runs.report(
        {"action": "train", "framework": "pytorch", "gpuEnabled": False, "outputDir": "trained",
         "config": {"dataPath": "data/wine.csv", "targetColumn": "target", "modelScript": "mlp.py",
                    "epochs": 3, "lossFunction": "cross_entropy"}}
    )  # fmt: skip
    features = report["metadata"]["features"]
    plain = {"framework": "pytorch", "outputDir": "a"}
    described = runs.report(
        {"action": "evaluate", **plain,
         "config": {"modelPath": "trained", "dataPath": "data/wine.csv"}}
    )  # fmt: skip
    state = torch.load(runs.base / "trained/best_model.pt", weights_only=True)
    torch.save({"model_state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
               runs.base / "bare.pth")  # fmt: skip
    config = {"modelPath": "bare.pth", "dataPath": "data/wine.csv", "targetColumn": "target",
              "modelScript": "mlp.py", "modelClass": "MLP",
              "modelArgs": {"in_features": features, "num_classes": 3}}  # fmt: skip
    bare = runs.report({"action": "evaluate", **plain, "outputDir": "b", "config": config})
    assert bare["metrics"] == described["metrics"]
    assert any("sorted" in warning for warning in bare["warnings"])
    other = {**config, "modelArgs": {**config["modelArgs"], "hidden": 16}}
    error = _error(runs, {"action": "evaluate", "framework": "pytorch", "config": other})
    assert error["type"] == "model-loading-error"
    name, shapes = next(iter(error["metadata"]["shapes"].items()))
    assert name in error["message"]
    assert shapes["file"] != shapes["model"]
    lacking = {**config, "modelArgs": {"in_features": features}}
    error = _error(runs, {"action": "evaluate", "framework": "pytorch", "config": lacking})
    assert error["type"] == "model-loading-error"
    narrow = {**config, "featureColumns": ["alcohol"]}
    error = _error(runs, {"action": "evaluate", "framework": "pytorch", "config": narrow})
    assert error["type"] == "data-loading-error"
    assert "featureColumns" in error["solution"]
    own = _error(
        runs, {"action": "evaluate", "framework": "pytorch",
         "config": {**config, "modelPath": "trained/best_model.pt"}}
    )  # fmt: skip
    assert "modelScript" not in own["nextCall"]["arguments"]["config"]
    predicted = runs.report(
        {"action": "predict", **plain, "outputDir": "c",
         "config": {**{k: v for k, v in config.items() if k != "dataPath"},
                    "inputData": "data/wine.csv"}}
    )  # fmt: skip
    assert predicted["predictions"]["shape"] == [178]


# -- several labels a row --------------------------------------------------------------------------


def test_several_labels_a_row(runs: Runs) -> None:
    X, y = make_multilabel_classification(400, 12, n_classes=5, random_state=0)
    X = X.astype(np.float32)
    np.savez(runs.base / "train.npz", X=X[:300], y=y[:300])
    np.savez(runs.base / "test.npz", X=X[300:], y=y[300:])
    report = runs.report(
        {"action": "train", "framework": "pytorch", "gpuEnabled": False, "outputDir": "out",
         "config": {"dataPath": "train.npz", "validationData": "test.npz", "modelScript": "mlp.py",
                    "epochs": 8, "learningRate": 0.01, "lossFunction": "bce_with_logits"}}
    )  # fmt: skip
    assert report["metadata"]["task"] == "multilabel"
    evaluated = runs.report(
        {"action": "evaluate", "framework": "pytorch", "outputDir": "evaluated",
         "config": {"modelPath": "out/last_model.pt", "dataPath": "test.npz",
                    "metrics": ["roc_auc"]}}
    )  # fmt: skip
    predicted = runs.report(
        {"action": "predict", "framework": "pytorch", "outputDir": "predicted",
         "config": {"modelPath": "out/last_model.pt", "inputData": "test.npz",
                    "outputFormat": "probabilities"}}
    )  # fmt: skip
    assert predicted["predictions"]["shape"] == [100, 5]
    with (runs.base / "predicted/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = np.array([[float(row[f"probability_{k}"]) for k in range(5)] for row in rows])
    said = (scores > 0.5).astype(int)
    assert [row["predicted_labels"] for row in rows] == [
        " ".join(map(str, np.flatnonzero(row))) for row in said
    ]
    true, found = y[300:], evaluated["metrics"]
    for name, value in {
        "accuracy": metrics.accuracy_score(true, said),
        "precision": metrics.precision_score(true, said, average="macro", zero_division=0),
        "recall": metrics.recall_score(true, said, average="macro", zero_division=0),
        "f1Score": metrics.f1_score(true, said, average="macro", zero_division=0),
        "rocAuc": metrics.roc_auc_score(true, scores, average="macro"),
    }.items():
        assert found[name] == pytest.approx(value), name
    assert found["confusionMatrix"] == metrics.multilabel_confusion_matrix(true, said).tolist()
    assert report["metrics"]["val_accuracy"] == pytest.approx(found["accuracy"])
    assert report["metrics"]["val_f1"] == pytest.approx(found["f1Score"])


def _write_csv(path: Path, header: list[str], rows: np.ndarray) -> None:
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
