"""Fitting ensembles of trees in portions, so that a long fit says how far it is.

Only where the result is the same, to the last bit, as that of one ``fit``; a test compares them.
"""

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

from ml_runner.frameworks.base import Progress

# A portion takes about this long, or this share of the whole where that is longer (each begins with
# converting and, for histograms, binning the data anew), but no longer than people are patient.
_SECONDS, _SHARE, _MOST_SECONDS = 1.0, 0.01, 5.0
# The first one, from which the time of a tree is learned.
_FIRST = 20
# rows × columns × trees below which a fit takes well under a second: nothing to report.
_SMALL = 5e6

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


def fit(estimator: Any, X: Any, y: Any, progress: Progress, **fit_parameters: Any) -> None:
    """``estimator.fit(X, y)``, in portions that report progress where that changes nothing."""
    name = count_parameter(estimator, len(y))
    total = None if name is None else estimator.get_params(deep=False)[name]
    if name is None or total is None or len(y) * X.shape[1] * total < _SMALL or total < 8:
        estimator.fit(X, y, **fit_parameters)
        return
    progress.step("tree", 0, total, {})
    estimator.set_params(warm_start=True)
    try:
        _fit_portions(estimator, name, total, X, y, progress, fit_parameters)
    finally:
        estimator.set_params(**{"warm_start": False, name: total})


def _fit_portions(
    estimator: Any,
    name: str,
    total: int,
    X: Any,
    y: Any,
    progress: Progress,
    fit_parameters: dict[str, Any],
) -> None:
    done, portion = 0, max(1, min(_FIRST, total // 50))
    while done < total:
        portion = min(portion, total - done)
        start = time.perf_counter()
        estimator.set_params(**{name: done + portion})
        estimator.fit(X, y, **fit_parameters)
        per_tree = (time.perf_counter() - start) / portion
        done += portion
        progress.step("tree", done, total, {})
        wanted = min(max(_SECONDS, _SHARE * per_tree * total), _MOST_SECONDS)
        # The first portions are small and mostly overhead: grow step by step.
        portion = max(1, min(portion * 4, round(wanted / max(per_tree, 1e-9))))
        if (total - done - portion) * per_tree < wanted / 2:
            portion = total - done
