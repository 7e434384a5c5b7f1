"""Fitting in portions gives, to the last bit, what one fit gives; else it is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ml_runner import errors
from ml_runner.frameworks.base import FitState
from ml_runner.frameworks.sklearn import fitting, warm_start


class Steps:
    """Remembers what a fit tells; breaks it off after so many units."""

    cancel_requested = False

    def __init__(self, resumed: FitState | None = None, *, stop_after: int | None = None) -> None:
        self.told: list[tuple[int, int]] = []
        self.resumed = resumed
        self.keeps_checkpoints = resumed is not None or stop_after is not None
        self._stop_after = stop_after
        self.kept: FitState | None = None

    def step(self, unit: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        self.told.append((done, total))
        if self._stop_after is not None and done >= self._stop_after:
            raise errors.Cancelled("stop", solution="")

    def wants_checkpoint(self) -> bool:
        return False

    def checkpoint(
        self, done: int, state: Mapping[str, Any], files: Mapping[str, bytes], *, now: bool = False
    ) -> None:
        assert now
        self.kept = FitState(done, state, files)


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
    portioned = fitting.fit(portioned, features, y, steps, wanted=None, **more)
    assert len(steps.told) > 4
    assert steps.told[-1][0] == steps.told[-1][1]
    assert portioned.get_params() == estimator.get_params()
    answer = "predict_proba" if hasattr(once, "predict_proba") else "predict"
    np.testing.assert_array_equal(
        getattr(once, answer)(features), getattr(portioned, answer)(features)
    )
    if hasattr(once, "feature_importances_"):
        np.testing.assert_array_equal(once.feature_importances_, portioned.feature_importances_)


NETWORKS = [
    MLPClassifier(hidden_layer_sizes=(12,), max_iter=12, random_state=0),
    MLPClassifier(hidden_layer_sizes=(12, 5), max_iter=60, tol=1e-2, n_iter_no_change=3,
                  random_state=4),
    MLPClassifier(hidden_layer_sizes=(8,), solver="sgd", learning_rate="adaptive", tol=0.1,
                  n_iter_no_change=1, learning_rate_init=0.1, max_iter=40, random_state=0),
    MLPClassifier(hidden_layer_sizes=(8,), shuffle=False, max_iter=8, random_state=0),
    MLPRegressor(hidden_layer_sizes=(12,), batch_size=32, max_iter=10, random_state=2),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("as_frame", [False, True], ids=["array", "frame"])
@pytest.mark.parametrize("estimator", NETWORKS, ids=str)
def test_epochs_of_a_network_equal_one_fit(estimator: Any, as_frame: bool) -> None:
    features = pd.DataFrame(WITHOUT_GAPS).add_prefix("x") if as_frame else WITHOUT_GAPS
    once = clone(estimator).fit(features, y)
    broken = Steps(stop_after=5)
    with pytest.raises(errors.Cancelled):
        fitting.fit(clone(estimator), features, y, broken, wanted=True)
    assert broken.kept is not None
    assert 0 < broken.kept.done < 6
    stepped = fitting.fit(clone(estimator), features, y, Steps(broken.kept), wanted=True)
    for one, other in zip(
        once.coefs_ + once.intercepts_, stepped.coefs_ + stepped.intercepts_, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert once.loss_curve_ == stepped.loss_curve_
    assert once.n_iter_ == stepped.n_iter_
    assert once.get_params() == stepped.get_params()
    assert set(vars(once)) == set(vars(stepped))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_broken_off_in_the_middle_and_taken_up_again(estimator: Any) -> None:
    once = clone(estimator).fit(WITHOUT_GAPS, y)
    broken = Steps(stop_after=6)
    with pytest.raises(errors.Cancelled):
        fitting.fit(clone(estimator), WITHOUT_GAPS, y, broken, wanted=True)
    assert broken.kept is not None
    again = fitting.fit(clone(estimator), WITHOUT_GAPS, y, Steps(broken.kept), wanted=True)
    answer = "predict_proba" if hasattr(once, "predict_proba") else "predict"
    np.testing.assert_array_equal(
        getattr(once, answer)(WITHOUT_GAPS), getattr(again, answer)(WITHOUT_GAPS)
    )
    assert again.get_params() == estimator.get_params()


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
    fitting.fit(forest, X[:150, :4], y[:150], steps, wanted=None)
    assert steps.told == []
