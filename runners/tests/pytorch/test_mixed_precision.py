"""What mixed precision a call gets, and that evaluate computes as the training did."""

from __future__ import annotations

import runpy
from typing import Any

import numpy as np
import pandas as pd
import torch

from tests.actions.interrupting import Runs

_CONFIG = {"dataPath": "data/wine.csv", "targetColumn": "target", "modelScript": "mlp.py",
           "featureScaling": "standard", "lossFunction": "cross_entropy", "epochs": 3,
           "batchSize": 16}  # fmt: skip


def _request(**config: Any) -> dict[str, Any]:
    return {"action": "train", "framework": "pytorch", "config": {**_CONFIG, **config},
            "outputDir": "out", "gpuEnabled": False}  # fmt: skip


def test_fp16_is_refused_on_a_cpu_with_the_call_that_works(runs: Runs) -> None:
    error = runs.answer(_request(mixedPrecision="fp16"))["error"]
    assert error["type"] == "invalid-configuration"
    assert error["metadata"]["key"] == "config.mixedPrecision"
    assert "CPU" in error["message"]
    call = error["nextCall"]["arguments"]
    assert call["config"] == {**_CONFIG, "mixedPrecision": "bf16"}
    report = runs.report(runs.follow(error))
    assert report["metadata"]["mixedPrecision"] == "bf16"
    assert "mixedPrecisionWhy" not in report["metadata"]


def test_auto_says_what_it_became_and_why(runs: Runs) -> None:
    told = runs.report(_request(mixedPrecision="auto"))["metadata"]
    has = torch.cpu.get_capabilities()
    able = any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    assert told["mixedPrecision"] == ("bf16" if able else "off")
    assert "bf16" in told["mixedPrecisionWhy"]


def test_without_a_word_nothing_is_said(runs: Runs) -> None:
    assert "mixedPrecision" not in runs.report(_request())["metadata"]


def test_evaluate_computes_as_the_training_did(runs: Runs) -> None:
    runs.report(_request(mixedPrecision="bf16"))
    report = runs.report(
        {"action": "evaluate", "framework": "pytorch", "outputDir": "seen",
         "config": {"modelPath": "out", "dataPath": "data/wine.csv"}}
    )  # fmt: skip
    assert report["metadata"]["mixedPrecision"] == "bf16"
    frame = pd.read_csv(runs.base / "data/wine.csv")
    X = frame.drop(columns="target").to_numpy(np.float64)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    model = runpy.run_path(str(runs.base / "mlp.py"))["MLP"](13, 3).eval()
    model.load_state_dict(torch.load(runs.base / "out/best_model.pt", weights_only=True))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(torch.from_numpy(X))
    assert scores.dtype == torch.bfloat16
    expected = scores.float().softmax(1).numpy()
    seen = pd.read_csv(runs.base / "seen/predictions.csv")
    found = seen[[name for name in seen if name.startswith("probability_")]].to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
