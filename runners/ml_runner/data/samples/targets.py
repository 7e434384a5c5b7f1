"""What a network learns: labels as class numbers, or numbers, from targets as they were given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml_runner import errors
from ml_runner.data.samples.base import Samples, Warn
from ml_runner.data.samples.text import TextSamples
from ml_runner.frameworks.base import CLASSIFICATION, MULTI_LABEL, REGRESSION
from ml_runner.training import targets as learnable

# So few distinct whole numbers may be classes.
_FEW = 20


@dataclass(frozen=True)
class Encoded:
    """Targets as a loss takes them.

    Attributes:
        task: ``"classification"``, ``"regression"`` or ``"multilabel"``.
        values: (n,) int64 class numbers; (n,) or (n, k) float32 numbers; (n, k) float32 of 0 and 1;
            of texts whose words have labels, (n,) arrays of class numbers, one for each word.
        classes: of a classification, the labels by class number, sorted, as plain Python values.
        outputs: what a network has to give for a sample: a figure for each class, label or number.
    """

    task: str
    values: np.ndarray
    classes: list[Any] | None
    outputs: int


def encode(
    targets: np.ndarray,
    *,
    task: str | None,
    where: str,
    warn: Warn,
    classes: list[Any] | None = None,
    column: str = "target",
) -> Encoded:
    """Encodes targets for training, or (with ``classes``) for a model that knows its own.

    Args:
        targets: (n,) labels or numbers, (n, k) numbers, or (n,) lists of labels.
        task: what the loss is for; None: labels (text, booleans) are classified, (n, k) of 0 and 1
            are labels of which several may hold, other numbers are learned as numbers.
        where: the data, for messages (a quoted path).
        warn: gets what the caller may not expect of the choice.
        classes: the labels that the model knows, in its order.
        column: the target's name, for messages.

    Raises:
        InvalidConfiguration: labels or numbers that the task is not for.
        DataLoadingError: missing or infinite values, one class only, labels that are not known.
    """
    if len(targets) and isinstance(targets[0], list):
        return _words(targets, task, classes, where, column)
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    _refuse_missing(targets, where, column)
    if task is None:
        task = CLASSIFICATION if classes is not None else infer_task(targets, column, warn)
    if task == MULTI_LABEL:
        return _multi_label(targets, where, column)
    if task == CLASSIFICATION:
        return _classification(targets, classes, where, column)
    return _regression(targets, where, column)


def truth(samples: Samples, encoded: Encoded) -> np.ndarray:
    """Targets as a model's predictions are: the labels themselves; numbers as they were given.

    Args:
        samples: of whose targets ``encoded`` was made; of texts whose words have labels those words
            count that were not cut off.
        encoded: with the classes of the model.
    """
    assert samples.targets is not None
    values = encoded.values
    if isinstance(samples, TextSamples) and samples.of_words:
        kept = samples.kept_words()
        values = np.concatenate([one[words] for one, words in zip(values, kept, strict=True)])
    if encoded.classes is not None:
        return np.asarray(encoded.classes)[values]
    return samples.targets.reshape(values.shape)


def infer_task(targets: np.ndarray, column: str, warn: Warn) -> str:
    """The task that targets suggest where nothing else says it; see ``encode``."""
    if targets.dtype.kind not in "iuf":
        return CLASSIFICATION
    if targets.ndim == 2:
        if not np.isin(targets, (0, 1)).all():
            return REGRESSION
        if (targets.sum(axis=1) == 1).all():
            warn(
                f"each row of the targets '{column}' has a single 1: learned as {targets.shape[1]}"
                " labels of which several may hold; for one class each send lossFunction:"
                " 'cross_entropy'"
            )
        return MULTI_LABEL
    distinct = np.unique(targets)
    few = len(distinct) <= _FEW and len(distinct) * 5 <= len(targets)
    if few and np.all(distinct == np.floor(distinct)):
        warn(
            f"the target '{column}' holds {len(distinct)} distinct whole numbers and is learned as"
            " a regression; for classes send lossFunction: 'cross_entropy'"
        )
    return REGRESSION


def _classification(
    targets: np.ndarray, classes: list[Any] | None, where: str, column: str
) -> Encoded:
    if targets.ndim == 2:
        targets = _from_one_hot(targets, where, column)
    if targets.dtype.kind == "f" and not np.all(targets == np.floor(targets)):
        fractions = targets[targets != np.floor(targets)][:3]
        raise errors.InvalidConfiguration(
            f"the loss is for classes, and the target '{column}' of {where} holds numbers such as"
            f" {', '.join(f'{value:g}' for value in fractions)}",
            solution="Use a loss for numbers (mse, l1, huber, …), or another target.",
            metadata={"key": "config.lossFunction", "targetColumn": column},
        )
    if targets.dtype == object:
        targets = np.asarray(targets.tolist())
    found, places = np.unique(targets, return_inverse=True)
    labels = found.tolist()
    if classes is None:
        if len(labels) < 2:
            raise errors.DataLoadingError(
                f"the target '{column}' of {where} holds one class only: {labels[0]!r} in all"
                f" {len(targets)} samples",
                solution="Give data with at least two classes.",
                metadata={"column": column, "classes": labels, "rows": len(targets)},
            )
        _refuse_numbers(found, len(targets), where, column)
        return Encoded(CLASSIFICATION, places.astype(np.int64), labels, len(labels))
    learnable.refuse_unseen(labels, classes, column, where)
    number = {label: place for place, label in enumerate(classes)}
    order = np.asarray([number[label] for label in labels], dtype=np.int64)
    return Encoded(CLASSIFICATION, order[places], list(classes), len(classes))


def _words(
    targets: np.ndarray, task: str | None, classes: list[Any] | None, where: str, column: str
) -> Encoded:
    """Lists of labels, one for each word of a text."""
    if task not in (None, CLASSIFICATION):
        raise errors.InvalidConfiguration(
            f"the loss is not for classes, and the target '{column}' of {where} holds labels of"
            " words",
            solution="Use cross_entropy, or leave lossFunction out.",
            metadata={"key": "config.lossFunction", "targetColumn": column},
        )
    flat = np.asarray([label for labels in targets for label in labels])
    encoded = _classification(flat, classes, where, column)
    values = np.empty(len(targets), dtype=object)
    ends = np.cumsum([len(labels) for labels in targets])
    for row, part in enumerate(np.split(encoded.values, ends[:-1])):
        values[row] = part
    return replace(encoded, values=values)


def _refuse_numbers(found: np.ndarray, rows: int, where: str, column: str) -> None:
    """For numbers that hardly repeat and leave gaps: none numbers its classes like that."""
    if found.dtype.kind not in "iuf" or len(found) <= _FEW or rows >= 5 * len(found):
        return
    if found[-1] - found[0] + 1 == len(found):
        return
    raise errors.InvalidConfiguration(
        f"the loss is for classes, and the target '{column}' of {where} holds {len(found)} distinct"
        f" numbers in {rows} samples, from {found[0]:g} to {found[-1]:g}",
        solution="Use a loss for numbers (mse, l1, huber, …), or another target.",
        metadata={"key": "config.lossFunction", "targetColumn": column, "distinct": len(found)},
    )


def _from_one_hot(targets: np.ndarray, where: str, column: str) -> np.ndarray:
    if np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all():
        return targets.argmax(axis=1)
    raise errors.InvalidConfiguration(
        f"the loss is for one class a sample, and the targets '{column}' of {where} have shape"
        f" {targets.shape} and rows without a single 1",
        solution="Use a loss for several labels (bce_with_logits) or for numbers (mse), or give one"
        " label a sample.",
        metadata={"key": "config.lossFunction", "shape": list(targets.shape)},
    )


def _multi_label(targets: np.ndarray, where: str, column: str) -> Encoded:
    if targets.dtype.kind not in "iufb" or not np.isin(targets, (0, 1)).all():
        raise errors.InvalidConfiguration(
            f"the loss is for labels of 0 and 1, and the target '{column}' of {where} holds other"
            f" values, such as {targets[~np.isin(targets, (0, 1))][:1].tolist()[0]!r}",
            solution="Use cross_entropy for one class a sample, or mse for numbers.",
            metadata={"key": "config.lossFunction", "targetColumn": column},
        )
    values = np.ascontiguousarray(targets, dtype=np.float32)
    return Encoded(MULTI_LABEL, values, None, 1 if values.ndim == 1 else values.shape[1])


def _regression(targets: np.ndarray, where: str, column: str) -> Encoded:
    if targets.dtype.kind not in "iuf":
        sample = ", ".join(
            repr(value) for value in list(dict.fromkeys(targets.ravel().tolist()))[:3]
        )
        raise errors.InvalidConfiguration(
            f"the loss is for numbers, and the target '{column}' of {where} holds labels: {sample}",
            solution="Use a loss for classes (cross_entropy), or another target.",
            metadata={"key": "config.lossFunction", "targetColumn": column},
        )
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(targets, dtype=np.float32)
    if not np.isfinite(values).all():
        _refuse_value(targets, ~np.isfinite(values), where, column, "too large for float32")
    return Encoded(REGRESSION, values, None, 1 if values.ndim == 1 else values.shape[1])


def _refuse_missing(targets: np.ndarray, where: str, column: str) -> None:
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        _refuse_value(targets, ~np.isfinite(targets), where, column, "missing or infinite")


def _refuse_value(targets: np.ndarray, bad: np.ndarray, where: str, column: str, what: str) -> None:
    place = [int(index) for index in np.argwhere(bad)[0]]
    raise errors.DataLoadingError(
        f"the target '{column}' of {where} is {what} in {int(bad.sum())} places, first at {place}",
        solution="Fill in these values, or leave these samples out.",
        metadata={"column": column, "position": place, "count": int(bad.sum())},
    )
