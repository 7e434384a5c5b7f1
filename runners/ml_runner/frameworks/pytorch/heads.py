"""The layer that gives a model's outputs: found, and replaced for another number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ml_runner import errors, seeds
from ml_runner.frameworks.pytorch import building

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_KINDS = (nn.Linear, *_CONVOLUTIONS)


def input_width(model: nn.Module) -> tuple[str, int] | None:
    """(name, features or channels that it takes) of the first layer whose width is known."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            return name or "the model itself", module.in_features
        if isinstance(module, _CONVOLUTIONS):
            return name or "the model itself", module.in_channels
    return None


def find(model: nn.Module, first: Any, width: int, outputs: int) -> list[str]:
    """The names of the layer that gives the outputs: the last one with weights that is called.

    Args:
        model: on the CPU.
        first: inputs of a batch.
        width: outputs that the model gives for a sample.
        outputs: that are asked for, for the message.

    Raises:
        ModelLoadingError: the last one is no Linear or Conv of that many outputs.
    """
    called: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _outputs: called.append(module))
        for module in model.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        building.try_out(model, first)
    finally:
        for hook in hooks:
            hook.remove()
    last = called[-1] if called else model
    names = [name for name, each in model.named_modules(remove_duplicate=False) if each is last]
    gives = getattr(last, "out_features", getattr(last, "out_channels", None))
    whole = getattr(last, "groups", 1) == 1
    if type(last) in _KINDS and gives == width and whole and names != [""]:
        return names
    raise errors.ModelLoadingError(
        f"The pretrained {type(model).__name__} gives {width} outputs for a sample, the data ask"
        f" for {outputs}, and its last layer with weights,"
        f" {names[0] or 'the model itself'} ({type(last).__name__}), cannot be replaced",
        solution="End the model with a Linear or Conv layer of its own, or let its class take"
        " num_classes.",
        metadata={
            "key": "config.pretrainedModel",
            "outputs": width,
            "expected": outputs,
            "layer": names[0],
        },
    )


def replace(model: nn.Module, names: Sequence[str], outputs: int, seed: int | None = None) -> None:
    """Puts a fresh layer of ``outputs`` outputs in the place of one, under all its names.

    Args:
        model: which has it.
        names: dotted, of a Linear or Conv layer.
        outputs: that the new one gives.
        seed: set before it is made; None where its weights are read afterwards.
    """
    if seed is not None:
        seeds.seed_all(seed)
    fresh = _like(model.get_submodule(names[0]), outputs)
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, fresh)


def _like(layer: nn.Module, outputs: int) -> nn.Module:
    if isinstance(layer, nn.Linear):
        made: nn.Module = nn.Linear(layer.in_features, outputs, bias=layer.bias is not None)
    else:
        assert isinstance(layer, _CONVOLUTIONS)
        made = type(layer)(
            layer.in_channels,
            outputs,
            layer.kernel_size,  # pyright: ignore[reportArgumentType]
            stride=layer.stride,  # pyright: ignore[reportArgumentType]
            padding=layer.padding,  # pyright: ignore[reportArgumentType]
            dilation=layer.dilation,  # pyright: ignore[reportArgumentType]
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
        )
    return made.to(layer.weight.dtype)
