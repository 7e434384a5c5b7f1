"""Text models in Hugging Face form: equal to a plain loop, and loaded by the plain library."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.model_selection import train_test_split

from ml_runner.data.describe import describe
from tests.actions import plainly
from tests.actions.calling import Caller
from tests.actions.interrupting import Runs
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
    (
        {"dataPath": "reviews.csv", "targetColumn": "label"},
        {"data": "reviews.csv", "target": "label"},
    ),
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
    (
        {"dataPath": "reviews", "lora": {"r": 4, "alpha": 16, "targetModules": ["query"]}},
        {"data": "reviews", "lora": {"r": 4, "lora_alpha": 16, "target_modules": ["query"]}},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def plain(texts: Path) -> list[dict[str, Any]]:
    """What the plain loop makes of the cases, in one process."""
    return plainly.run("huggingface_plain.py", texts, [{**_PLAIN, **case} for _, case in CASES])


@pytest.mark.parametrize("place", range(len(CASES)), ids=[case["data"] for _, case in CASES])
def test_equal_to_a_plain_loop(calls: Caller, plain: list[dict[str, Any]], place: int) -> None:
    (config, case), expected = CASES[place], plain[place]
    metrics = tuned(calls, **config)["metrics"]
    assert metrics["train"]["loss"] == pytest.approx(expected["train_loss"], abs=1e-6)
    assert metrics["validation"]["loss"] == pytest.approx(expected["val_loss"], abs=1e-6)
    if "regression" not in case:
        found = metrics["validation"]["accuracy"]
        assert found == pytest.approx(expected["val_accuracy"], abs=1e-12)


def test_the_saved_model_is_that_of_the_plain_loop(
    calls: Caller, plain: list[dict[str, Any]]
) -> None:
    tuned(calls, **CASES[0][0])
    held = _held_out(calls.base / "reviews.csv")[:16]
    (loaded,) = plainly.run(
        "huggingface_load.py", calls.base, [{"model": "out/last_model", "texts": held}]
    )
    assert np.allclose(loaded["logits"], plain[0]["logits"][:16], atol=1e-5)
    assert list(loaded["id2label"].values()) == ["neg", "pos"]


def _held_out(path: Path) -> list[str]:
    """The texts that the split holds out."""
    found = [row["text"] for row in _rows(path)]
    _, held = train_test_split(np.arange(len(found)), test_size=0.25, random_state=0)
    return [found[row] for row in held]


def test_frozen_tensors_are_those_of_the_pretrained_model(calls: Caller) -> None:
    report = tuned(calls, dataPath="reviews", freezeLayers=["embeddings", "encoder.layer.0"])
    before = load_file(calls.base / "bert" / "model.safetensors")
    after = load_file(calls.base / "out" / "last_model" / "model.safetensors")
    same = {name for name, tensor in before.items() if torch.equal(tensor, after[f"bert.{name}"])}
    assert same == {name for name in before if name.startswith(("embeddings.", "encoder.layer.0."))}
    new = ["classifier.bias", "classifier.weight"]
    assert report["metadata"]["pretrained"]["newTensors"] == new
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
    call = {"modelPath": model, "inputData": new.name, "outputFormat": "probabilities"}
    predicted = calls.report("predict", "auto", call, outputDir="said")
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


def test_adapters_are_merged_and_saved_alone(calls: Caller) -> None:
    lora = {"r": 4, "dropout": 0.1}
    report = tuned(calls, dataPath="reviews", lora=lora, learningRate=2e-2)
    metadata = report["metadata"]
    assert metadata["lora"]["targetModules"] == ["query", "value"]
    assert metadata["algorithm"] == "BertForSequenceClassification"
    assert metadata["trainableParameters"] < metadata["modelParameters"] / 4
    texts = ["a great film", "it was awful and very dull"]
    loaded = plainly.run(
        "huggingface_load.py",
        calls.base,
        [
            {"model": "out/best_model", "texts": texts},
            {"model": "bert", "adapter": "out/adapter", "labels": 2, "texts": texts},
            {"model": "out/last_model", "texts": texts},
        ],
    )
    merged, adapted, _ = (np.array(one["logits"]) for one in loaded)
    assert np.allclose(merged, adapted, atol=1e-5)
    calls.report("predict", "auto", {
        "modelPath": "out", "inputData": "reviews", "outputFormat": "probabilities",
    })  # fmt: skip
    # What was not adapted is the pretrained model's.
    before = load_file(calls.base / "bert" / "model.safetensors")
    after = load_file(calls.base / "out" / "best_model" / "model.safetensors")
    changed = {name for name, one in before.items() if not torch.equal(one, after[f"bert.{name}"])}
    assert changed == {
        f"encoder.layer.{n}.attention.self.{part}.weight"
        for n in (0, 1)
        for part in ("query", "value")
    }


@pytest.mark.parametrize(
    "data",
    [
        {"dataPath": "reviews", "freezeLayers": ["embeddings"], "scheduler": "one_cycle"},
        {"dataPath": "words.jsonl", "targetColumn": "tags", "gradientAccumulation": 2},
    ],
    ids=["texts", "words"],
)
def test_a_killed_fine_tuning_ends_as_if_nothing_had_happened(
    texts: Path, tmp_path: Path, data: dict[str, Any]
) -> None:
    runs = Runs(texts, tmp_path / "home")
    config = {**_TRAIN, **data, "batchSize": 4, "epochs": 3, "checkpointSteps": 5}
    request: dict[str, Any] = {
        "action": "fine-tune", "framework": "pytorch", "config": config,
        "outputDir": str(tmp_path / "whole"), "gpuEnabled": False,
    }  # fmt: skip
    whole = runs.report(request)
    started = runs.start({**request, "outputDir": str(tmp_path / "out")})
    started.wait_for("epoch", 1.4)
    again = runs.follow(started.kill())
    assert again["action"] == "resume"
    report = runs.report(again)
    assert report["metrics"] == whole["metrics"]
    assert "resumedFrom" in report["metadata"]
    for name in ("best_model", "last_model"):
        before, after = (
            (tmp_path / output / name / "model.safetensors").read_bytes()
            for output in ("whole", "out")
        )
        assert before == after, name


def test_what_was_saved_is_described_and_fine_tuned_again(calls: Caller) -> None:
    tuned(calls, dataPath="reviews.csv", targetColumn="label", epochs=1)
    for path in ("out", "out/best_model"):
        found = describe({"path": path}, str(calls.base), None)
        assert found["described"], found
        assert found["classes"] == ["neg", "pos"]
        assert found["inputs"] == [{"name": "text", "type": "text"}]
    begun = tuned(calls, "again", pretrainedModel="out", dataPath="reviews")["metadata"]
    assert "newTensors" not in begun["pretrained"]
    tuned(calls, "words", pretrainedModel="out", dataPath="words.jsonl", targetColumn="tags")
    bare = describe({"path": "bert"}, str(calls.base), None)
    assert (bare["framework"], bare["modelType"], bare["described"]) == ("pytorch", "bert", False)
    assert bare["needsAllowPickle"] is False


# -- directories of others -------------------------------------------------------------------------


def _foreign(base: Path, **config: Any) -> Path:
    """A classifier that somebody else has saved, with names for its labels."""
    import transformers

    directory = tiny_texts.write_model(base / "theirs")
    torch.manual_seed(3)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        directory, dtype=torch.float32, **config
    )
    with torch.no_grad():  # so that it has something to say
        model.classifier.weight.mul_(50)
    model.save_pretrained(directory)
    return directory


def test_a_classifier_of_somebody_else(calls: Caller) -> None:
    names = {0: "POSITIVE", 1: "NEGATIVE", 2: "UNSURE"}
    _foreign(calls.base, num_labels=3, id2label=names, label2id={n: i for i, n in names.items()})
    texts = [row["text"] for row in tiny_texts.reviews(30, 5)]
    (plain,) = plainly.run("huggingface_load.py", calls.base, [{"model": "theirs", "texts": texts}])
    expected = [names[place] for place in np.argmax(plain["logits"], axis=1)]
    tiny_texts.write_table(
        calls.base / "named.csv",
        [{"text": t, "is": name} for t, name in zip(texts, expected, strict=True)],
    )
    tiny_texts.write_table(
        calls.base / "numbered.csv",
        [{"text": t, "is": n} for t, n in zip(texts, np.argmax(plain["logits"], 1), strict=True)],
    )
    call = {"modelPath": "theirs", "dataPath": "named.csv", "targetColumn": "is"}
    report = calls.report("evaluate", "auto", call)
    assert report["metrics"]["accuracy"] == 1.0
    assert report["metadata"]["classes"] == list(names.values())
    numbered = calls.report("evaluate", "auto", {**call, "dataPath": "numbered.csv"})
    assert numbered["metrics"]["accuracy"] == 1.0
    assert any("0 POSITIVE, 1 NEGATIVE" in warning for warning in numbered["warnings"])
    calls.report(
        "predict", "auto", {"modelPath": "theirs", "inputData": "named.csv", "textColumn": "text"},
        outputDir="said",
    )  # fmt: skip
    rows = _rows(calls.base / "said" / "predictions.csv")
    assert [row["predicted_class"] for row in rows] == expected


def test_weights_as_a_pickle_and_in_shards(calls: Caller) -> None:
    directory = _foreign(calls.base, num_labels=2)
    state = load_file(directory / "model.safetensors")
    call = {"modelPath": "theirs", "inputData": "reviews.csv", "textColumn": "text"}
    before = calls.report("predict", "auto", call)["predictions"]["samplePredictions"]
    (directory / "model.safetensors").unlink()
    torch.save(state, directory / "pytorch_model.bin")
    assert calls.report("predict", "auto", call)["predictions"]["samplePredictions"] == before
    (directory / "pytorch_model.bin").unlink()
    from safetensors.torch import save_file

    first = dict(list(state.items())[:10])
    save_file(first, directory / "model-00001-of-00002.safetensors")
    rest = {name: tensor for name, tensor in state.items() if name not in first}
    save_file(rest, directory / "model-00002-of-00002.safetensors")
    places = {name: f"model-0000{1 + (name not in first)}-of-00002.safetensors" for name in state}
    index = {"metadata": {}, "weight_map": places}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    assert calls.report("predict", "auto", call)["predictions"]["samplePredictions"] == before
    (directory / "model-00002-of-00002.safetensors").unlink()
    error = calls.error("predict", "auto", call)
    assert "lacks 'model-00002-of-00002.safetensors'" in error["message"]


def test_a_pickle_that_runs_code_is_not_loaded(calls: Caller) -> None:
    directory = _foreign(calls.base, num_labels=2)
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps({"a": _Runs(directory / "ran")}))
    for call in ({"modelPath": "theirs"}, {"modelPath": "theirs", "allowPickle": True}):
        error = calls.error("predict", "auto", {**call, "inputData": "new.csv"})
        assert error["type"] == "model-loading-error"
    assert not (directory / "ran").exists()


class _Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_another_head_is_made_new(calls: Caller) -> None:
    names = {0: "pos", 1: "neg"}
    directory = _foreign(calls.base, id2label=names, label2id={"pos": 0, "neg": 1})
    call = {"pretrainedModel": "theirs", "dataPath": "reviews.csv", "targetColumn": "label"}
    # The same labels in another order: its weights would say the opposite.
    begun = tuned(calls, **call)["metadata"]["pretrained"]
    assert begun["newTensors"] == ["classifier.bias", "classifier.weight"]
    config = json.loads((directory / "config.json").read_text())
    config |= {"id2label": {"0": "neg", "1": "pos"}, "label2id": {"neg": 0, "pos": 1}}
    (directory / "config.json").write_text(json.dumps(config))
    assert "newTensors" not in tuned(calls, "again", **call)["metadata"]["pretrained"]
    words = {"dataPath": "words.jsonl", "targetColumn": "tags", "pretrainedModel": "theirs"}
    assert tuned(calls, "words", **words)["metadata"]["classes"] == 3


# -- refusals --------------------------------------------------------------------------------------


def _edited(base: Path, **changes: Any) -> None:
    """A copy of the model whose config says something else (None: no more)."""
    shutil.copytree((base / "bert").resolve(), base / "other", dirs_exist_ok=True)
    config = json.loads((base / "bert" / "config.json").read_text())
    config = {key: value for key, value in {**config, **changes}.items() if value is not None}
    (base / "other" / "config.json").write_text(json.dumps(config))


_OTHER = {**_TRAIN, "pretrainedModel": "other", "dataPath": "reviews"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "bertt"}, ["type 'bertt'", "Did you mean 'bert'?"]),
        (
            {"model_type": "mine", "auto_map": {"AutoModel": "mine.Model"}},
            ["code of its own (auto_map", "never run"],
        ),
        ({"model_type": "vit"}, ["type 'vit', which transformers cannot make classify texts"]),
        ({"hidden_size": 64}, ["is (32,) in the file and (64,) in the model, and "]),
        ({"model_type": "distilbert"}, ["lacks 32 of the 36 tensors of a DistilBert"]),
    ],
)
def test_configs_that_will_not_do(calls: Caller, changes: dict[str, Any], said: list[str]) -> None:
    _edited(calls.base, **changes)
    error = calls.error("fine-tune", "pytorch", _OTHER)
    assert error["type"] == "model-loading-error"
    for part in said:
        assert part in error["message"] + error["solution"]


def test_directories_that_lack_something(calls: Caller) -> None:
    _edited(calls.base)
    other = calls.base / "other"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (other / name).unlink()
    assert "has no tokenizer" in calls.error("fine-tune", "pytorch", _OTHER)["message"]
    (other / "model.safetensors").rename(other / "tf_model.h5")
    error = calls.error("fine-tune", "pytorch", _OTHER)
    assert "holds 'tf_model.h5' only, no weights" in error["message"]
    (other / "config.json").rename(other / "adapter_config.json")
    assert "an adapter alone" in calls.error("fine-tune", "pytorch", _OTHER)["message"]
    error = calls.error("predict", "auto", {"modelPath": "bert", "inputData": "reviews"})
    assert "holds a BertModel, which has no output layer" in error["message"]
    assert "pretrainedModel" in error["solution"]


def test_nothing_is_downloaded(calls: Caller) -> None:
    error = calls.error(
        "fine-tune", "pytorch", {**_TRAIN, "pretrainedModel": "bert-base-uncased", "dataPath": "x"}
    )
    assert error["type"] == "model-loading-error"
    assert "Nothing is downloaded" in error["solution"]


def test_adapters_of_layers_that_are_not_there(calls: Caller) -> None:
    lora = {"targetModules": ["querry"]}
    error = calls.error("fine-tune", "pytorch", {**_OTHER, "pretrainedModel": "bert", "lora": lora})
    assert error["type"] == "invalid-configuration"
    assert error["metadata"]["nearest"] == "query"


def test_a_script_is_none_of_a_text_model(calls: Caller) -> None:
    error = calls.error(
        "fine-tune", "pytorch", {**_OTHER, "pretrainedModel": "bert", "modelScript": "m.py"}
    )
    assert error["metadata"]["key"] == "config.modelScript"
    assert "modelScript" not in error["nextCall"]["arguments"]["config"]


@pytest.mark.parametrize("module", ["transformers", "peft"])
def test_a_library_that_is_absent(
    calls: Caller, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    error = calls.error("fine-tune", "pytorch", {**_OTHER, "pretrainedModel": "bert", "lora": {}})
    assert (error["type"], error["exitCode"]) == ("framework-not-found", 127)
    assert error["metadata"]["distribution"] == module
    assert f"pip install {module}" in error["solution"]


def test_a_length_that_the_model_does_not_take(calls: Caller) -> None:
    error = calls.error(
        "fine-tune", "pytorch", {**_OTHER, "pretrainedModel": "bert", "maxLength": 65}
    )
    assert error["type"] == "invalid-configuration"
    assert error["metadata"]["allowed"] == 64


def test_a_part_that_has_changed_is_told(calls: Caller) -> None:
    tuned(calls, dataPath="reviews", epochs=1)
    config = calls.base / "out" / "best_model" / "config.json"
    config.write_text(config.read_text().replace("neg", "NEG"))
    error = calls.error("predict", "auto", {"modelPath": "out", "inputData": "reviews"})
    assert "config.json has changed since it was saved" in error["message"]
    # Without the description it is anybody's.
    (config.parent / "model.safetensors.meta.json").unlink()
    report = calls.report("predict", "auto", {"modelPath": "out", "inputData": "reviews"})
    assert report["metadata"]["samplesProcessed"] == 120
