"""A trained booster: what is the same in all libraries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from ml_runner import errors
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.training.history import History
from ml_runner.training.metrics import Outputs

# Waking threads for fewer rows than this costs more than the rows.
FEW_ROWS = 256


class BoosterModel(ABC):
    """See ``frameworks.base.Model``.

    Args:
        booster: the trained booster of the library.
        algorithm: its name in reports.
        classes: original labels in the order of the booster's 0 … k-1; None for numbers.
        objective: name of its objective, which says what its outputs mean.
        threads: for predictions; 0: the library's own choice.
    """

    def __init__(
        self,
        booster: Any,
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
    @abstractmethod
    def has_probabilities(self) -> bool:
        """Whether the objective gives probabilities."""

    @property
    @abstractmethod
    def importance_type(self) -> str:
        """What ``feature_importances`` are."""

    @abstractmethod
    def feature_importances(self) -> np.ndarray | None:
        """(features,), summing to 1."""

    @abstractmethod
    def files(self) -> dict[str, tuple[str, bytes]]:
        """The library's own format."""

    @abstractmethod
    def _raw(self, X: Any) -> np.ndarray:
        """What the library predicts: (n,), or (n, classes)."""

    def outputs(self, X: Any, *, probabilities: bool = True) -> Outputs:
        """Labels or numbers for the rows of X; probabilities come with the labels."""
        raw = np.asarray(self._raw(X))
        if self._labels is None:
            return Outputs(raw)
        return self._labelled(raw, self._labels)

    def _labelled(self, raw: np.ndarray, labels: np.ndarray) -> Outputs:
        """Labels from scores: by the largest of a row, or above one half for two classes."""
        if raw.ndim == 2:
            return Outputs(labels[np.argmax(raw, axis=1)], raw)
        return Outputs(labels[(raw > 0.5).astype(np.intp)], np.column_stack([1 - raw, raw]))

    def describe(self) -> dict[str, Any]:
        """Labels and objective."""
        return {"classes": self.classes, "objective": self.objective, "algorithm": self.algorithm}


def not_whole(
    path: Path, data: bytes, problem: str, title: str, formats: str
) -> errors.ModelLoadingError:
    """The file is no whole model of the library; ``formats`` says how it saves one."""
    return errors.ModelLoadingError(
        f"'{path}' is no whole {title} model ({len(data)} bytes, beginning with {data[:8]!r}):"
        f" {problem}",
        solution=f"Give a model that {title} saved {formats}.",
        metadata={"path": str(path), "bytes": len(data)},
    )
