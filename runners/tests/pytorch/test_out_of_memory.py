"""Batches that are too large for the memory: learned in parts, with the same result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.actions.interrupting import Runs

# A row takes 16 MB in each of two activations.
_WIDE = """
import torch
from torch import nn

class Wide(nn.Module):
    def __init__(self, in_features, num_classes):
        super().__init__()
        self.layer = nn.Linear(in_features, num_classes)
        self.width = nn.Parameter(torch.linspace(0, 1, 4_000_000))

    def forward(self, x):
        return self.layer(x) + (x.mean(1, keepdim=True) * self.width).tanh().mean(1, keepdim=True)
"""

# The library's own error, raised at will: in forward, or in the midst of backward when some
# gradients are there already.
_LIMITED = """
import random
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

def too_much(rows):
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 10.00 GiB"
        f" of which 1.00 GiB is free. {rows} rows"
    )

class FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, most):
        ctx.most = most
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if len(gradient) > ctx.most:
            too_much(len(gradient))
        return gradient, None

class Limited(nn.Module):
    def __init__(self, in_features, num_classes, most, where, norm=False, after=-1, drop=0.3):
        super().__init__()
        self.first = nn.Linear(in_features, 16)
        self.norm = nn.BatchNorm1d(16) if norm else nn.Identity()
        self.last = nn.Linear(16, num_classes)
        self.most, self.where, self.after, self.drop = most, where, after, drop
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.seen += len(x)
        hidden = F.dropout(self.norm(self.first(x)).relu(), self.drop, self.training)
        if self.drop:
            hidden = hidden * (random.random() + np.random.rand())
        if self.seen > self.after:
            if self.where == "backward":
                hidden = FailsBackward.apply(hidden, self.most)
            elif len(x) > self.most:
                too_much(len(x))
        return self.last(hidden)
"""


@pytest.fixture(autouse=True)
def _scripts(runs: Runs) -> None:
    (runs.base / "wide.py").write_text(_WIDE)
    (runs.base / "limited.py").write_text(_LIMITED)
    source = np.random.default_rng(0)
    for name, rows in (("rows.csv", 96), ("held.csv", 32)):
        X, y = source.normal(size=(rows, 4)), source.integers(0, 3, rows)
        lines = [",".join([*(f"{value:.6f}" for value in row), f"c{label}"])
                 for row, label in zip(X, y, strict=True)]  # fmt: skip
        (runs.base / name).write_text("\n".join(["a,b,c,d,target", *lines]) + "\n")


def _request(script: str, output: str, **config: Any) -> dict[str, Any]:
    config = {"dataPath": "rows.csv", "validationData": "held.csv", "targetColumn": "target",
              "modelScript": script, "epochs": 3, "batchSize": 32, "optimizer": "sgd",
              "learningRate": 0.05, "momentum": 0.9, "lossFunction": "cross_entropy",
              **config}  # fmt: skip
    return {"action": "train", "framework": "pytorch", "config": config, "outputDir": output,
            "gpuEnabled": False}  # fmt: skip


def _weights(runs: Runs, output: str) -> dict[str, torch.Tensor]:
    return torch.load(runs.base / output / "last_model.pt", weights_only=True)


def _same(runs: Runs, halved: Any, small: Any) -> None:
    """Two trainings of the same losses and weights."""
    for part in ("train", "validation"):
        expected = small["metrics"][part]["loss"]
        assert halved["metrics"][part]["loss"] == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert halved["metrics"][part]["accuracy"] == small["metrics"][part]["accuracy"]
    one, other = _weights(runs, "halved"), _weights(runs, "small")
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-6)


def test_the_hosts_allocator_under_a_memory_limit(runs: Runs) -> None:
    """As a training of that batch size and accumulation; a resumed one keeps both."""
    halved = runs.report(_request("wide.py", "halved"), "--memory-limit", "700MB")
    told = halved["metadata"]
    assert told["batchSize"] in (16, 8, 4, 2), told
    assert told["requestedBatchSize"] == told["effectiveBatchSize"] == 32
    assert told["batchSize"] * told["gradientAccumulation"] == 32
    assert told["batchSizeHalvings"] >= 1
    warnings = [text for text in halved["warnings"] if "effective batch size stays" in text]
    assert len(warnings) == told["batchSizeHalvings"], halved["warnings"]
    assert "BatchNorm" not in warnings[0]
    small = runs.report(
        _request("wide.py", "small", batchSize=told["batchSize"],
                 gradientAccumulation=told["gradientAccumulation"])
    )  # fmt: skip
    _same(runs, halved, small)


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("norm", [False, True])
def test_a_step_that_failed_leaves_no_trace(runs: Runs, where: str, norm: bool) -> None:
    """Its dropout is drawn again, gradients and statistics are gone; in mid-accumulation too."""
    arguments = {"where": where, "norm": norm}
    halved = runs.report(
        _request("limited.py", "halved", modelArgs={**arguments, "most": 8},
                 gradientAccumulation=2)
    )  # fmt: skip
    assert halved["metadata"]["batchSize"] == 8
    assert halved["metadata"]["effectiveBatchSize"] == 64
    assert sum("BatchNorm (1 of" in text for text in halved["warnings"]) == 2 * norm
    small = runs.report(
        _request("limited.py", "small", modelArgs={**arguments, "most": 999}, batchSize=8,
                 gradientAccumulation=8)
    )  # fmt: skip
    assert _weights(runs, "halved")["seen"] == _weights(runs, "small")["seen"] == 3 * 96
    _same(runs, halved, small)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_memory_that_runs_out_later_changes_nothing(runs: Runs, where: str) -> None:
    """In the second epoch, its first two batches behind: as if there had been enough."""
    arguments = {"where": where, "drop": 0}
    halved = runs.report(
        _request("limited.py", "halved", modelArgs={**arguments, "most": 16, "after": 96 + 64})
    )
    assert halved["metadata"]["batchSize"] == 16
    assert any("epoch 2, batch 3" in text for text in halved["warnings"]), halved["warnings"]
    whole = runs.report(_request("limited.py", "small", modelArgs={**arguments, "most": 999}))
    assert _weights(runs, "halved")["seen"] == _weights(runs, "small")["seen"]
    _same(runs, halved, whole)


def test_a_resumed_run_keeps_the_parts(runs: Runs) -> None:
    config = {"modelArgs": {"where": "forward", "most": 8, "norm": True}, "epochs": 40,
              "checkpointSteps": 1, "checkpoint": True}  # fmt: skip
    whole = runs.report(_request("limited.py", "whole", **config))
    started = runs.start(_request("limited.py", "out", **config))
    started.wait_for("epoch", 11)
    error = started.kill()
    # Nothing fails any more: the parts are those of the checkpoint.
    script = runs.base / "limited.py"
    script.write_text(script.read_text().replace("len(x) > self.most", "False"))
    report = runs.report(runs.follow(error))
    assert report["metadata"]["batchSize"] == 8
    assert report["metrics"] == whole["metrics"]
    one, other = _weights(runs, "whole"), _weights(runs, "out")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_mended_is_the_seeds_error(runs: Runs) -> None:
    error = runs.answer(
        _request("limited.py", "out", batchSize=64, modelArgs={"where": "forward", "most": 0})
    )["error"]
    assert error["type"] == "cuda-out-of-memory"
    assert error["exitCode"] == 1
    assert error["message"].startswith("CUDA out of memory. Tried to allocate 2.50 GiB")
    assert error["stderr"].startswith("OutOfMemoryError: CUDA out of memory")
    assert error["metadata"]["batchSize"] == 4
    assert error["metadata"]["triedBatchSizes"] == [64, 32, 16, 8]
    assert error["metadata"]["notHalved"] == "it was halved 4 times"
    assert error["metadata"]["modelParameters"] == 4 * 16 + 16 + 16 * 3 + 3
    assert error["solution"] == ("Reduce batch size (currently 4) or model size. Try batchSize: 2")
    assert error["nextCall"]["arguments"]["config"]["batchSize"] == 2


def test_batch_norm_is_not_cut_to_single_rows(runs: Runs) -> None:
    config = {"batchSize": 4, "modelArgs": {"where": "forward", "most": 1, "norm": True}}
    error = runs.answer(_request("limited.py", "out", **config))["error"]
    assert error["type"] == "cuda-out-of-memory"
    assert error["metadata"]["batchSize"] == 2
    assert error["metadata"]["notHalved"] == "BatchNorm cannot learn from a single row"
