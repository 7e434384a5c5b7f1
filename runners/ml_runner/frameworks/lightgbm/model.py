"""A booster of LightGBM, as the actions use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from ml_runner import errors
from ml_runner.frameworks.boosting.model import FEW_ROWS, BoosterModel, not_whole
from ml_runner.frameworks.lightgbm.parameters import is_multiclass, plain


class LightGBMModel(BoosterModel):
    """See ``BoosterModel``; it predicts with its best iteration where there is one."""

    booster: lightgbm.Booster

    @property
    def has_probabilities(self) -> bool:
        """Whether it tells classes apart: all such objectives give probabilities."""
        return self.classes is not None

    def _raw(self, X: Any) -> np.ndarray:
        threads = 1 if len(X) < FEW_ROWS else self._threads
        return np.asarray(self.booster.predict(X, num_threads=threads))

    def feature_importances(self) -> np.ndarray | None:
        """Gain of each feature, summing to 1 (counts of splits favour those of many values)."""
        gains = np.asarray(self.booster.feature_importance(importance_type="gain"), dtype=float)
        total = gains.sum()
        return gains / total if total > 0 else gains

    @property
    def importance_type(self) -> str:
        """What ``feature_importances`` are."""
        return "share of the gain"

    def files(self) -> dict[str, tuple[str, bytes]]:
        """``model.txt``: LightGBM's own format, up to the best iteration."""
        return {"model": ("model.txt", self.booster.model_to_string().encode())}


def load(
    path: Path, data: bytes, description: Mapping[str, Any] | None, threads: int
) -> LightGBMModel:
    """A booster from LightGBM's text format.

    Raises:
        ModelLoadingError: the file is something else or cut short.
    """
    text = data.decode("utf-8", errors="replace")
    # The library itself takes a text that was cut off among the trees.
    if "end of trees" not in text:
        raise _not_whole(path, data, "its end is missing")
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise _not_whole(path, data, plain(str(error))) from error
    objective = _objective(text)
    if description is not None:
        classes = description.get("classes")
    elif is_multiclass(objective):
        classes = list(range(booster.num_model_per_iteration()))
    else:
        classes = [0, 1] if objective == "binary" else None
    algorithm = (description or {}).get("algorithm") or "LightGBM"
    return LightGBMModel(
        booster, algorithm=algorithm, classes=classes, objective=objective, threads=threads
    )


def _not_whole(path: Path, data: bytes, problem: str) -> errors.ModelLoadingError:
    return not_whole(path, data, problem, "LightGBM", "as text")


def _objective(text: str) -> str:
    for line in text.splitlines()[:40]:
        if line.startswith("objective="):
            return line.partition("=")[2].split(" ")[0]
    return "regression"
