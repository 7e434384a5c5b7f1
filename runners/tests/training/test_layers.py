"""Which tensors a pattern of layers means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_runner import errors
from ml_runner.training import layers
from tests.actions.calling import Caller

BERT = [
    "bert.embeddings.word_embeddings.weight",
    "bert.embeddings.position_embeddings.weight",
    "bert.embeddings.LayerNorm.weight",
    *(
        f"bert.encoder.layer.{layer}.{part}.{tensor}"
        for layer in range(12)
        for part in ("attention.self.query", "output.dense")
        for tensor in ("weight", "bias")
    ),
    "bert.pooler.dense.weight",
    "classifier.weight",
    "classifier.bias",
]
RESNET = [
    "conv1.weight",
    "bn1.weight",
    "bn1.running_mean",
    *(f"layer{n}.{block}.conv1.weight" for n in (1, 2, 3) for block in (0, 1)),
    "layer1.0.bn1.running_mean",
    "fc.weight",
]
SEQUENTIAL = ["0.weight", "0.bias", "2.weight", "4.0.weight", "4.1.weight", "10.weight"]

CASES: list[tuple[list[str], str, set[str], int]] = [
    # names, pattern, modules that it means, tensors in them
    (BERT, "embeddings", {"bert.embeddings"}, 3),
    (BERT, "bert.embeddings", {"bert.embeddings"}, 3),
    (BERT, "encoder.layer.0-8", {f"bert.encoder.layer.{n}" for n in range(9)}, 36),
    (BERT, "encoder.layer.10-11", {"bert.encoder.layer.10", "bert.encoder.layer.11"}, 8),
    (BERT, "layer.*.output", {f"bert.encoder.layer.{n}.output" for n in range(12)}, 24),
    (BERT, "*_embeddings",
     {"bert.embeddings.word_embeddings", "bert.embeddings.position_embeddings"}, 2),
    (BERT, "pooler.dense.weight", {"bert.pooler.dense.weight"}, 1),
    (BERT, "bias", {name for name in BERT if name.endswith("bias")}, 25),
    (BERT, "embed", set(), 0),  # steps count whole
    (BERT, "encoder.layer.12-20", set(), 0),
    (BERT, "layer.0.layer", set(), 0),
    (RESNET, "layer1-2", {"layer1", "layer2"}, 5),
    (RESNET, "layer?", {"layer1", "layer2", "layer3"}, 7),
    (RESNET, "conv1", {"conv1"}, 1),  # from the beginning where a name begins so
    (RESNET, "bn1", {"bn1"}, 2),
    (RESNET, "*", {"conv1", "bn1", "layer1", "layer2", "layer3", "fc"}, len(RESNET)),
    (SEQUENTIAL, "0-2", {"0", "2"}, 3),
    (SEQUENTIAL, "4.0-0", {"4.0"}, 1),
    (SEQUENTIAL, "1", set(), 0),
]  # fmt: skip


@pytest.mark.parametrize(("names", "pattern", "modules", "tensors"), CASES)
def test_match(names: list[str], pattern: str, modules: set[str], tensors: int) -> None:
    found = layers.match(pattern, names)
    assert set(found.modules) == modules
    assert len(found.tensors) == tensors


@pytest.fixture
def job_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a job whose call has this config."""
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(tmp_path / "home"))
    caller = Caller(tmp_path, tmp_path / "home")
    return lambda **config: caller.job("fine-tune", "pytorch", config)


@pytest.mark.parametrize(
    ("names", "pattern", "near"),
    [
        (BERT, "embedings", "embeddings"),
        (BERT, "encodr.layer.0-8", "encoder.layer.0-8"),
        (BERT, "encoder.layers.0-8", "encoder.layer.0-8"),
        (RESNET, "layer9", "layer1"),
        (RESNET, "transformer", None),
        (BERT, "encoder.layer.40-42", None),
        (BERT, "encoder.layer.11-9", "encoder.layer.9-11"),
    ],
)
def test_what_matches_nothing_is_refused_with_the_nearest(
    names: list[str], pattern: str, near: str | None, job_of: Any
) -> None:
    job = job_of(freezeLayers=["bias" if names is BERT else "fc", pattern])
    with pytest.raises(errors.InvalidConfiguration) as caught:
        layers.frozen(job, names, "Net")
    error = caught.value
    assert f"'{pattern}' matches nothing in Net" in error.message
    assert error.metadata.get("nearest") == near
    assert error.metadata["sent"] == pattern
    if near is not None:
        assert error.next_call is not None
        patterns = error.next_call["arguments"]["config"]["freezeLayers"]
        assert patterns[1] == near
        assert layers.match(near, names).tensors


def test_a_range_beyond_the_model_is_told(job_of: Any) -> None:
    job = job_of(freezeLayers=["encoder.layer.0-8"])
    six = [name for name in BERT if not any(f".layer.{n}." in name for n in range(6, 12))]
    (found,) = layers.frozen(job, six, "Net")
    assert len(found.modules) == 6
    assert job.warnings[-1].endswith("goes to 8, and the last of these in the model is 5")
    # Layers without weights (2 is an activation, say) are no reason.
    job = job_of(freezeLayers=["0-3", "encoder.layer.0-3"])
    layers.frozen(job, [*SEQUENTIAL, *BERT], "Net")
    assert not any("goes to" in warning for warning in job.warnings)


def test_the_longest_pattern_holds_and_no_tensor_has_two_rates(job_of: Any) -> None:
    sent = {"encoder.layer.11": 3e-4, "encoder": 1e-5, "classifier": 1e-3}
    job = job_of(layerLearningRates=sent)
    parts = layers.rates(job, BERT, [], "Net")
    assert [(one.pattern, rate) for one, rate in parts] == list(sent.items())
    tensors = [tensor for one, _ in parts for tensor in one.tensors]
    assert len(tensors) == len(set(tensors)) == 50
    assert all(".layer.11." in tensor for tensor in parts[0][0].tensors)


def test_a_rate_for_what_is_frozen_is_refused(job_of: Any) -> None:
    job = job_of(layerLearningRates={"embeddings": 1e-5}, freezeLayers=["embeddings"])
    frozen = layers.frozen(job, BERT, "Net")[0].tensors
    with pytest.raises(errors.InvalidConfiguration, match="all its 3 tensors are frozen"):
        layers.rates(job, BERT, frozen, "Net")
