"""How an estimator is fitted: in one go, or step by step."""

from __future__ import annotations

from typing import Any

from ml_runner.frameworks.base import Progress
from ml_runner.frameworks.sklearn import epochs, stepwise, warm_start

CAN = (
    "scikit-learn: forests (RandomForest, ExtraTrees), GradientBoosting, HistGradientBoosting and"
    " MLP, with a whole number as seed (the default is one) and without early stopping of its own;"
    " with checkpoint: true also SGD, Perceptron and PassiveAggressive; and every cross-validation"
    " between its folds."
)


def steps_for(estimator: Any, rows: int) -> type[stepwise.Steps] | None:
    """The way of fitting it step by step; None where there is none."""
    if warm_start.count_parameter(estimator, rows) is not None:
        return warm_start.TreePortions
    if epochs.is_network(estimator):
        return epochs.NetworkEpochs
    return epochs.LinearEpochs if epochs.is_linear(estimator) else None


def unit_of(estimator: Any) -> str:
    """What a fit of it counts."""
    kind = steps_for(estimator, 0)
    return "tree" if kind is None else kind.unit


def fit(
    estimator: Any, X: Any, y: Any, progress: Progress, *, wanted: bool | None, **parameters: Any
) -> Any:
    """Fits ``estimator``, in steps where that changes nothing and the fit is long, or as wanted.

    Args:
        estimator: fresh.
        X: (n, features).
        y: (n,).
        progress: who is told.
        wanted: ``checkpoint`` of the call.
        parameters: further arguments of ``fit``.

    Returns:
        The fitted estimator.
    """
    kind = steps_for(estimator, len(y))
    small = not wanted and progress.resumed is None and _is_small(kind, estimator, X)
    if kind is None or (not kind.exact and not wanted) or small:
        estimator.fit(X, y, **parameters)
        return estimator
    return stepwise.run(kind(estimator, X, y, parameters), progress)


def _is_small(kind: type[stepwise.Steps] | None, estimator: Any, X: Any) -> bool:
    if kind is warm_start.TreePortions:
        name = warm_start.count_parameter(estimator, len(X))
        return warm_start.is_small(X, estimator.get_params(deep=False)[name])
    return kind is epochs.NetworkEpochs and epochs.is_small(estimator, X)
