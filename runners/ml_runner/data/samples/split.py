"""Holding out part of the samples, exactly as scikit-learn's ``train_test_split`` does."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml_runner import errors
from ml_runner.training import cross_validation


def hold_out(
    n: int, share: float, seed: int, *, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(training positions, held-out positions), shuffled.

    Without ``labels`` equal to ``train_test_split(range(n), test_size=share, random_state=seed)``
    and so to the split of every other framework's training; with them to the same with
    ``stratify=labels``: each class gets its share of the held-out samples rounded down, what is
    left over goes to the classes with the largest remainders (ties drawn), and within a class the
    samples are drawn at random.

    Args:
        n: number of samples.
        share: between 0 and 1; the held-out samples are ``ceil(share * n)``.
        seed: of the drawing.
        labels: (n,) the class of each sample, to keep the shares of the classes.

    Raises:
        InvalidConfiguration: a side is left empty, or (stratified) has fewer samples than there
            are classes, or a class has one sample only.
    """
    train, held = cross_validation.hold_out(n, share, seed)
    if labels is None:
        return train, held
    return _stratified(np.asarray(labels), share, len(train), len(held), seed)


def _stratified(
    labels: np.ndarray, share: float, train_size: int, held_size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    classes, of_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
    lone = classes[counts < 2].tolist()
    if lone:
        shown = ", ".join(repr(label) for label in lone[:5])
        raise _refused(
            f"stratify needs two samples of each class, and there is only one of {shown}"
            + (f" and {len(lone) - 5} more" if len(lone) > 5 else ""),
            "Add samples, leave those out, or leave stratify out.",
            {"key": "config.stratify", "sent": True, "classes": lone[:50]},
        )
    for size, side in ((train_size, "training"), (held_size, "validation")):
        if size < len(classes):
            raise _refused(
                f"validationSplit {share} of {len(labels)} samples leaves {size} for {side},"
                f" and there are {len(classes)} classes",
                "Give more samples or another share, or leave stratify out.",
                {"key": "config.validationSplit", "sent": share, "classes": len(classes)},
            )
    random = np.random.RandomState(seed)
    in_train = _shares(counts, train_size, random)
    # What is left; but rounding may draw for it as well, as scikit-learn's does.
    in_held = _shares(counts - in_train, held_size, random)
    members = np.split(np.argsort(of_class, kind="stable"), np.cumsum(counts)[:-1])
    train, held = [], []
    for label, positions in enumerate(members):
        drawn = positions[random.permutation(len(positions))]
        first = int(in_train[label])
        train.append(drawn[:first])
        held.append(drawn[first : first + int(in_held[label])])
    return random.permutation(np.concatenate(train)), random.permutation(np.concatenate(held))


def _shares(counts: np.ndarray, total: int, random: np.random.RandomState) -> np.ndarray:
    """How many of ``total`` each class gets: the most likely outcome, ties drawn."""
    exact = counts / counts.sum() * total
    given = np.floor(exact)
    missing = int(total - given.sum())
    remainder = exact - given
    for value in np.unique(remainder)[::-1]:
        if missing <= 0:
            break
        (tied,) = np.where(remainder == value)
        chosen = random.choice(tied, size=min(len(tied), missing), replace=False)
        given[chosen] += 1
        missing -= len(chosen)
    return given.astype(int)


def _refused(message: str, solution: str, metadata: dict[str, Any]) -> errors.InvalidConfiguration:
    return errors.InvalidConfiguration(message, solution=solution, metadata=metadata)
