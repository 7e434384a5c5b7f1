"""What only a GPU can show; see docs/gpu.md."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.actions import plainly
from tests.actions.interrupting import Runs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm GPU")

_TABLE = {"dataPath": "data/digits.csv", "targetColumn": "target", "modelScript": "mlp.py",
          "lossFunction": "cross_entropy", "validationSplit": 0.2, "batchSize": 64,
          "epochs": 3}  # fmt: skip

# A row takes a 64th of the GPU's memory, or with ``always`` each batch more than there is.
_HUNGRY = """
import torch
from torch import nn

class Hungry(nn.Module):
    def __init__(self, in_features, num_classes, always=False):
        super().__init__()
        self.layer = nn.Linear(in_features, num_classes)
        self.always = always

    def forward(self, x):
        total = torch.cuda.get_device_properties(x.device).total_memory
        rows = 256 if self.always else len(x)
        room = torch.empty(rows * total // 64, dtype=torch.uint8, device=x.device)
        return self.layer(x) + 0 * room[0]
"""


def _request(output: str, **config: Any) -> dict[str, Any]:
    return {"action": "train", "framework": "pytorch", "config": {**_TABLE, **config},
            "outputDir": output, "gpuEnabled": True}  # fmt: skip


def test_fp16_learns_as_a_plain_scaled_loop(runs: Runs) -> None:
    report = runs.report(_request("out", mixedPrecision="fp16", gradientClipping=1.0))
    assert report["gpuUsed"] is True
    assert report["metadata"]["mixedPrecision"] == "fp16"
    (expected,) = plainly.run(
        "pytorch_plain.py",
        runs.base / "data",
        [{"data": "digits.csv", "target": "target", "script": "mlp", "class": "MLP", "split": 0.2,
          "batch": 64, "epochs": 3, "clip": 1.0, "fp16": True}],
    )  # fmt: skip
    losses = [epoch["train_loss"] for epoch in expected["history"]]
    assert report["metrics"]["train"]["loss"] == pytest.approx(losses, rel=1e-3)


def test_auto_takes_what_the_gpu_has(runs: Runs) -> None:
    told = runs.report(_request("out", mixedPrecision="auto"))["metadata"]
    assert told["mixedPrecision"] in ("bf16", "fp16", "off")
    assert torch.cuda.get_device_name() in told["mixedPrecisionWhy"]


def test_a_killed_fp16_training_goes_on(runs: Runs) -> None:
    config = {"mixedPrecision": "fp16", "epochs": 30, "checkpointSteps": 1, "deterministic": True}
    whole = runs.report(_request("whole", **config))
    started = runs.start(_request("out", **config))
    started.wait_for("epoch", 5)
    report = runs.report(runs.follow(started.kill()))
    assert report["metrics"] == whole["metrics"]
    assert report["metadata"]["gradientScale"] == whole["metadata"]["gradientScale"]


def test_a_gpu_whose_memory_runs_out(runs: Runs) -> None:
    (runs.base / "hungry.py").write_text(_HUNGRY)
    report = runs.report(_request("out", modelScript="hungry.py", batchSize=128))
    assert report["metadata"]["batchSize"] < 64
    assert report["metadata"]["effectiveBatchSize"] == 128
    error = runs.answer(
        _request("error", modelScript="hungry.py", batchSize=128, modelArgs={"always": True})
    )["error"]
    assert error["type"] == "cuda-out-of-memory"
    for field in ("gpuModel", "gpuMemoryTotal", "gpuMemoryAllocated", "batchSize",
                  "modelParameters"):  # fmt: skip
        assert error["metadata"][field], field


def test_compiled_by_triton(runs: Runs) -> None:
    pytest.importorskip("triton", reason="compiling for a GPU needs it")
    plain = runs.report(_request("plain"))
    report = runs.report(_request("out", compile=True))
    assert report["metadata"]["compileSeconds"] > 0
    expected = plain["metrics"]["train"]["loss"]
    assert report["metrics"]["train"]["loss"] == pytest.approx(expected, rel=1e-3)
