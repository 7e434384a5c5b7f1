"""Weights taken over into a model that may give another number of outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ml_runner import errors, files
from ml_runner.frameworks.pytorch import building, heads, shapes, weights
from ml_runner.frameworks.pytorch.source import Asked

_SHOWN = 10


@dataclass
class Taken:
    """What became of a model's tensors.

    Attributes:
        taken: names of those that have the file's values.
        new: names of those that have not: the output layer's.
        before: outputs that the file's model gave for a sample, where the layer is new.
        notes: what a caller should know of it.
    """

    taken: list[str]
    new: list[str] = field(default_factory=list[str])
    before: int | None = None
    notes: list[str] = field(default_factory=list[str])

    def facts(self) -> dict[str, Any]:
        """For a report: ``tensorsTaken``, and of a new output layer ``newTensors`` and sizes."""
        facts: dict[str, Any] = {"tensorsTaken": len(self.taken)}
        if self.new:
            facts["newTensors"] = self.new[:_SHOWN]
        if self.before is not None:
            facts["outputsBefore"] = self.before
        return facts


def take_over(
    model: nn.Module, state: Mapping[str, torch.Tensor], path: Path, outputs: int | None
) -> Taken:
    """Gives a model the tensors of a file that fit; those of its output layer may be left new.

    An output layer of another number of outputs is told by its tensors: they differ from the
    file's in their first dimension alone, which is ``outputs`` in the model.

    Args:
        model: gets them.
        state: of the file.
        path: of the file, for messages.
        outputs: figures that the model is to give for a sample; None: nothing may differ.

    Raises:
        ModelLoadingError: anything else does not fit; names the tensors, with both shapes.
    """
    matched = weights.match(model, state)
    before = _outputs_before(matched, outputs)
    if matched.missing or matched.unexpected or (matched.shapes and before is None):
        raise weights.does_not_fit(model, matched, path)
    new = [name for name in model.state_dict() if name in matched.shapes]
    fitting = {name: tensor for name, tensor in matched.state.items() if name not in new}
    model.load_state_dict(fitting, strict=False)
    return Taken(list(fitting), new, before, matched.notes)


def _outputs_before(matched: weights.Match, outputs: int | None) -> int | None:
    """Outputs that the file's model gave, where all that differs is its output layer."""
    pairs = list(matched.shapes.values())
    if outputs is None or not all(theirs and ours for theirs, ours in pairs):
        return None
    alike = all(theirs[1:] == ours[1:] and ours[0] == outputs for theirs, ours in pairs)
    before = {theirs[0] for theirs, _ in pairs}
    return before.pop() if alike and len(before) == 1 else None


def width_of(model: nn.Module, asked: Asked) -> int | None:
    """Figures that a model gives for a sample of the data; None where only the script knows.

    Raises:
        InvalidConfiguration: the inputs do not go through the model; quotes the shapes.
    """
    if asked.first is None:
        return None
    try:
        outputs = building.try_out(model, asked.first)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        raise _do_not_go_through(model, asked, error) from error
    try:
        tensor = shapes.tensor_of(outputs)
    except errors.InvalidConfiguration:
        return None  # its own loss takes what it gives
    return tensor.shape[1] if tensor.ndim > 1 else 1


def renew_head(
    model: nn.Module, asked: Asked, taken: Taken, *, width: int, seed: int
) -> dict[str, Any]:
    """Puts a fresh output layer in the place of the model's.

    Args:
        model: with its weights.
        asked: what the data ask for.
        taken: is told of it.
        width: outputs that the model gives for a sample.
        seed: set before the layer is made.

    Returns:
        How it is made again: arguments of ``heads.replace``.

    Raises:
        ModelLoadingError: it has no output layer that can be replaced.
    """
    assert asked.outputs is not None
    names = heads.find(model, asked.first, width, asked.outputs)
    heads.replace(model, names, asked.outputs, seed)
    taken.new = [name for name in model.state_dict() if name.rpartition(".")[0] in names]
    taken.taken = [name for name in taken.taken if name not in taken.new]
    taken.before = width
    return {"names": names, "outputs": asked.outputs}


def origin(path: Path) -> dict[str, dict[str, Any]]:
    """What ``Source.origins`` says of a model's file."""
    mark = {"path": str(path), "rows": None, "fingerprint": files.fingerprint(path)}
    return {"pretrainedModel": mark}


def _do_not_go_through(
    model: nn.Module, asked: Asked, error: Exception
) -> errors.InvalidConfiguration:
    takes = heads.input_width(model)
    sent = list(asked.shape or ())
    words = "" if takes is None else f" ({takes[0]} takes {takes[1]})"
    return errors.InvalidConfiguration(
        f"Samples of shape {tuple(sent)} do not go through the pretrained"
        f" {type(model).__name__}{words}: {' '.join(str(error).split())[:300]}",
        solution="Send data of the shape that it was trained on: for a table featureColumns, for"
        " images imageSize and colorMode.",
        metadata={
            "key": "config.pretrainedModel",
            "shape": sent,
            **({} if takes is None else {"layer": takes[0], "expected": takes[1]}),
        },
    )
