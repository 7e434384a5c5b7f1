"""Gradient checkpointing: the same gradients and statistics, from fewer activations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch import distribution, recomputing


class Block(nn.Module):
    def __init__(self, width: int, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(width, 4 * width), nn.BatchNorm1d(4 * width, momentum=momentum), nn.GELU(),
            nn.Dropout(0.3), nn.Linear(4 * width, width),
        )  # fmt: skip

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        return x + scale * self.body(x)


class Deep(nn.Module):
    def __init__(self, width: int = 8, blocks: int = 6, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.blocks = nn.ModuleList(Block(width, momentum) for _ in range(blocks))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x, scale=0.5)
        return self.head(x)


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(*(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True,
                          track_running_stats=True), nn.ReLU())
            for _ in range(3)
        ))  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages(x).mean((2, 3))


def learned(model: nn.Module, inputs: torch.Tensor, autocast: bool = False) -> dict[str, Any]:
    """Gradients and state after a step, under the seed 7."""
    torch.manual_seed(7)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = model(inputs).square().mean()
    loss.backward()
    gradients = {name: one.grad for name, one in model.named_parameters()}
    return {"loss": loss.detach(), **gradients, **model.state_dict(prefix="state.")}


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    ("make", "wanted", "blocks"),
    [
        (Deep, True, [f"blocks.{n}" for n in range(6)]),
        (lambda: Deep(momentum=None), True, [f"blocks.{n}" for n in range(6)]),
        (Deep, ["blocks.0", "head"], ["blocks.0", "head.0", "head.1"]),
        (Deep, ["blocks.1.body"], [f"blocks.1.body.{n}" for n in range(5)]),
        (Images, True, [f"stages.{n}" for n in range(3)]),
        (lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 3, enable_nested_tensor=False
        ), True, ["layers.0", "layers.1", "layers.2"]),
    ],
)  # fmt: skip
def test_gradients_and_statistics_are_those_without_it(
    make: Callable[[], nn.Module], wanted: Any, blocks: list[str], autocast: bool
) -> None:
    torch.manual_seed(0)
    plain = make()
    other = copy.deepcopy(plain)
    assert recomputing.apply(other, wanted) == blocks
    shape = (4, 4, 6, 6) if isinstance(plain, Images) else (16, 5, 4)
    inputs = torch.randn(shape if not isinstance(plain, Deep) else (16, 4))
    expected, found = learned(plain, inputs, autocast), learned(other, inputs, autocast)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    plain.eval(), other.eval()
    assert torch.equal(plain(inputs), other(inputs))


def peak_of_activations(model: nn.Module, inputs: torch.Tensor) -> int:
    """Bytes allocated at most at once between the start of forward and the end of backward."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        model(inputs).square().mean().backward()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def test_fewer_activations_are_kept() -> None:
    inputs = torch.randn(512, 4)
    sizes = {}
    for wanted in (False, True):
        torch.manual_seed(0)
        model = Deep(width=64, blocks=8)
        for parameter in model.parameters():  # so that gradients do not count
            parameter.grad = torch.zeros_like(parameter)
        if wanted:
            recomputing.apply(model, True)
        sizes[wanted] = peak_of_activations(model, inputs)
    assert sizes[False] > 8 * 3 * 512 * 256 * 4  # three activations of a block's body
    assert sizes[True] < sizes[False] / 3, sizes


def test_what_cannot_be_computed_again_says_what_can() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(2, 2), Block(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.one(x))

    for wanted, words in (
        (True, "no repeated blocks"),
        (["one"], "single layer"),
        (["tow"], "Did you mean 'two'"),
    ):
        with pytest.raises(errors.InvalidConfiguration) as caught:
            recomputing.apply(Flat(), wanted)
        error = caught.value
        assert words in error.message + error.solution
        assert error.metadata["allowed"] == ["two", "two.body"]


def test_pretrained_models_do_it_by_themselves() -> None:
    transformers = pytest.importorskip("transformers", reason="an optional library")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = transformers.BertModel(config)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.encoder(x).last_hidden_state

    torch.manual_seed(0)
    plain = Around()
    other = copy.deepcopy(plain)
    assert recomputing.apply(other, True) == ["encoder"]
    assert other.encoder.is_gradient_checkpointing
    inputs = torch.randint(0, 30, (4, 9))
    expected, found = learned(plain, inputs), learned(other, inputs)
    for name, value in expected.items():
        if value is not None:
            torch.testing.assert_close(value, found[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("key", ["compile", "gradientCheckpointing"])
def test_copies_on_several_gpus_are_not_wrapped(key: str) -> None:
    distribution.check_layout({key: True}, distribution.Plan(distribution.DDP, 2, "cuda"))
    with pytest.raises(errors.InvalidConfiguration) as caught:
        distribution.check_layout({key: True}, distribution.Plan(distribution.DP, 2, "cuda"))
    assert caught.value.metadata["key"] == f"config.{key}"
