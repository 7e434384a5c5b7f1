"""Splitting rows into folds, or once, exactly as scikit-learn does, in numpy.

An environment that has only a boosting library can so cross-validate too, and every framework is
measured on the same folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_runner import errors

Array = np.ndarray


@dataclass(frozen=True)
class FoldPlan:
    """How the folds are made.

    Attributes:
        folds: their number, at least 2.
        stratified: keep the shares of the classes; None: as the target suggests.
        shuffle: shuffle first, with ``seed``.
        seed: of the shuffling.
        group_column: rows with the same value there stay together.
    """

    folds: int
    stratified: bool | None = None
    shuffle: bool = False
    seed: int = 0
    group_column: str | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any], seed: int | None) -> FoldPlan | None:
        """Reads ``crossValidation``; None where the call has none.

        Raises:
            InvalidConfiguration: a seed that nothing uses.
        """
        wanted = config.get("crossValidation")
        if wanted is None:
            return None
        shuffle = bool(wanted.get("shuffle", False))
        if wanted.get("seed") is not None and not shuffle:
            raise errors.InvalidConfiguration(
                f"crossValidation.seed is {wanted['seed']}, and the folds are not shuffled",
                solution="Add shuffle: true to crossValidation, or leave its seed out.",
                metadata={"key": "crossValidation.seed", "sent": wanted["seed"]},
            )
        own = wanted.get("seed")
        return cls(
            folds=int(wanted["folds"]),
            stratified=wanted.get("stratified"),
            shuffle=shuffle,
            seed=int(own if own is not None else seed or 0),
            group_column=wanted.get("groupColumn"),
        )

    def describe(self, classification: bool) -> str:
        """One phrase for the report: ``5 stratified folds, unshuffled``."""
        stratified = self.is_stratified(classification)
        parts = [f"{self.folds} {'stratified ' if stratified else ''}folds"]
        if self.group_column:
            parts.append(f"grouped by {self.group_column}")
        parts.append(f"shuffled with seed {self.seed}" if self.shuffle else "unshuffled")
        return ", ".join(parts)

    def is_stratified(self, classification: bool) -> bool:
        """Whether classes are spread evenly: as asked, else for a classification without groups."""
        if self.stratified is None:
            return classification and self.group_column is None
        return self.stratified


def folds(
    plan: FoldPlan, target: Array, groups: Array | None, *, classification: bool
) -> Iterator[tuple[Array, Array]]:
    """Yields (training rows, test rows) of each fold, as sorted positions.

    Args:
        plan: what was asked for.
        target: (n,) labels or numbers.
        groups: (n,) the group of each row, or None.
        classification: whether the target holds labels.

    Raises:
        InvalidConfiguration: more folds than rows, groups or members of a class; stratified folds
            of numbers.
    """
    stratified = plan.is_stratified(classification)
    if stratified and not classification:
        raise errors.InvalidConfiguration(
            "crossValidation.stratified is true, and the target holds numbers, not classes",
            solution="Leave stratified out: for numbers the folds are cut without regard to it.",
            metadata={"key": "crossValidation.stratified", "sent": True, "allowed": [False]},
        )
    if plan.group_column is not None and groups is None:
        raise errors.InternalError(
            "folds were asked by group without the groups", solution="Report this defect."
        )
    if groups is not None and stratified:
        assignment = _stratified_groups(plan, target, groups)
    elif groups is not None:
        assignment = _grouped(plan, groups)
    elif stratified:
        assignment = _stratified(plan, target)
    else:
        assignment = _plain(plan, len(target))
    for fold in range(plan.folds):
        yield np.flatnonzero(assignment != fold), np.flatnonzero(assignment == fold)


def _random(plan: FoldPlan) -> np.random.RandomState:
    return np.random.RandomState(plan.seed)


def _too_many(plan: FoldPlan, available: int, what: str) -> errors.InvalidConfiguration:
    return errors.InvalidConfiguration(
        f"crossValidation.folds is {plan.folds}, and there are only {available} {what}",
        solution=f"Use at most {available} folds." if available >= 2 else f"Give more {what}.",
        metadata={"key": "crossValidation.folds", "sent": plan.folds, "allowed": [2, available]},
    )


def _plain(plan: FoldPlan, rows: int) -> Array:
    if plan.folds > rows:
        raise _too_many(plan, rows, "rows")
    order = np.arange(rows)
    if plan.shuffle:
        _random(plan).shuffle(order)
    assignment = np.empty(rows, dtype=np.intp)
    for fold, part in enumerate(np.array_split(order, plan.folds)):
        assignment[part] = fold
    return assignment


def _encoded_by_appearance(target: Array) -> Array:
    _, first, inverse = np.unique(target, return_index=True, return_inverse=True)
    _, order = np.unique(first, return_inverse=True)
    return order[inverse]


def _stratified(plan: FoldPlan, target: Array) -> Array:
    encoded = _encoded_by_appearance(target)
    counts = np.bincount(encoded)
    if np.all(plan.folds > counts):
        raise _too_many(plan, int(counts.max()), "rows in the largest class")
    # Round robin over the sorted classes tells how many rows of each class a fold gets.
    ranked = np.sort(encoded)
    allocation = np.asarray(
        [
            np.bincount(ranked[fold :: plan.folds], minlength=len(counts))
            for fold in range(plan.folds)
        ]
    )
    random = _random(plan)
    assignment = np.empty(len(target), dtype=np.intp)
    for label in range(len(counts)):
        of_class = np.arange(plan.folds).repeat(allocation[:, label])
        if plan.shuffle:
            random.shuffle(of_class)
        assignment[encoded == label] = of_class
    return assignment


def _grouped(plan: FoldPlan, groups: Array) -> Array:
    unique, index = np.unique(groups, return_inverse=True)
    if plan.folds > len(unique):
        raise _too_many(plan, len(unique), f"different values in '{plan.group_column}'")
    fold_of_group = np.empty(len(unique), dtype=np.intp)
    if plan.shuffle:
        shuffled = _random(plan).permutation(len(unique))
        for fold, part in enumerate(np.array_split(shuffled, plan.folds)):
            fold_of_group[part] = fold
        return fold_of_group[index]
    sizes = np.bincount(index)
    filled = np.zeros(plan.folds)
    for group in np.argsort(sizes, kind="stable")[::-1]:
        lightest = np.argmin(filled)
        filled[lightest] += sizes[group]
        fold_of_group[group] = lightest
    return fold_of_group[index]


def _stratified_groups(plan: FoldPlan, target: Array, groups: Array) -> Array:
    encoded = np.unique(target, return_inverse=True)[1]
    totals = np.bincount(encoded)
    if np.all(plan.folds > totals):
        raise _too_many(plan, int(totals.max()), "rows in the largest class")
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if plan.folds > len(sizes):
        raise _too_many(plan, len(sizes), f"different values in '{plan.group_column}'")
    by_group = np.zeros((len(sizes), len(totals)))
    np.add.at(by_group, (index, encoded), 1)
    in_fold = np.zeros((plan.folds, len(totals)))
    # Shuffling only decides between groups whose classes are spread equally.
    order = np.arange(len(sizes))
    if plan.shuffle:
        _random(plan).shuffle(order)
    order = order[np.argsort(-np.std(by_group[order], axis=1), kind="stable")]
    fold_of_group = np.empty(len(sizes), dtype=np.intp)
    for group in order:
        best, smallest, fewest = -1, np.inf, np.inf
        for fold in range(plan.folds):
            in_fold[fold] += by_group[group]
            deviation = np.mean(np.std(in_fold / totals, axis=0))
            in_fold[fold] -= by_group[group]
            rows = in_fold[fold].sum()
            if deviation < smallest or (np.isclose(deviation, smallest) and rows < fewest):
                best, smallest, fewest = fold, deviation, rows
        in_fold[best] += by_group[group]
        fold_of_group[group] = best
    return fold_of_group[index]


def hold_out(rows: int, share: float, seed: int) -> tuple[Array, Array]:
    """(training rows, held-out rows) as ``train_test_split(test_size=share, random_state=seed)``.

    Raises:
        InvalidConfiguration: the share leaves one side without rows.
    """
    held = int(np.ceil(share * rows))
    if held >= rows or held == 0:
        raise errors.InvalidConfiguration(
            f"validationSplit {share} of {rows} rows leaves none on one side",
            solution="Give more rows, or another share.",
            metadata={"key": "validationSplit", "sent": share, "rows": rows},
        )
    order = np.random.RandomState(seed).permutation(rows)
    return order[held:], order[:held]
