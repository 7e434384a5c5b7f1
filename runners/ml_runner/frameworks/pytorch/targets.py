"""What a training learns: classes, numbers, or several labels a row; and class weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ml_runner import errors, unknown_name

CLASSES, NUMBERS, MULTILABEL = "classes", "numbers", "multilabel"
TASKS = {CLASSES: "classification", NUMBERS: "regression", MULTILABEL: "multilabel"}


@dataclass(frozen=True)
class Target:
    """The target of a training.

    Attributes:
        kind: ``classes`` (batches hold indices, (n,) whole numbers), ``numbers`` ((n,) or (n, c)),
            or ``multilabel`` ((n, k), 1 where the row has the label).
        classes: labels by index, or the names of a multilabel target's columns; None where nobody
            knows them (a data set of the script's own).
        counts: rows of each class, or rows that have each label, in the training data.
        rows: of the training data.
    """

    kind: str
    classes: Sequence[Any] | None = None
    counts: Sequence[int] | None = None
    rows: int | None = None

    @property
    def task(self) -> str:
        """``classification``, ``regression`` or ``multilabel``."""
        return TASKS[self.kind]

    def words(self) -> str:
        """The target in a few words, for messages."""
        size = "" if self.classes is None else f"{len(self.classes)} "
        if self.kind == NUMBERS:
            return "numbers"
        return f"{size}classes" if self.kind == CLASSES else f"{size}labels a row may have at once"


def of_batch(batch: torch.Tensor, takes: Sequence[str] | None) -> Target:
    """The target of a data set of the script's own, by one batch of it and the loss.

    Args:
        batch: the targets of a batch.
        takes: the kinds that the call's loss can learn (``losses.takes``); None: it names none.

    Raises:
        InvalidConfiguration: several kinds would do, and no loss says which.
    """
    if takes is not None and len(takes) == 1:
        return Target(takes[0])
    columns = batch.shape[1] if batch.ndim == 2 else 1
    whole = not batch.is_floating_point()
    of_two = bool(((batch == 0) | (batch == 1)).all())
    if takes is None:
        if whole and columns > 1 and of_two:
            raise errors.InvalidConfiguration(
                f"The script's targets are {tuple(batch.shape)} zeros and ones: several labels a"
                " row, or a class for each position",
                solution="Send lossFunction: bce_with_logits (labels) or cross_entropy (classes).",
                metadata={"key": "config.lossFunction", "targets": list(batch.shape)},
            )
        return Target(CLASSES if whole else NUMBERS)
    # A loss for zeros and ones.
    kind = MULTILABEL if columns > 1 else CLASSES
    return Target(kind if of_two and kind in takes else NUMBERS if NUMBERS in takes else kind)


def class_weights(wanted: Mapping[str, Any] | str, target: Target) -> list[float]:
    """The weight of each class, in the order of the classes.

    ``balanced`` weighs a class rows / (classes × its rows), as scikit-learn does. A class that a
    mapping does not name weighs 1.

    Args:
        wanted: ``classWeights`` of the call.
        target: of kind ``classes`` or ``multilabel``.

    Raises:
        InvalidConfiguration: a label that is not there, or a weight that is none.
    """
    key = "config.classWeights"
    classes = target.classes
    if target.kind == NUMBERS or classes is None:
        raise errors.InvalidConfiguration(
            f"classWeights is given, and the target holds {target.words()}"
            + (" that nobody has named" if target.kind != NUMBERS else ""),
            solution="Leave classWeights out"
            + (", or send lossArgs.weight by class index." if target.kind != NUMBERS else "."),
            metadata={"key": key, "sent": wanted},
        )
    if isinstance(wanted, str):
        return _balanced(wanted, target, classes, key)
    names = {str(label): position for position, label in enumerate(classes)}
    weights = [1.0] * len(classes)
    for label, weight in wanted.items():
        position = names.get(label)
        if position is None:
            raise unknown_name.refusal(
                f"classWeights names '{label}', which is no class of the target",
                f"The classes are: {', '.join(list(names)[:20])}.",
                key=f"{key}.{label}",
                sent=weight,
                name=label,
                known=names,
                allowed=list(names)[:50],
            )
        if (
            isinstance(weight, bool)
            or not isinstance(weight, (int, float))
            or not 0 <= weight < math.inf
        ):
            raise errors.InvalidConfiguration(
                f"The weight of '{label}' is {weight!r}",
                solution="Send a number from 0.",
                metadata={"key": f"{key}.{label}", "sent": weight, "allowed": "≥ 0"},
            )
        weights[position] = float(weight)
    if not any(weights):
        raise errors.InvalidConfiguration(
            "classWeights gives every class the weight 0",
            solution="Give at least one class a weight above 0.",
            metadata={"key": key, "sent": dict(wanted)},
        )
    return weights


def _balanced(wanted: str, target: Target, classes: Sequence[Any], key: str) -> list[float]:
    if wanted != "balanced":
        raise errors.InvalidConfiguration(
            f"classWeights is '{wanted}'",
            solution="Send 'balanced', or an object: label → weight.",
            metadata={"key": key, "sent": wanted, "allowed": ["balanced"]},
        )
    if target.kind == MULTILABEL or target.counts is None:
        raise errors.InvalidConfiguration(
            "classWeights is 'balanced', and "
            + (
                "a row may have several labels at once"
                if target.kind == MULTILABEL
                else "nobody has counted the classes of the script's own data set"
            ),
            solution="Send an object: label → weight.",
            metadata={"key": key, "sent": wanted},
        )
    absent = [str(label) for label, n in zip(classes, target.counts, strict=True) if n == 0]
    if absent:
        raise errors.InvalidConfiguration(
            f"classWeights is 'balanced', and the training rows have none of: {', '.join(absent)}",
            solution="Send an object: label → weight.",
            metadata={"key": key, "sent": wanted, "absent": absent[:50]},
        )
    rows = sum(target.counts)
    return [rows / (len(classes) * count) for count in target.counts]
