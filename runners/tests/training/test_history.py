"""Histories as reports and files show them, and early stopping."""

from __future__ import annotations

import math

import pytest

from ml_runner import errors
from ml_runner.training.early_stopping import EarlyStopping
from ml_runner.training.history import History, thin


def _history(rounds: int) -> History:
    history = History()
    for number in range(rounds):
        history.add(
            {("train", "logloss"): 1 / (number + 1), ("validation", "auc"): number / rounds}
        )
    return history


def test_report_names_final_and_best() -> None:
    report = _history(3).to_report({"auc": True})
    assert report["train"] == {
        "logloss": [1.0, 0.5, pytest.approx(1 / 3)],
        "finalLogloss": pytest.approx(1 / 3),
        "bestLogloss": pytest.approx(1 / 3),
    }
    assert report["validation"]["bestAuc"] == pytest.approx(2 / 3)


def test_long_histories_are_thinned_to_fifty_and_whole_in_the_csv() -> None:
    history = _history(1000)
    report = history.to_report({})
    assert len(report["train"]["logloss"]) == len(report["train"]["rounds"]) == 50
    assert report["train"]["rounds"][0] == 1
    assert report["train"]["rounds"][-1] == 1000
    lines = history.to_csv().splitlines()
    assert lines[0] == "round,train_logloss,val_auc"
    assert len(lines) == 1001


@pytest.mark.parametrize("length", [0, 1, 49, 50, 51, 52, 99, 12345])
def test_thinning_keeps_both_ends(length: int) -> None:
    kept = thin(length)
    assert len(kept) == min(length, 50)
    assert kept == sorted(set(kept))
    if length:
        assert kept[0] == 0
        assert kept[-1] == length - 1


def _stops_at(values: list[float], stopping: EarlyStopping, *, up: bool = False) -> int | None:
    for position, value in enumerate(values):
        if stopping.update(position, {"val_loss": value}, more_is_better=up):
            return position
    return None


def test_early_stopping() -> None:
    falling = [5, 4, 3, 3, 3.5, 2.95, 2.9]
    stopping = EarlyStopping(2)
    assert _stops_at(falling, stopping) == 4
    assert (stopping.best, stopping.best_value) == (2, 3)
    assert _stops_at(falling, EarlyStopping(3)) is None
    assert _stops_at(falling, EarlyStopping(3, min_delta=0.5)) == 5
    assert _stops_at(falling, EarlyStopping(2), up=True) == 2
    assert _stops_at(falling, EarlyStopping(2, mode="max")) == 2
    assert _stops_at([1.0, math.nan, math.nan], EarlyStopping(2)) == 2


def test_early_stopping_names_what_is_measured() -> None:
    metrics = {"train_auc": 1.0, "train_logloss": 1.0, "val_auc": 1.0, "val_logloss": 1.0}
    assert EarlyStopping(1).name_in(metrics) == "val_logloss"
    assert EarlyStopping(1, "auc").name_in(metrics) == "val_auc"
    assert EarlyStopping(1, "val_loss").name_in(metrics) == "val_auc"
    assert EarlyStopping(1, "train_auc").name_in(metrics) == "train_auc"
    with pytest.raises(errors.InvalidConfiguration) as caught:
        EarlyStopping(1, "val_loglos").name_in(metrics)
    assert "val_logloss" in caught.value.solution


def test_thinning_keeps_the_best() -> None:
    for best in (1, 50, 98):
        kept = thin(100, always=best)
        assert len(kept) == 50
        assert {0, best, 99} <= set(kept)
    assert thin(100, always=0) == thin(100)


def test_patience_counted_anew() -> None:
    stopping = EarlyStopping(patience=2, metric="val_loss")
    values = [1.0, 2.0, 2.0, 2.0, 2.0]
    told = [
        stopping.update(position, {"val_loss": value}, more_is_better=False)
        for position, value in enumerate(values[:3])
    ]
    assert told == [False, False, True]
    stopping.counted_from = 2
    assert not stopping.update(3, {"val_loss": values[3]}, more_is_better=False)
    assert stopping.update(4, {"val_loss": values[4]}, more_is_better=False)
    assert stopping.best == 0
