"""Folds and splits are those of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from ml_runner import errors
from ml_runner.training.cross_validation import FoldPlan, folds, hold_out

_RANDOM = np.random.RandomState(0)
LABELS = np.array(["b", "a", "c"])[_RANDOM.choice(3, 103, p=[0.6, 0.3, 0.1])]
GROUPS = _RANDOM.randint(0, 17, 103)
WORDS = np.array([f"g{group}" for group in GROUPS], dtype=object)


def _same(plan: FoldPlan, splitter: Any, groups: Any = None, *, classes: bool = True) -> None:
    found = list(folds(plan, LABELS, groups, classification=classes))
    expected = list(splitter.split(np.zeros((103, 1)), LABELS, groups))
    assert len(found) == len(expected) == plan.folds
    for (train, test), (train_expected, test_expected) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(train, np.sort(train_expected))
        np.testing.assert_array_equal(test, np.sort(test_expected))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("count", [2, 5, 9])
def test_folds(count: int, shuffle: bool) -> None:
    more: dict[str, Any] = {"shuffle": shuffle}
    seeded = {**more, "random_state": 3 if shuffle else None}
    plain = FoldPlan(count, stratified=False, seed=3, **more)
    _same(plain, KFold(count, **seeded))
    _same(FoldPlan(count, seed=3, **more), KFold(count, **seeded), classes=False)
    _same(FoldPlan(count, seed=3, **more), StratifiedKFold(count, **seeded))
    grouped = FoldPlan(count, group_column="g", seed=3, **more)
    both = FoldPlan(count, stratified=True, group_column="g", seed=3, **more)
    for groups in (GROUPS, WORDS):
        _same(grouped, GroupKFold(count, **seeded), groups)
        _same(both, StratifiedGroupKFold(count, **seeded), groups)


@pytest.mark.parametrize(("rows", "share"), [(10, 0.2), (103, 0.25), (150, 0.333), (7, 0.5)])
def test_hold_out(rows: int, share: float) -> None:
    train, test = hold_out(rows, share, 5)
    expected = train_test_split(np.arange(rows), test_size=share, random_state=5)
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(test, expected[1])


def test_refuses_more_folds_than_it_has_members() -> None:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        list(folds(FoldPlan(200), LABELS, None, classification=False))
    assert caught.value.metadata["allowed"] == [2, 103]
    with pytest.raises(errors.InvalidConfiguration, match="different values in 'g'"):
        list(folds(FoldPlan(20, group_column="g"), LABELS, GROUPS, classification=True))
    with pytest.raises(errors.InvalidConfiguration, match="not classes"):
        list(folds(FoldPlan(3, stratified=True), np.arange(9.0), None, classification=False))


def test_a_seed_without_shuffling_is_refused() -> None:
    with pytest.raises(errors.InvalidConfiguration, match="not shuffled"):
        FoldPlan.from_config({"crossValidation": {"folds": 3, "seed": 1}}, None)
    plan = FoldPlan.from_config({"crossValidation": {"folds": 3, "shuffle": True}}, 7)
    assert plan is not None
    assert plan.seed == 7
