"""Splits as scikit-learn's, an order of its own, targets as losses take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from ml_runner import errors
from ml_runner.data import samples
from ml_runner.training import cross_validation


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(("n", "share"), [(10, 0.2), (101, 0.37), (1000, 0.001)])
def test_hold_out(n: int, share: float, seed: int) -> None:
    train, held = samples.hold_out(n, share, seed)
    expected = train_test_split(np.arange(n), test_size=share, random_state=seed)
    assert np.array_equal(train, expected[0])
    assert np.array_equal(held, expected[1])
    assert np.array_equal(held, cross_validation.hold_out(n, share, seed)[1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.83])
def test_stratified(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    labels = np.array(["a", "b", "c", "rare"])[
        np.concatenate([random.choice(3, 197, p=[0.6, 0.3, 0.1]), np.full(5, 3)])
    ]
    train, held = samples.hold_out(len(labels), share, seed, labels=labels)
    expected = train_test_split(
        np.arange(len(labels)), test_size=share, random_state=seed, stratify=labels
    )
    assert np.array_equal(train, expected[0])
    assert np.array_equal(held, expected[1])
    for label in "abc":
        wanted = share * np.sum(labels == label)
        assert abs(np.sum(labels[held] == label) - wanted) <= 1 + len(held) / len(labels)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_where_shares_round(seed: int) -> None:
    # 1 / 49 * 49 is less than 1, so that scikit-learn draws where nothing is to be drawn.
    labels = np.array(["a"] * 2 + ["b"] * 94 + ["c"] * 2)
    expected = train_test_split(np.arange(98), test_size=0.5, random_state=seed, stratify=labels)
    found = samples.hold_out(98, 0.5, seed, labels=labels)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_stratified_refusals() -> None:
    with pytest.raises(errors.InvalidConfiguration, match="only one of 'b'"):
        samples.hold_out(5, 0.4, 0, labels=np.array(list("aaaab")))
    with pytest.raises(errors.InvalidConfiguration, match="leaves 1 for validation"):
        samples.hold_out(6, 0.1, 0, labels=np.array(list("aaabbb")))
    with pytest.raises(errors.InvalidConfiguration, match="leaves none"):
        samples.hold_out(1, 0.5, 0)


def test_epoch_order() -> None:
    order = samples.epoch_order(100, 3, 5)
    assert np.array_equal(order, np.random.default_rng([3, 5]).permutation(100))
    assert sorted(order.tolist()) == list(range(100))
    assert not np.array_equal(order, samples.epoch_order(100, 3, 6))
    assert not np.array_equal(order, samples.epoch_order(100, 4, 5))
    np.random.seed(1)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr,index]
    samples.epoch_order(100, 3, 5)
    samples.batch_seed(3, 5, 0)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


def test_batches() -> None:
    order = np.arange(10)[::-1]
    whole = list(samples.batches(order, 4))
    assert [batch.tolist() for batch in whole] == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]
    assert [b.tolist() for b in samples.batches(order, 4, 2)] == [[1, 0]]
    assert list(samples.batches(order, 4, 3)) == []
    assert [b.tolist() for b in samples.batches(order, 4, 1, drop_last=True)] == [[5, 4, 3, 2]]
    assert (samples.batch_count(10, 4), samples.batch_count(10, 4, drop_last=True)) == (3, 2)
    assert samples.batch_count(8, 4) == 2


def test_batch_seeds() -> None:
    seeds = {
        samples.batch_seed(seed, epoch, batch)
        for seed in (0, 1, 2**32 - 1)
        for epoch in range(5)
        for batch in range(50)
    }
    assert len(seeds) == 3 * 5 * 50
    assert max(seeds) > 2**60
    # NumPy promises these for ever: a resume on another version draws the same.
    assert samples.batch_seed(1, 2, 3) == int(
        np.random.SeedSequence([1, 2, 3, 1]).generate_state(1, np.uint64)[0]
    )
    order = np.random.SeedSequence([1, 2]).generate_state(1, np.uint64)[0]
    assert samples.batch_seed(1, 2, 0) != int(order)


def encode(targets: Any, task: str | None = None, **options: Any) -> tuple[Any, list[str]]:
    told: list[str] = []
    result = samples.encode(
        np.asarray(targets), task=task, where="'data.csv'", warn=told.append, **options
    )
    return result, told


def test_labels() -> None:
    result, told = encode(["dog", "cat", "dog", "ant"])
    assert (result.task, result.classes, result.outputs) == (
        "classification",
        ["ant", "cat", "dog"],
        3,
    )
    assert result.values.tolist() == [2, 1, 2, 0]
    assert result.values.dtype == np.int64
    assert told == []
    assert encode([True, False])[0].classes == [False, True]
    later, _ = encode(["dog", "ant"], classes=["ant", "cat", "dog"])
    assert later.values.tolist() == [2, 0]
    with pytest.raises(errors.DataLoadingError, match="'bee'"):
        encode(["bee", "ant"], classes=["ant", "cat"])
    with pytest.raises(errors.DataLoadingError, match="one class only"):
        encode(["a", "a"])


def test_numbers() -> None:
    result, told = encode(np.linspace(0, 1, 50))
    assert (result.task, result.classes, result.outputs) == ("regression", None, 1)
    assert result.values.dtype == np.float32
    assert told == []
    result, told = encode([3, 5, 5, 3] * 10)
    assert result.task == "regression"
    assert "2 distinct whole numbers" in told[0]
    result, told = encode([3, 5, 5, 3], "classification")
    assert (result.classes, result.values.tolist()) == ([3, 5], [0, 1, 1, 0])
    result, _ = encode([1.0, 2.0], "classification")
    assert result.classes == [1.0, 2.0]
    assert encode(np.ones((4, 1)) * 0.5)[0].values.shape == (4,)
    result, _ = encode(np.arange(6).reshape(3, 2) / 7)
    assert (result.task, result.outputs, result.values.shape) == ("regression", 2, (3, 2))


def test_several_labels() -> None:
    result, told = encode([[0, 1, 1], [1, 0, 0], [0, 0, 0]])
    assert (result.task, result.outputs) == ("multilabel", 3)
    assert result.values.dtype == np.float32
    assert told == []
    one_hot = np.eye(3)[[2, 0, 1, 2]]
    result, told = encode(one_hot)
    assert result.task == "multilabel"
    assert "a single 1" in told[0]
    result, _ = encode(one_hot, "classification")
    assert (result.classes, result.values.tolist()) == ([0, 1, 2], [2, 0, 1, 2])
    assert encode([0, 1, 1], "multilabel")[0].outputs == 1


@pytest.mark.parametrize(
    ("targets", "task", "words"),
    [
        ([0.5, 1.0], "classification", "0.5"),
        ([3 * value for value in range(30)], "classification", "30 distinct numbers"),
        (["a", "b"], "regression", "'a'"),
        ([0, 2], "multilabel", "2"),
        (["a", "b"], "multilabel", "'a'"),
        ([[0, 1], [1, 1]], "classification", "(2, 2)"),
        ([1.0, np.nan, np.inf], None, "2 places, first at [1]"),
        ([1.0, 1e300], "regression", "too large for float32"),
    ],
)
def test_targets_that_do_not_fit(targets: Any, task: str | None, words: str) -> None:
    with pytest.raises(errors.ExecutorError) as caught:
        encode(targets, task)
    assert words in caught.value.message
    assert "'data.csv'" in caught.value.message
