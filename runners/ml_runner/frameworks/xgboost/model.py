"""A booster of XGBoost, as the actions use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from ml_runner import errors
from ml_runner.frameworks.boosting.columns import safe_names
from ml_runner.frameworks.boosting.model import FEW_ROWS, BoosterModel, not_whole
from ml_runner.frameworks.xgboost.parameters import first_lines
from ml_runner.training.metrics import Outputs

# The library refuses these in the names of features.
FORBIDDEN = "[]<"


class XGBoostModel(BoosterModel):
    """See ``BoosterModel``; ``best_iteration`` of the booster is set where stopping watched."""

    booster: xgboost.Booster

    def __init__(self, booster: xgboost.Booster, **more: Any) -> None:
        super().__init__(booster, **more)
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
        threads = 1 if len(X) < FEW_ROWS else self._threads
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

    def _labelled(self, raw: np.ndarray, labels: np.ndarray) -> Outputs:
        if raw.ndim == 2 or self.objective == "binary:logistic":
            return super()._labelled(raw, labels)
        if self.objective == "binary:logitraw":
            return Outputs(labels[(raw > 0).astype(np.intp)], None, raw)
        return Outputs(labels[raw.astype(np.intp)])

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
    return not_whole(path, data, problem, "XGBoost", "as .ubj or .json")
