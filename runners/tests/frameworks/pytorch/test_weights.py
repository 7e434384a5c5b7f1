"""Weights from files: good, old, damaged, malicious; and held against models."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch import weights

PATH = Path("/somewhere/model.pt")


class Net(nn.Module):
    """At the top of a module, so that a pickle of it can be made."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


STATE = Net().state_dict()
OLD = {"_use_new_zipfile_serialization": False}


def refused(data: bytes, **options: Any) -> errors.ModelLoadingError:
    with pytest.raises(errors.ModelLoadingError) as caught:
        weights.load_file(PATH, data, **options)
    assert str(PATH) in caught.value.message
    assert caught.value.solution
    return caught.value


@pytest.mark.parametrize(
    "data",
    [saved(STATE), saved(STATE, **OLD), safetensors.torch.save(dict(STATE))],
    ids=["new", "old", "safetensors"],
)
def test_each_form_is_read(data: bytes) -> None:
    found = weights.load_file(PATH, data)
    assert found.state.keys() == STATE.keys()
    assert all(torch.equal(found.state[name], STATE[name]) for name in STATE)
    assert (found.module, found.notes) == (None, [])


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model", "net"])
def test_checkpoints_of_training_scripts_are_opened(name: str) -> None:
    optimizer = torch.optim.Adam(Net().parameters()).state_dict()
    found = weights.load_file(PATH, saved({"epoch": 3, name: STATE, "optimizer": optimizer}))
    assert found.state.keys() == STATE.keys()
    assert found.extra["epoch"] == 3
    assert f"'{name}'" in found.notes[0]


@pytest.mark.parametrize("options", [{}, OLD], ids=["new", "old"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_malicious_file_never_runs(
    tmp_path: Path, options: dict[str, Any], wrapped: bool
) -> None:
    target = tmp_path / "made by the pickle"
    evil = Evil(target)
    error = refused(saved({**STATE, "x": evil} if wrapped else evil, **options))
    assert not target.exists()
    assert "mkdir" in error.message
    assert "none of it was run" in error.message
    assert error.metadata["key"] == "config.allowPickle"
    # The test itself can tell: trusted, it runs.
    refused(saved(evil, **options), allow_pickle=True)
    assert target.exists()


def test_a_raw_pickle_never_runs(tmp_path: Path) -> None:
    target = tmp_path / "made by the pickle"
    for protocol in (0, 2, 4, 5):
        refused(pickle.dumps(Evil(target), protocol=protocol))
        assert not target.exists()
    assert "torch.save did not write" in refused(pickle.dumps({"a": 1})).message


@pytest.mark.parametrize("options", [{}, OLD], ids=["new", "old"])
def test_a_whole_model_needs_trust(options: dict[str, Any]) -> None:
    error = refused(saved(nn.Linear(2, 2), **options))
    assert "torch.nn.modules.linear.Linear" in error.message
    assert "allowPickle: true" in error.solution
    found = weights.load_file(PATH, saved(nn.Linear(2, 2), **options), allow_pickle=True)
    assert isinstance(found.module, nn.Linear)
    assert set(found.state) == {"weight", "bias"}
    assert "Linear" in found.notes[0]


def test_a_whole_model_whose_class_is_not_there() -> None:
    data = saved(Net()).replace(b"Net", b"Nit")
    fixed = io.BytesIO()  # the archive again, its checksums right
    source = zipfile.ZipFile(io.BytesIO(saved(Net())))
    with zipfile.ZipFile(fixed, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name).replace(b"Net", b"Nit"))
    assert "modelScript" in refused(fixed.getvalue(), allow_pickle=True).solution
    assert "has changed" in refused(data).message or "damaged" in refused(data).message


GOOD = saved(STATE)


def archive_of(**files: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return file.getvalue()


def scripted() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), file)
    return file.getvalue()


def flipped(data: bytes) -> bytes:
    """One bit of a tensor's numbers changed."""
    at = data.index(STATE["body.weight"].numpy().tobytes()) + 5
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"", "it is empty"),
        (lambda: GOOD[: len(GOOD) // 2], "cut off or damaged"),
        (lambda: GOOD[:-3], "cut off or damaged"),
        (lambda: flipped(GOOD), "has changed"),
        (lambda: saved(STATE, **OLD)[:-10], "cut off or damaged"),
        (lambda: saved(STATE, **OLD)[:250], "cut off or damaged"),
        (lambda: saved(STATE, **OLD)[:20], "damaged"),
        (lambda: archive_of(word_document_xml="<w/>"), "a zip archive of something else"),
        (scripted, "TorchScript"),
        (lambda: b"hello world", "it is text, beginning with 'hello world'"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "Git LFS"),
        (lambda: b"<!DOCTYPE html><html></html>", "HTML"),
        (lambda: bytes(range(1, 256)) * 4, "no file of PyTorch"),
        (lambda: b"\x80\x02" + bytes(range(200, 256)), "torch.save did not write"),
        (lambda: saved([torch.zeros(2)]), "it holds a list, not a state dict"),
        (lambda: saved({"epoch": 3, "loss": 0.5}), "a dict of epoch: int, loss: float"),
        (lambda: saved({}), "a dict of nothing"),
        (lambda: saved(torch.zeros(3)), "it holds a Tensor"),
        (lambda: safetensors.torch.save(dict(STATE))[:-5], "damaged: it has"),
        (lambda: safetensors.torch.save(dict(STATE))[:60], "its header is not whole"),
    ],
)  # fmt: skip
def test_each_damage_is_named(make: Any, words: str) -> None:
    assert words in refused(make()).message


@pytest.mark.parametrize("data", [saved(STATE), saved(STATE, **OLD)], ids=["new", "old"])
def test_cut_anywhere_it_is_a_clear_error(data: bytes) -> None:
    for end in range(0, len(data), 37):
        refused(data[:end])


# -- against models --------------------------------------------------------------------------------


def test_weights_that_fit_are_loaded() -> None:
    model = Net()
    assert weights.load_into(model, STATE, PATH) == []
    assert torch.equal(model.head.weight, STATE["head.weight"])


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_away(prefix: str) -> None:
    model = Net()
    state = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    notes = weights.load_into(model, state, PATH)
    assert torch.equal(model.head.weight, STATE["head.weight"])
    assert len(notes) == prefix.count(".")
    assert "was taken away" in notes[0]


def test_a_prefix_that_the_model_has_stays() -> None:
    inner = Net()
    wrapped = nn.Module()
    wrapped.module = inner
    assert weights.load_into(wrapped, wrapped.state_dict(), PATH) == []


def test_another_shape_is_named_with_both() -> None:
    with pytest.raises(errors.ModelLoadingError) as caught:
        weights.load_into(Net(outputs=5), STATE, PATH)
    error = caught.value
    assert "head.weight is (2, 4) in the file and (5, 4) in the model" in error.message
    assert error.metadata["shapes"]["head.weight"] == {"file": [2, 4], "model": [5, 4]}
    assert error.metadata["missing"] == error.metadata["unexpected"] == []
    found = weights.match(Net(outputs=5), STATE)
    assert not found.exact
    assert set(found.shapes) == {"head.weight", "head.bias"}


def test_other_names_are_named() -> None:
    other = {"body.weight": STATE["body.weight"], "tail.weight": torch.zeros(1)}
    model = Net()
    before = model.body.weight.clone()
    with pytest.raises(errors.ModelLoadingError) as caught:
        weights.load_into(model, other, PATH)
    assert "lacks body.bias, head.weight, head.bias" in caught.value.message
    assert "also has tail.weight" in caught.value.message
    assert torch.equal(model.body.weight, before)  # nothing is loaded by halves


def test_lazy_layers_take_their_sizes_from_the_file() -> None:
    model = nn.Sequential(nn.LazyLinear(4))
    weights.load_into(model, {"0.weight": torch.ones(4, 3), "0.bias": torch.ones(4)}, PATH)
    assert model(torch.zeros(1, 3)).tolist() == [[1.0] * 4]
