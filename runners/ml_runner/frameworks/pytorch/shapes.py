"""Outputs and targets brought to the shapes that a loss compares, or refused before it does.

The library would broadcast (n, 1) against (n,) to (n, n) without a word: a loss of nothing.
"""

from __future__ import annotations

from typing import Any

import torch

from ml_runner import errors
from ml_runner.frameworks.pytorch.targets import CLASSES, Target

_KEY = "config.lossFunction"


def tensor_of(outputs: Any) -> torch.Tensor:
    """The tensor in what ``forward`` gave: itself, or its ``logits``.

    Raises:
        InvalidConfiguration: there is none; says what came instead.
    """
    if isinstance(outputs, torch.Tensor):
        return outputs
    logits = getattr(outputs, "logits", None)
    if isinstance(logits, torch.Tensor):
        return logits
    what = type(outputs).__name__
    if isinstance(outputs, (tuple, list)):
        what = f"a {what} of {len(outputs)}: {', '.join(map(_shown, outputs))}"
    elif isinstance(outputs, dict):
        what = f"a dict of {', '.join(f'{key!r}: {_shown(v)}' for key, v in outputs.items())}"
    raise errors.InvalidConfiguration(
        f"forward of the model gives {what}, where the loss takes one tensor",
        solution="Return the tensor of outputs alone, or give the script a loss(outputs, targets)"
        " or a training_step(model, batch) that takes what forward gives.",
        metadata={"key": "config.modelScript", "found": what},
    )


def class_scores(
    outputs: torch.Tensor, targets: torch.Tensor, target: Target, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs (n, k, …) and class indices (n, …), as losses over classes take them.

    Args:
        outputs: (n, k, …) scores; (k,) for a batch of one row that the model has squeezed.
        targets: (n, …) or (n, 1) whole numbers; or (n, k, …) shares, for cross entropy.
        target: what is learned.
        name: the loss, for messages.

    Raises:
        InvalidConfiguration: other shapes; quotes both and says what to change.
    """
    known = None if target.classes is None else len(target.classes)
    if targets.is_floating_point():
        if name == "CrossEntropyLoss" and targets.shape == outputs.shape and targets.ndim > 1:
            return outputs, targets
        raise _mismatch(
            outputs, targets, f"{name} takes class indices, and the targets are {targets.dtype}",
            "Let the data set give whole numbers (torch.long), or use a loss for numbers: mse.",
        )  # fmt: skip
    if targets.ndim == 2 and targets.shape[1] == 1 and outputs.ndim < 3:
        targets = targets.squeeze(1)
    rows = targets.shape[0]
    if outputs.ndim == 1 and rows == 1 and outputs.shape[0] == known:
        outputs = outputs.unsqueeze(0)
    if outputs.ndim < 2 or (outputs.ndim == 2 and outputs.shape[1] == 1):
        wanted = f"{known} outputs a row (one a class)" if known else "one output a class"
        instead = ", or use lossFunction: bce_with_logits" if known in (2, None) else ""
        raise _mismatch(
            outputs, targets, f"The model gives one output a row, and {name} takes {wanted}",
            f"Let the model give {wanted}{instead}.", known,
        )  # fmt: skip
    _same_rows(outputs, targets)
    if known is not None and outputs.shape[1] != known:
        hint = ""
        if (
            outputs.ndim == 3
            and outputs.shape[2] == known
            and outputs.shape[1] == targets.shape[-1]
        ):
            hint = "Let the model give the classes as the second dimension (transpose(1, 2)). "
        raise _mismatch(
            outputs, targets,
            f"The model gives {outputs.shape[1]} outputs a row, and the target has {known} classes",
            f"{hint}Let the last layer give {known} outputs (num_classes: {known}).", known,
        )  # fmt: skip
    if outputs.shape[2:] != targets.shape[1:]:
        raise _mismatch(
            outputs, targets, f"{name} takes outputs (rows, classes, …) and targets (rows, …)",
            "Let both agree but for the dimension of the classes.", known,
        )  # fmt: skip
    return outputs, targets.long()


def one_for_one(
    outputs: torch.Tensor, targets: torch.Tensor, target: Target, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and targets of one shape, as losses that compare number with number take them.

    A last dimension of size 1 that only one of them has is taken away: (n, 1) against (n,) is n
    numbers each.

    Raises:
        InvalidConfiguration: other shapes; quotes both and says what to change.
    """
    if outputs.shape != targets.shape:
        if outputs.shape == (*targets.shape, 1):
            outputs = outputs.squeeze(-1)
        elif targets.shape == (*outputs.shape, 1):
            targets = targets.squeeze(-1)
        elif targets.shape[:1] == (1,) and outputs.shape in (targets.shape[1:], ()):
            # A model that squeezes has lost the dimension of the rows in a batch of one.
            outputs = (
                outputs.reshape(targets.shape) if outputs.numel() == targets.numel() else outputs
            )
    if outputs.shape != targets.shape:
        _same_rows(outputs, targets)
        raise _not_one_for_one(outputs, targets, target, name)
    if not targets.is_floating_point():
        targets = targets.to(torch.get_default_dtype())
    if (
        targets.dtype != outputs.dtype
        and outputs.is_floating_point()
        and not torch.is_autocast_enabled(outputs.device.type)
    ):
        targets = targets.to(outputs.dtype)
    return outputs, targets


def _not_one_for_one(
    outputs: torch.Tensor, targets: torch.Tensor, target: Target, name: str
) -> errors.InvalidConfiguration:
    columns = targets.shape[1] if targets.ndim > 1 else 1
    given = outputs.shape[1] if outputs.ndim > 1 else 1
    if target.kind == CLASSES:
        return _mismatch(
            outputs, targets,
            f"The model gives {given} outputs a row, and {name} takes one: the score of the second"
            " class",
            "Let the model give 1 output a row, or use lossFunction: cross_entropy.", 2,
        )  # fmt: skip
    return _mismatch(
        outputs, targets,
        f"The model gives {given} outputs a row, and the target has {columns}",
        f"Let the last layer give {columns} output{'s' if columns > 1 else ''}.",
    )  # fmt: skip


def _same_rows(outputs: torch.Tensor, targets: torch.Tensor) -> None:
    if outputs.ndim and outputs.shape[0] == targets.shape[0]:
        return
    rows = outputs.shape[0] if outputs.ndim else "no"
    raise _mismatch(
        outputs, targets,
        f"The model gives outputs for {rows} rows, and the batch has {targets.shape[0]}",
        "Let forward keep the first dimension: one output for each row (a view or reshape that"
        " merges rows is the usual cause).",
    )  # fmt: skip


def _mismatch(
    outputs: torch.Tensor,
    targets: torch.Tensor,
    message: str,
    solution: str,
    classes: int | None = None,
) -> errors.InvalidConfiguration:
    shapes = {"outputs": list(outputs.shape), "targets": list(targets.shape)}
    return errors.InvalidConfiguration(
        f"{message}: outputs {tuple(outputs.shape)}, targets {tuple(targets.shape)}",
        solution=solution,
        metadata={
            "key": _KEY,
            **shapes,
            **({} if classes is None else {"numClasses": classes}),
        },
    )


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"Tensor{tuple(value.shape)}"
    return type(value).__name__
