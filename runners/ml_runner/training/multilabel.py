"""Metrics where a row may have several labels: (n, k) of 0 and 1, as in ``sklearn.metrics``."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def accuracy(true: Array, predicted: Array, weight: Array | None = None) -> float:
    """The share of rows all of whose labels are right (subset accuracy)."""
    right = (true == predicted).reshape(len(true), -1).all(axis=1)
    return float(np.average(right, weights=weight))


def averaged(
    kind: str, average: str, true: Array, predicted: Array, weight: Array | None = None
) -> float:
    """Precision, recall or f1 over the labels; 0 where there is nothing to divide by.

    Args:
        kind: ``precision``, ``recall`` or ``f1``.
        average: ``macro``, ``micro`` or ``weighted`` (by the rows that have the label).
        true: (n, k).
        predicted: (n, k).
        weight: (n,) or None.
    """
    hits, said, have = counts(true, predicted, weight)
    if average == "micro":
        return float(_score(kind, hits.sum(), said.sum(), have.sum()))
    scores = _score(kind, hits, said, have)
    if average == "weighted":
        return float(np.average(scores, weights=have)) if have.sum() else 0.0
    return float(scores.mean())


def counts(
    true: Array, predicted: Array, weight: Array | None = None
) -> tuple[Array, Array, Array]:
    """Of each label, (k,): rows rightly given it, rows given it, rows that have it."""
    rows = np.ones(len(true)) if weight is None else np.asarray(weight, float)
    has, said = (np.asarray(one, float).reshape(len(true), -1) for one in (true, predicted))
    return rows @ (has * said), rows @ said, rows @ has


def matrices(true: Array, predicted: Array, weight: Array | None = None) -> list[Any]:
    """Of each label [[true negatives, false positives], [false negatives, true positives]]."""
    hits, said, have = counts(true, predicted, weight)
    rows = float(len(true) if weight is None else np.sum(weight))
    found = np.stack([[rows - said - have + hits, said - hits], [have - hits, hits]])
    matrix = np.moveaxis(found, -1, 0)
    return (matrix if weight is not None else matrix.round().astype(np.int64)).tolist()


def report(
    true: Array, predicted: Array, weight: Array | None = None
) -> dict[str, dict[str, float]]:
    """``class_<position of the label>`` → precision, recall, f1 and support."""
    hits, said, have = counts(true, predicted, weight)
    columns = {kind: _score(kind, hits, said, have) for kind in ("precision", "recall", "f1")}
    return {
        f"class_{label}": {
            **{kind: float(scores[label]) for kind, scores in columns.items()},
            "support": float(support) if weight is not None else int(support),
        }
        for label, support in enumerate(have)
    }


def _score(kind: str, hits: Any, said: Any, have: Any) -> Any:
    below = np.asarray({"precision": said, "recall": have, "f1": (said + have) / 2}[kind], float)
    return np.divide(hits, below, out=np.zeros_like(below), where=below > 0)
