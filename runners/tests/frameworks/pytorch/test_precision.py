"""Scaled gradients, against the library's own scaler in a plain loop (it works on a CPU too)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch.precision import Precision

CPU = torch.device("cpu")


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Of which one has gradients that overflow in fp16."""
    source = torch.Generator().manual_seed(1)
    made = [
        (torch.randn(8, 4, generator=source), torch.randn(8, 1, generator=source)) for _ in range(9)
    ]
    made[3] = (made[3][0], made[3][1] * 1e4)
    return made


def plain(model: nn.Module, clip: float | None) -> dict[str, Any]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu")
    for inputs, targets in batches():
        with torch.autocast("cpu", dtype=torch.float16):
            loss = nn.functional.mse_loss(model(inputs), targets)
        scaler.scale(loss).backward()
        if clip is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return scaler.state_dict()


@pytest.mark.parametrize("clip", [None, 0.1])
def test_scaled_steps_are_those_of_a_plain_loop(clip: float | None) -> None:
    torch.manual_seed(0)
    expected, ours = nn.Linear(4, 1), nn.Linear(4, 1)
    ours.load_state_dict(expected.state_dict())
    scaler = plain(expected, clip)
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.01)
    precision = Precision("fp16", CPU)
    losses = precision.around(lambda x, y: nn.functional.mse_loss(ours(x), y))
    made = []
    for number, (inputs, targets) in enumerate(batches()):
        if number == 5:  # as a resumed run does
            state = copy.deepcopy(precision.state_dict())
            precision = Precision("fp16", CPU)
            precision.load_state_dict(state)
            losses = precision.around(lambda x, y: nn.functional.mse_loss(ours(x), y))
        precision.backward(losses(inputs, targets))
        made.append(precision.step(optimizer, ours.parameters(), clip))
        optimizer.zero_grad()
    assert made.count(False) == precision.skipped > 0
    assert not made[3]
    assert precision.state_dict()["scaler"] == scaler
    assert precision.facts()["skippedSteps"] == precision.skipped
    for one, other in zip(expected.parameters(), ours.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_run_does_not_go_on_in_another_precision() -> None:
    state = Precision("bf16", CPU).state_dict()
    with pytest.raises(errors.InvalidConfiguration) as caught:
        Precision("off", CPU, asked="auto", why="no bf16 here").load_state_dict(state)
    assert caught.value.metadata == {
        "key": "config.mixedPrecision", "sent": "off", "allowed": ["bf16"]
    }  # fmt: skip
