"""Images with their channels last in memory, as convolutions are faster on many devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ml_runner import errors


def check(shape: Sequence[int] | None) -> None:
    """Refuses samples that are no images.

    Args:
        shape: of one sample; None where it is no single tensor.

    Raises:
        InvalidConfiguration: batches do not have four dimensions.
    """
    if shape is None or len(shape) != 3:
        what = "are no single tensor" if shape is None else f"have the shape {tuple(shape)}"
        raise errors.InvalidConfiguration(
            "channelsLast is for batches of four dimensions (rows, channels, height, width), and"
            f" the samples {what}",
            solution="Leave channelsLast out.",
            metadata={"key": "config.channelsLast", "sent": True, "shape": list(shape or [])},
        )


def to_channels_last(model: nn.Module) -> nn.Module:
    """The model, its weights of four dimensions so ordered in memory; shapes are as they were."""
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def inputs_so(value: Any) -> Any:
    """Tensors of four dimensions, in whatever they are nested, so ordered in memory."""
    if isinstance(value, torch.Tensor):
        return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
    if isinstance(value, Mapping):
        return {key: inputs_so(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(inputs_so(inner) for inner in value)
    return value
