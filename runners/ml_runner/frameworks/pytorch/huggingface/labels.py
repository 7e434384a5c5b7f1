"""What a model's outputs mean, as its configuration says it: ``num_labels`` and ``id2label``."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ml_runner import errors
from ml_runner.frameworks.base import CLASSIFICATION, MULTI_LABEL, REGRESSION
from ml_runner.frameworks.pytorch.targets import CLASSES, NUMBERS, Target

_NAMELESS = re.compile(r"LABEL_\d+")
_PROBLEMS = {
    "regression": REGRESSION,
    "single_label_classification": CLASSIFICATION,
    "multi_label_classification": MULTI_LABEL,
}


def put_into(config: Any, target: Target, outputs: int | None) -> None:
    """Writes into a configuration what its model is to learn.

    Args:
        config: the library's.
        target: what is learned.
        outputs: that the model gives for a sample; None: one for each class, or one number.
    """
    names = [str(label) for label in target.classes or ()]
    count = outputs or len(names) or 1
    if len(names) != count:
        names = [f"LABEL_{place}" for place in range(count)]
    config.id2label = dict(enumerate(names))
    config.label2id = {name: place for place, name in enumerate(names)}
    config.problem_type = {CLASSES: "single_label_classification", NUMBERS: "regression"}.get(
        target.kind, "multi_label_classification"
    )


def same_labels(config: Any, target: Target, outputs: int | None) -> bool:
    """Whether a model's outputs mean what is to be learned, so that its last layer is of use."""
    names = _names(config)
    wanted = [str(label) for label in target.classes or ()]
    if len(names) != (outputs or len(wanted) or 1):
        return False
    return not wanted or _nameless(names) or names == wanted


def task_of(config: Any) -> str:
    """The task of a model that somebody else has fine-tuned."""
    said = _PROBLEMS.get(str(getattr(config, "problem_type", None)))
    return said or (REGRESSION if int(config.num_labels) == 1 else CLASSIFICATION)


def classes_of(config: Any) -> list[Any]:
    """The labels of its outputs, by position; numbers where it does not name them."""
    names = _names(config)
    return list(range(len(names))) if _nameless(names) else list(names)


def by_name(targets: np.ndarray, classes: list[Any], column: str, where: str) -> np.ndarray:
    """Targets as labels of a model: whole numbers in the data stand for the positions of names.

    Args:
        targets: (n,) labels as they were given.
        classes: of the model, by position.
        column: the target's name, for messages.
        where: the data, for messages (a quoted path).

    Raises:
        DataLoadingError: a number that is no position.
    """
    if targets.dtype.kind not in "iu" or not all(isinstance(name, str) for name in classes):
        return targets
    if targets.size and (targets.min() < 0 or targets.max() >= len(classes)):
        raise errors.DataLoadingError(
            f"The target '{column}' of {where} goes from {targets.min()} to {targets.max()}, and"
            f" the model has {len(classes)} labels: {', '.join(classes[:20])}",
            solution="Write the names of the labels, or their positions from 0.",
            metadata={"column": column, "classes": classes[:50]},
        )
    return np.asarray(classes)[targets]


def _names(config: Any) -> list[str]:
    return [str(config.id2label[place]) for place in sorted(config.id2label)]


def _nameless(names: list[str]) -> bool:
    return all(_NAMELESS.fullmatch(name) for name in names)
