"""A booster of LightGBM, as the actions use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from ml_runner import errors
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.frameworks.lightgbm.parameters import is_multiclass, plain
from ml_runner.training.history import History
from ml_runner.training.metrics import Outputs

_FEW_ROWS = 256


class LightGBMModel:
    """See ``frameworks.base.Model``.

    Args:
        booster: the trained booster; predicts with its best iteration where there is one.
        classes: original labels in the order of the booster's 0 … k-1; None for numbers.
        objective: name of its objective, which says what its outputs mean.
    """

    def __init__(
        self,
        booster: lightgbm.Booster,
        *,
        algorithm: str,
        classes: list[Any] | None,
        objective: str,
        threads: int,
    ) -> None:
        self.booster = booster
        self.algorithm = algorithm
        self.task = REGRESSION if classes is None else CLASSIFICATION
        self.classes = classes
        self.objective = objective
        self.history: History | None = None
        self.better: dict[str, bool] = {}
        self.metadata: dict[str, Any] = {}
        self._labels = None if classes is None else np.asarray(classes)
        self._threads = threads

    @property
    def has_probabilities(self) -> bool:
        """Whether it tells classes apart: all such objectives give probabilities."""
        return self.classes is not None

    def outputs(self, X: Any, *, probabilities: bool = True) -> Outputs:
        """Labels or numbers for the rows of X; probabilities come with the labels."""
        # Waking threads for a few rows costs more than the rows.
        threads = 1 if len(X) < _FEW_ROWS else self._threads
        raw = np.asarray(self.booster.predict(X, num_threads=threads))
        if self._labels is None:
            return Outputs(raw)
        if raw.ndim == 1:
            return Outputs(
                self._labels[(raw > 0.5).astype(np.intp)], np.column_stack([1 - raw, raw])
            )
        return Outputs(self._labels[np.argmax(raw, axis=1)], raw)

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

    def describe(self) -> dict[str, Any]:
        """Labels and objective."""
        return {"classes": self.classes, "objective": self.objective, "algorithm": self.algorithm}


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
    return errors.ModelLoadingError(
        f"'{path}' is no whole LightGBM model ({len(data)} bytes, beginning with {data[:8]!r}):"
        f" {problem}",
        solution="Give a model that LightGBM saved as text.",
        metadata={"path": str(path), "bytes": len(data)},
    )


def _objective(text: str) -> str:
    for line in text.splitlines()[:40]:
        if line.startswith("objective="):
            return line.partition("=")[2].split(" ")[0]
    return "regression"
