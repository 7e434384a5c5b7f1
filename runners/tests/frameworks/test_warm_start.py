"""Fitting in portions gives, to the last bit, what one fit gives; else it is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn import ensemble
from sklearn.base import clone
from sklearn.datasets import make_classification

from ml_runner.frameworks.sklearn import warm_start


class Steps:
    """Remembers what a fit tells."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def step(self, unit: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        assert unit == "tree"
        self.told.append((done, total))

    cancel_requested = False

    def wants_checkpoint(self) -> bool:
        return False

    def checkpoint(self, *_: Any, **__: Any) -> None:
        raise AssertionError


X, y = make_classification(900, 12, n_informative=6, n_classes=3, random_state=0)
X[np.random.RandomState(0).uniform(size=X.shape) < 0.05] = np.nan
WITHOUT_GAPS = np.nan_to_num(X)
WEIGHT = np.random.RandomState(1).uniform(0.2, 2, len(y))

ESTIMATORS = [
    ensemble.RandomForestClassifier(40, random_state=0),
    ensemble.RandomForestClassifier(
        40, random_state=1, max_samples=0.5, class_weight={0: 1, 1: 3, 2: 1}
    ),
    ensemble.RandomForestRegressor(40, random_state=0, max_features=0.5),
    ensemble.ExtraTreesClassifier(40, random_state=0, bootstrap=True),
    ensemble.ExtraTreesRegressor(40, random_state=5),
    ensemble.GradientBoostingClassifier(n_estimators=30, random_state=0, subsample=0.6),
    ensemble.GradientBoostingClassifier(n_estimators=30, random_state=0, max_features="sqrt"),
    ensemble.GradientBoostingRegressor(n_estimators=30, random_state=0, loss="huber"),
    ensemble.HistGradientBoostingClassifier(max_iter=30, random_state=0, class_weight="balanced"),
    ensemble.HistGradientBoostingRegressor(max_iter=30, random_state=0, l2_regularization=1.0),
]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_equals_one_fit(estimator: Any, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_start, "_SMALL", 0)
    monkeypatch.setattr(warm_start, "_SECONDS", 1e-6)
    monkeypatch.setattr(warm_start, "_SHARE", 0.0)
    features = WITHOUT_GAPS if "Gradient" in type(estimator).__name__ else X
    if "Hist" in type(estimator).__name__:
        features = X
    more: dict[str, Any] = {"sample_weight": WEIGHT} if weighted else {}
    once = clone(estimator).fit(features, y, **more)
    steps = Steps()
    portioned = clone(estimator)
    warm_start.fit(portioned, features, y, steps, **more)
    assert len(steps.told) > 4
    assert steps.told[-1][0] == steps.told[-1][1]
    assert portioned.get_params() == estimator.get_params()
    answer = "predict_proba" if hasattr(once, "predict_proba") else "predict"
    np.testing.assert_array_equal(
        getattr(once, answer)(features), getattr(portioned, answer)(features)
    )
    if hasattr(once, "feature_importances_"):
        np.testing.assert_array_equal(once.feature_importances_, portioned.feature_importances_)


@pytest.mark.parametrize(
    "estimator",
    [
        ensemble.RandomForestClassifier(random_state=None),
        ensemble.RandomForestClassifier(random_state=0, oob_score=True),
        ensemble.RandomForestClassifier(random_state=0, class_weight="balanced"),
        ensemble.RandomForestClassifier(random_state=0, warm_start=True),
        ensemble.GradientBoostingClassifier(random_state=0, n_iter_no_change=3),
        ensemble.HistGradientBoostingClassifier(random_state=0, early_stopping=True),
        ensemble.HistGradientBoostingClassifier(random_state=0, max_features=0.5),
        ensemble.AdaBoostClassifier(random_state=0),
        ensemble.BaggingClassifier(random_state=0),
    ],
    ids=str,
)
def test_is_off_where_it_would_differ(estimator: Any) -> None:
    assert warm_start.count_parameter(estimator, 900) is None


def test_early_stopping_by_the_number_of_rows() -> None:
    estimator = ensemble.HistGradientBoostingClassifier(random_state=0)
    assert warm_start.count_parameter(estimator, 10_000) == "max_iter"
    assert warm_start.count_parameter(estimator, 10_001) is None


def test_a_small_forest_is_fitted_in_one_go() -> None:
    steps = Steps()
    forest = ensemble.RandomForestClassifier(100, random_state=0)
    warm_start.fit(forest, X[:150, :4], y[:150], steps)
    assert steps.told == []
