"""Optimizers by name: every one that this version of PyTorch has."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ml_runner import errors
from ml_runner.frameworks.pytorch import optimizers

EXPECTED = {"Adadelta", "Adagrad", "Adam", "AdamW", "SparseAdam", "Adamax", "ASGD", "SGD", "RAdam",
            "Rprop", "RMSprop", "NAdam", "LBFGS"}  # fmt: skip


def build(config: dict[str, Any], model: torch.nn.Module | None = None):
    used: dict[str, Any] = {}
    model = model or torch.nn.Linear(3, 2, bias=False)
    return optimizers.build(config, model.parameters(), used.__setitem__), used


def refused(config: dict[str, Any]) -> errors.InvalidConfiguration:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        build(config)
    assert caught.value.solution
    return caught.value


def test_none_is_left_out() -> None:
    assert set(optimizers.known()) >= EXPECTED


@pytest.mark.parametrize("name", sorted(optimizers.known()))
def test_each_steps_as_when_made_by_hand_or_is_refused(name: str) -> None:
    if name == "LBFGS":
        assert "closure" in refused({"optimizer": name}).message
        return

    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        if name == "SparseAdam":
            return torch.nn.EmbeddingBag(4, 2, sparse=True)
        return torch.nn.Linear(4, 2, bias=False)

    inputs = torch.tensor([[0, 1]]) if name == "SparseAdam" else torch.ones(1, 4)
    ours, plain = model(), model()
    optimizer, _ = build({"optimizer": name, "learningRate": 0.01}, ours)
    by_hand = getattr(torch.optim, name)(plain.parameters(), lr=0.01)
    assert type(optimizer) is type(by_hand)
    for net, stepping in ((ours, optimizer), (plain, by_hand)):
        for _ in range(2):
            stepping.zero_grad()
            net(inputs).pow(2).sum().backward()
            stepping.step()
    assert torch.equal(ours.weight, plain.weight)
    assert not torch.equal(ours.weight, model().weight)


@pytest.mark.parametrize(
    ("sent", "name"),
    [("adam", "Adam"), ("AdamW", "AdamW"), ("adam_w", "AdamW"), ("sgd", "SGD"), ("SGD", "SGD"),
     ("RMSprop", "RMSprop"), ("rms_prop", "RMSprop"), ("adadelta", "Adadelta"),
     ("torch.optim.NAdam", "NAdam"), ("optim.Adagrad", "Adagrad")],
)  # fmt: skip
def test_names_are_written_as_people_write_them(sent: str, name: str) -> None:
    assert type(build({"optimizer": sent})[0]).__name__ == name


def test_defaults_are_told() -> None:
    optimizer, used = build({})
    assert type(optimizer) is torch.optim.Adam
    assert used == {"optimizer": "adam", "learningRate": 0.001}
    optimizer, used = build({"optimizer": "adadelta"})
    assert optimizer.param_groups[0]["lr"] == 1.0
    assert used == {"learningRate": 1.0}
    assert build({"optimizer": "sgd"})[0].param_groups[0]["lr"] == 0.001
    assert build({"optimizer": "adam", "learningRate": 0.1})[1] == {}


def test_the_seeds_words_and_the_librarys_own() -> None:
    optimizer, used = build(
        {
            "optimizer": "sgd",
            "learningRate": 0.1,
            "momentum": 0.9,
            "weightDecay": 0.0001,
            "optimizerArgs": {"nesterov": True},
        }
    )
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 0.0001)
    assert group["nesterov"] is True
    assert used == {}
    optimizer, used = build({"optimizerArgs": {"lr": 0.5, "betas": [0.5, 0.9]}})
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.9)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert used == {"optimizer": "adam"}


def test_groups_of_parameters_keep_their_own_rates() -> None:
    a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    groups = [{"params": a.parameters(), "lr": 0.5}, {"params": list(b.parameters())}]
    optimizer = optimizers.build({"learningRate": 0.1}, groups, lambda *_: None)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    assert all(len(group["params"]) == 2 for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("config", "words", "key"),
    [
        ({"optimizer": "adem"}, "Did you mean 'Adam'", "optimizer"),
        ({"optimizer": "keras.optimizers.Adam"}, "is not an optimizer", "optimizer"),
        ({"optimizer": "os.system"}, "is not an optimizer", "optimizer"),
        ({"optimizer": "adam", "momentum": 0.9}, "[0.9, 0.999]", "momentum"),
        ({"optimizer": "adagrad", "momentum": 0.9}, "RMSprop, SGD", "momentum"),
        ({"optimizer": "rprop", "weightDecay": 0.1}, "Rprop has no weightDecay", "weightDecay"),
        ({"optimizerArgs": {"beta": [0.9, 0.9]}}, "Did you mean 'betas'", "optimizerArgs.beta"),
        ({"optimizerArgs": {"params": []}}, "they are the model's", "optimizerArgs.params"),
        ({"optimizerArgs": {"amsgrad": "yes"}}, "true or false", "optimizerArgs.amsgrad"),
        ({"optimizerArgs": {"betas": [0.9]}}, "a list of 2 numbers", "optimizerArgs.betas"),
        ({"optimizerArgs": {"betas": 0.9}}, "a list of 2 numbers", "optimizerArgs.betas"),
        ({"optimizerArgs": {"eps": "small"}}, "a number", "optimizerArgs.eps"),
        ({"optimizerArgs": {"betas": [0.9, 2]}}, "Invalid beta", "optimizerArgs"),
        ({"optimizer": "sgd", "optimizerArgs": {"nesterov": True}}, "Nesterov", "optimizerArgs"),
        ({"learningRate": 0.1, "optimizerArgs": {"lr": 0.2}}, "both mean the same", "learningRate"),
        ({"optimizer": "sgd", "momentum": 0.9, "optimizerArgs": {"momentum": 0.5}},
         "both mean the same", "momentum"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(config: dict[str, Any], words: str, key: str) -> None:
    error = refused(config)
    assert words in f"{error.message} {error.solution}"
    assert error.metadata["key"] == f"config.{key}"


def test_the_same_value_twice_is_fine() -> None:
    built, _ = build({"learningRate": 0.1, "optimizerArgs": {"lr": 0.1}})
    assert built.param_groups[0]["lr"] == 0.1


def test_nothing_to_train() -> None:
    frozen = torch.nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(errors.InvalidConfiguration, match="no parameter to train"):
        build({}, frozen)
    with pytest.raises(errors.InvalidConfiguration, match="no parameter to train"):
        build({}, torch.nn.ReLU())
