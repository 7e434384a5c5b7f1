"""A booster of XGBoost, as the actions use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from ml_runner import errors
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.frameworks.boosting import safe_names
from ml_runner.frameworks.xgboost.parameters import first_lines
from ml_runner.training.history import History
from ml_runner.training.metrics import Outputs

# The library refuses these in the names of features.
FORBIDDEN = "[]<"

_FEW_ROWS = 256


class XGBoostModel:
    """See ``frameworks.base.Model``.

    Args:
        booster: the trained booster; ``best_iteration`` is set where early stopping watched.
        classes: original labels in the order of the booster's 0 … k-1; None for numbers.
        objective: name of its objective, which says what its outputs mean.
    """

    def __init__(
        self,
        booster: xgboost.Booster,
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
        self._threads_set: int | None = None
        self._linear = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"] == (
            "gblinear"
        )

    @property
    def rounds_used(self) -> tuple[int, int]:
        """The range of rounds that predictions use: up to the best one; (0, 0) means all."""
        best = self.booster.attr("best_iteration")
        return (0, 0) if best is None else (0, int(best) + 1)

    @property
    def has_probabilities(self) -> bool:
        """Whether the objective gives probabilities."""
        return self.objective in ("binary:logistic", "multi:softprob")

    def _raw(self, X: Any) -> np.ndarray:
        X, _ = safe_names(X, FORBIDDEN)
        # Waking threads for a few rows costs more than the rows.
        threads = 1 if len(X) < _FEW_ROWS else self._threads
        if threads != self._threads_set:
            self.booster.set_param({"nthread": threads})
            self._threads_set = threads
        if self._linear or len(X) > 10_000:
            matrix = xgboost.DMatrix(X, enable_categorical=True, nthread=self._threads)
            return self.booster.predict(matrix, iteration_range=self.rounds_used)
        # Without building a matrix: a third of the time for a row.
        return self.booster.inplace_predict(
            X, iteration_range=self.rounds_used, validate_features=False
        )

    def outputs(self, X: Any, *, probabilities: bool = True) -> Outputs:
        """Labels or numbers for the rows of X; probabilities come with the labels."""
        raw = np.asarray(self._raw(X))
        if self._labels is None:
            return Outputs(raw)
        if raw.ndim == 2:
            return Outputs(self._labels[np.argmax(raw, axis=1)], raw)
        if self.objective == "binary:logistic":
            both = np.column_stack([1 - raw, raw])
            return Outputs(self._labels[(raw > 0.5).astype(np.intp)], both)
        if self.objective == "binary:logitraw":
            return Outputs(self._labels[(raw > 0).astype(np.intp)], None, raw)
        return Outputs(self._labels[raw.astype(np.intp)])

    def feature_importances(self) -> np.ndarray | None:
        """Gain (linear booster: absolute weight) of each feature, summing to 1."""
        names = self.booster.feature_names
        if names is None:
            return None
        kind = "weight" if self._linear else "gain"
        scores = self.booster.get_score(importance_type=kind)
        values = np.array([np.abs(scores.get(name, 0.0)).mean() for name in names], dtype=float)
        total = values.sum()
        return values / total if total > 0 else values

    @property
    def importance_type(self) -> str:
        """What ``feature_importances`` are."""
        return "absolute weight" if self._linear else "share of the mean gain of a split"

    def files(self) -> dict[str, tuple[str, bytes]]:
        """``model.ubj``: the whole booster in XGBoost's own format."""
        return {"model": ("model.ubj", bytes(self.booster.save_raw(raw_format="ubj")))}

    def describe(self) -> dict[str, Any]:
        """Labels and objective."""
        return {"classes": self.classes, "objective": self.objective, "algorithm": self.algorithm}


def load(
    path: Path, data: bytes, description: Mapping[str, Any] | None, threads: int
) -> XGBoostModel:
    """A booster from UBJSON or JSON.

    Raises:
        ModelLoadingError: the file is something else, cut short, or too new.
    """
    # Of nothing the library makes an abort, so the ends are looked at first.
    if not (data.lstrip().startswith(b"{") and data.rstrip().endswith(b"}")):
        raise _not_whole(path, data, "it is no object with a beginning and an end")
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(data))
        config = json.loads(booster.save_config())["learner"]
    except (xgboost.core.XGBoostError, ValueError, KeyError) as error:
        raise _not_whole(path, data, first_lines(str(error))) from error
    booster.set_param({"nthread": threads})
    objective = config["learner_train_param"]["objective"]
    if description is not None:
        classes = description.get("classes")
    elif objective.startswith("multi:"):
        classes = list(range(int(config["learner_model_param"]["num_class"])))
    else:
        classes = [0, 1] if objective.startswith("binary:") else None
    algorithm = (description or {}).get("algorithm") or "XGBoost"
    return XGBoostModel(
        booster, algorithm=algorithm, classes=classes, objective=objective, threads=threads
    )


def _not_whole(path: Path, data: bytes, problem: str) -> errors.ModelLoadingError:
    return errors.ModelLoadingError(
        f"'{path}' is no whole XGBoost model ({len(data)} bytes, beginning with {data[:8]!r}):"
        f" {problem}",
        solution="Give a model that XGBoost saved as .ubj or .json.",
        metadata={"path": str(path), "bytes": len(data)},
    )
