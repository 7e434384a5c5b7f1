"""Ensembles of trees, fitted in portions: where that gives, to the last bit, what one fit gives."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.ensemble._forest import BaseForest

from ml_runner.frameworks.sklearn.stepwise import Steps, copied

# A portion takes about this long, or this share of the whole where that is longer (each begins with
# converting and, for histograms, binning the data anew), but no longer than people are patient.
_SECONDS, _SHARE, _MOST_SECONDS = 1.0, 0.01, 5.0
# The first one, from which the time of a tree is learned.
_FIRST = 20
# rows × columns × trees below which a fit takes well under a second: nothing to report.
_SMALL = 5e6
# rows × columns beyond which one tree takes a good part of a second.
_LARGE = 5e5

_GRADIENT = (GradientBoostingClassifier, GradientBoostingRegressor)
_HISTOGRAM = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)


def count_parameter(estimator: Any, rows: int) -> str | None:
    """The parameter that counts the trees, where portions give exactly what one fit gives."""
    if not type(estimator).__module__.startswith("sklearn."):
        return None  # what a class derived from them does in fit, nobody knows
    if isinstance(estimator, (BaseForest, *_GRADIENT)):
        name = "n_estimators"
    elif isinstance(estimator, _HISTOGRAM):
        name = "max_iter"
    else:
        return None
    parameters = estimator.get_params(deep=False)
    seeded = isinstance(parameters["random_state"], (int, np.integer))
    if not seeded or parameters["warm_start"] or parameters.get("verbose"):
        return None
    if isinstance(estimator, BaseForest):
        # Out-of-bag scores are reckoned anew each time; presets of class_weight are warned of.
        if parameters["oob_score"] or isinstance(parameters.get("class_weight"), str):
            return None
    elif isinstance(estimator, _GRADIENT):
        if parameters["n_iter_no_change"] is not None:
            return None
    elif _stops_early(parameters, rows) or parameters.get("max_features", 1.0) != 1.0:
        # Each portion would start the drawing of features from the seed again.
        return None
    return name


def _stops_early(parameters: dict[str, Any], rows: int) -> bool:
    wanted = parameters["early_stopping"]
    return rows > 10_000 if wanted == "auto" else bool(wanted)


class TreePortions(Steps):
    """An ensemble that grows by ``warm_start``, a portion of trees at a time."""

    unit = "tree"
    exact = True

    def __init__(self, estimator: Any, X: Any, y: Any, fit_parameters: dict[str, Any]) -> None:
        super().__init__(estimator, X, y, fit_parameters)
        name = count_parameter(estimator, len(y))
        assert name is not None
        self._name = name
        self.total = int(estimator.get_params(deep=False)[name])
        # One tree of a large table takes long enough to learn its time from.
        first = 1 if X.shape[0] * X.shape[1] > _LARGE else _FIRST
        self._portion = max(1, min(first, self.total // 50))

    def step(self) -> None:
        """A portion that takes about a second."""
        portion = min(self._portion, self.total - self.done)
        start = time.perf_counter()
        self.estimator.set_params(warm_start=True, **{self._name: self.done + portion})
        self.estimator.fit(self.X, self.y, **self.fit_parameters)
        per_tree = (time.perf_counter() - start) / portion
        self.done += portion
        wanted = min(max(_SECONDS, _SHARE * per_tree * self.total), _MOST_SECONDS)
        # The first portions are small and mostly overhead: grow step by step.
        self._portion = max(1, min(portion * 4, round(wanted / max(per_tree, 1e-9))))
        if (self.total - self.done - self._portion) * per_tree < wanted / 2:
            self._portion = self.total - self.done

    def finish(self) -> None:
        """Puts the parameters back."""
        self.estimator.set_params(warm_start=False, **{self._name: self.total})

    def snapshot(self) -> dict[str, Any]:
        """The trees so far, and where the random numbers stand."""
        return {"estimator": copied(self.estimator)}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes the trees over; what concerns the fit alone is this process's own."""
        own = {name: self.estimator.get_params()[name] for name in ("n_jobs",)
               if name in self.estimator.get_params()}  # fmt: skip
        self.estimator = state["estimator"].set_params(**own)


def is_small(X: Any, total: int | None) -> bool:
    """Whether the fit takes so short that nothing is to be told of it."""
    return total is None or X.shape[0] * X.shape[1] * total < _SMALL or total < 8
