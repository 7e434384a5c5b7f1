"""Text models in Hugging Face form: equal to a plain loop, and loaded by the plain library."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.actions import plainly
from tests.actions.calling import Caller
from tests.pytorch import tiny_texts

pytest.importorskip("transformers", reason="a layer of PyTorch without transformers")

_TRAIN: dict[str, Any] = {
    "pretrainedModel": "bert", "epochs": 2, "batchSize": 16, "learningRate": 3e-3,
    "optimizer": "adamw", "validationSplit": 0.25,
}  # fmt: skip
_PLAIN: dict[str, Any] = {"model": "bert", "epochs": 2, "batch": 16, "lr": 3e-3, "split": 0.25}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small model and texts of every kind for it."""
    base = tmp_path_factory.mktemp("texts")
    tiny_texts.write_model(base / "bert")
    rows = tiny_texts.reviews(120)
    tiny_texts.write_table(base / "reviews.csv", rows)
    tiny_texts.write_folder(base / "reviews", rows)
    stars = [{"text": row["text"], "stars": len(row["text"]) / 20} for row in rows]
    tiny_texts.write_table(base / "stars.csv", stars)
    tiny_texts.write_words(base / "words.jsonl", 80)
    return base


@pytest.fixture
def calls(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Calls in this process beside a copy of the texts."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(home))
    base = tmp_path / "base"
    base.mkdir()
    for entry in texts.iterdir():
        (base / entry.name).symlink_to(entry)
    return Caller(base, home)


def tuned(calls: Caller, output: str = "out", **config: Any) -> Any:
    """The report of a fine-tuning."""
    return calls.report(
        "fine-tune", "pytorch", {**_TRAIN, **config}, outputDir=output, gpuEnabled=False
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


CASES = [
    ({"dataPath": "reviews.csv", "targetColumn": "label"}, {"data": "reviews.csv", "target": "label"}),
    ({"dataPath": "reviews"}, {"data": "reviews"}),
    (
        {"dataPath": "reviews", "freezeLayers": ["embeddings", "encoder.layer.0"], "maxLength": 9},
        {"data": "reviews", "freeze": ["embeddings", "encoder.layer.0"], "max_length": 9},
    ),
    (
        {"dataPath": "stars.csv", "targetColumn": "stars"},
        {"data": "stars.csv", "target": "stars", "regression": True},
    ),
    (
        {"dataPath": "words.jsonl", "targetColumn": "tags", "batchSize": 8},
        {"data": "words.jsonl", "batch": 8},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "case"), CASES, ids=lambda one: str(one.get("data", "")))
def test_equal_to_a_plain_loop(calls: Caller, config: dict[str, Any], case: dict[str, Any]) -> None:
    report = tuned(calls, **config)
    (plain,) = plainly.run("huggingface_plain.py", calls.base, [{**_PLAIN, **case}])
    metrics = report["metrics"]
    assert metrics["train"]["loss"] == pytest.approx(plain["train_loss"], abs=1e-6)
    assert metrics["validation"]["loss"] == pytest.approx(plain["val_loss"], abs=1e-6)
    if "regression" not in case:
        assert metrics["validation"]["accuracy"] == pytest.approx(plain["val_accuracy"], abs=1e-12)
    # The model of the last epoch, loaded by the library itself.
    held = _held_out(calls.base / config["dataPath"], case)
    loaded = plainly.run(
        "huggingface_load.py",
        calls.base,
        [{"model": "out/last_model", "texts": held[:16], "words": "words" in case["data"]}],
    )[0]
    if case.get("max_length") is None and "words" not in case["data"]:
        assert np.allclose(loaded["logits"], plain["logits"][:16], atol=1e-5)
    if "regression" not in case:
        names = ["neg", "pos"] if "words" not in case["data"] else ["LOC", "O", "PER"]
        assert list(loaded["id2label"].values()) == names


def _held_out(path: Path, case: dict[str, Any]) -> list[Any]:
    """The texts that the split holds out."""
    from sklearn.model_selection import train_test_split

    if path.is_dir():
        found: list[Any] = [file.read_text() for file in sorted(path.glob("*/*.txt"))]
    elif path.suffix == ".jsonl":
        import json

        found = [json.loads(line)["tokens"] for line in path.read_text().splitlines()]
    else:
        found = [row["text"] for row in _rows(path)]
    _, held = train_test_split(np.arange(len(found)), test_size=0.25, random_state=0)
    return [found[row] for row in held]


def test_frozen_tensors_are_those_of_the_pretrained_model(calls: Caller) -> None:
    report = tuned(calls, dataPath="reviews", freezeLayers=["embeddings", "encoder.layer.0"])
    before = load_file(calls.base / "bert" / "model.safetensors")
    after = load_file(calls.base / "out" / "last_model" / "model.safetensors")
    same = {name for name, tensor in before.items() if torch.equal(tensor, after[f"bert.{name}"])}
    assert same == {name for name in before if name.startswith(("embeddings.", "encoder.layer.0."))}
    assert report["metadata"]["newTensors"] == ["classifier.bias", "classifier.weight"]
    assert report["metadata"]["algorithm"] == "BertForSequenceClassification"


@pytest.mark.parametrize("model", ["out", "out/best_model", "out/best_model/model.safetensors"])
def test_evaluate_and_predict_need_the_path_alone(calls: Caller, model: str) -> None:
    tuned(calls, dataPath="reviews.csv", targetColumn="label", testData="reviews.csv")
    report = calls.report(
        "evaluate", "auto", {"modelPath": model, "dataPath": "reviews.csv"}, outputDir="eval"
    )
    assert report["metadata"]["samplesEvaluated"] == 120
    assert report["metadata"]["classes"] == ["neg", "pos"]
    folder = calls.report("evaluate", "auto", {"modelPath": model, "dataPath": "reviews"})
    assert folder["metrics"]["accuracy"] == report["metrics"]["accuracy"]
    new = tiny_texts.write_table(
        calls.base / "new.csv", [{"text": "a great film"}, {"text": "it was awful"}]
    )
    predicted = calls.report(
        "predict", "auto", {"modelPath": model, "inputData": new.name, "outputFormat": "probabilities"},
        outputDir="said",
    )  # fmt: skip
    rows = _rows(calls.base / "said" / "predictions.csv")
    assert [row["sample"] for row in rows] == ["a great film", "it was awful"]
    (plain,) = plainly.run(
        "huggingface_load.py",
        calls.base,
        [{"model": "out/best_model", "texts": ["a great film", "it was awful"]}],
    )
    expected = torch.tensor(plain["logits"]).softmax(dim=1)
    found = [[float(row["probability_neg"]), float(row["probability_pos"])] for row in rows]
    assert np.allclose(found, expected, atol=1e-6)
    assert predicted["predictions"]["classes"] == ["neg", "pos"]


def test_words_are_predicted_one_by_one(calls: Caller) -> None:
    tuned(calls, dataPath="words.jsonl", targetColumn="tags", learningRate=1e-2, epochs=4)
    report = calls.report("evaluate", "auto", {"modelPath": "out", "dataPath": "words.jsonl"})
    assert report["metrics"]["accuracy"] > 0.7
    (calls.base / "new.jsonl").write_text('{"tokens": ["Anna", "is", "in", "Rome"]}\n')
    calls.report(
        "predict", "auto", {"modelPath": "out", "inputData": "new.jsonl"}, outputDir="said"
    )
    rows = _rows(calls.base / "said" / "predictions.csv")
    assert [(row["text"], row["word"]) for row in rows] == [
        ("0", "Anna"), ("0", "is"), ("0", "in"), ("0", "Rome"),
    ]  # fmt: skip
    assert {row["predicted_class"] for row in rows} <= {"LOC", "O", "PER"}
