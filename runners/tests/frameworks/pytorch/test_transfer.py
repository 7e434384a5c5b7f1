"""Weights taken over into a model of another number of outputs, and what stays frozen in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch import freezing, heads
from ml_runner.frameworks.pytorch.pretrained import transfer
from ml_runner.frameworks.pytorch.source import Asked
from ml_runner.frameworks.pytorch.targets import CLASSES, Target
from tests.actions.calling import Caller

FILE = Path("w.pt")


def _net(outputs: int, hidden: int = 6) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Tied(nn.Module):
    """One layer under two names, which gives the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 6)
        self.head = nn.Linear(6, 3)
        self.again = self.head

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.again(self.body(rows))


class Unordered(nn.Module):
    """Its output layer is not the last that it has, but the last that it calls."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.body = nn.Linear(4, 6)
        self.unused = nn.Linear(6, 3)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(rows))


def _asked(outputs: int | None, first: Any = None) -> Asked:
    first = torch.ones(2, 4) if first is None else first
    return Asked({}, Target(CLASSES), outputs, tuple(first.shape[1:]), first)


def test_what_fits_is_taken_and_the_output_layer_is_left() -> None:
    before, model = _net(3), _net(5)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    taken = transfer.take_over(model, before.state_dict(), FILE, 5)
    assert taken.taken == ["0.weight", "0.bias"]
    assert taken.new == ["2.weight", "2.bias"]
    assert taken.before == 3
    assert torch.equal(model[0].weight, before[0].weight)
    assert torch.equal(model[2].weight, fresh["2.weight"])


@pytest.mark.parametrize(
    ("model", "outputs", "named"),
    [
        (_net(5), None, "2.weight"),  # nobody asks for another number
        (_net(5), 4, "2.weight"),  # or for this one
        (_net(3, hidden=8), 3, "0.weight"),
        (_net(5, hidden=8), 5, "0.weight"),
        (nn.Sequential(*_net(3), nn.Linear(3, 3)), 3, "3.weight"),
        (nn.Sequential(nn.Linear(4, 6)), 6, "2.weight"),
        (nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3)), 3, "0.weight"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_named(
    model: nn.Module, outputs: int | None, named: str
) -> None:
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(errors.ModelLoadingError, match="are not those of Sequential") as caught:
        transfer.take_over(model, _net(3).state_dict(), FILE, outputs)
    assert named in caught.value.message
    assert all(torch.equal(fresh[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("model", "first", "names"),
    [
        (_net(3), torch.ones(2, 4), ["2"]),
        (Tied(), torch.ones(2, 4), ["head", "again"]),
        (Unordered(), torch.ones(2, 4), ["head"]),
        (
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 1, bias=False),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            torch.ones(2, 1, 8, 8), ["1"],
        ),
        (nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)).double(), torch.ones(2, 4).double(),
         ["0"]),
    ],
)  # fmt: skip
def test_the_output_layer_is_replaced(model: nn.Module, first: Any, names: list[str]) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    asked = _asked(7, first)
    width = transfer.width_of(model, asked)
    assert width == 3
    taken = transfer.Taken(list(before))
    how = transfer.renew_head(model, asked, taken, width=width, seed=1)
    assert how == {"names": names, "outputs": 7}
    assert model(first).shape == (2, 7)
    assert sorted({name.rpartition(".")[0] for name in taken.new}) == sorted(names)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in taken.taken)
    assert after[taken.new[0]].dtype == before[taken.new[0]].dtype
    # Made again by the description, and the same layer under each of its names.
    heads.replace(model, **how)
    assert len({id(model.get_submodule(name)) for name in names}) == 1


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), "1 (BatchNorm1d)"),
        (nn.Linear(4, 3), "the model itself (Linear)"),
        (nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (3, 2)), nn.Flatten(), nn.Linear(6, 6),
                       nn.Unflatten(1, (3, 2))), "3 (Linear)"),
    ],
)  # fmt: skip
def test_a_model_without_such_a_layer_is_refused(model: nn.Module, named: str) -> None:
    asked = _asked(7)
    with pytest.raises(errors.ModelLoadingError) as caught:
        transfer.renew_head(model, asked, transfer.Taken([]), width=3, seed=0)
    assert named in caught.value.message
    assert caught.value.metadata["outputs"] == 3


def test_inputs_of_another_width_are_refused_with_both() -> None:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        transfer.width_of(_net(3), _asked(3, torch.ones(2, 5)))
    assert caught.value.metadata["shape"] == [5]
    assert caught.value.metadata["expected"] == 4


# -- frozen ----------------------------------------------------------------------------------------


@pytest.fixture
def job_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a job whose call has this config."""
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(tmp_path / "home"))
    caller = Caller(tmp_path, tmp_path / "home")
    return lambda **config: caller.job("fine-tune", "pytorch", config)


class Mixed(nn.Module):
    """Layers with and without running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Linear(4, 6), nn.BatchNorm1d(6), nn.BatchNorm1d(6, affine=False), nn.Dropout()
        )
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.stem(rows)))


def test_only_what_holds_frozen_statistics_is_still(job_of: Any) -> None:
    model = Mixed()
    found = freezing.apply(job_of(freezeLayers=["stem"]), model)
    assert found.still == [model.stem[1], model.stem[2]]
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "norm.weight", "norm.bias", "head.weight", "head.bias"
    ]  # fmt: skip
    assert found.facts()["frozen"] == [
        {"pattern": "stem", "modules": ["stem"], "tensors": 10, "parameters": 4 * 6 + 6 + 12}
    ]
    # Statistics that are not frozen with the weights go on being measured.
    assert freezing.apply(job_of(freezeLayers=["bias"]), Mixed()).still == []


def test_groups_by_rate(job_of: Any) -> None:
    model = Mixed()
    rates = {"head": 0.1, "stem.0": 0.2}
    found = freezing.apply(job_of(layerLearningRates=rates, freezeLayers=["norm"]), model)
    assert [group.get("lr") for group in found.groups] == [None, 0.1, 0.2]
    assert [len(group["params"]) for group in found.groups] == [2, 2, 2]
    everything = freezing.apply(job_of(layerLearningRates={"*": 0.3}), Mixed())
    assert [group.get("lr") for group in everything.groups] == [0.3]


def test_a_tensor_of_two_names_learns_once_and_freezes_by_either(job_of: Any) -> None:
    found = freezing.apply(job_of(layerLearningRates={"again": 0.1}), Tied())
    assert [len(group["params"]) for group in found.groups] == [2, 2]
    model = Tied()
    found = freezing.apply(job_of(freezeLayers=["again"]), model)
    assert not model.head.weight.requires_grad
    assert found.facts()["frozen"][0]["parameters"] == 6 * 3 + 3
    assert [len(group["params"]) for group in found.groups] == [2]


def test_without_patterns_everything_learns(job_of: Any) -> None:
    model = Mixed()
    model.stem.requires_grad_(False)  # the script's own doing, which it may undo
    found = freezing.apply(job_of(), model)
    assert [len(group["params"]) for group in found.groups] == [len(list(model.parameters()))]
    assert found.facts() == {}
