"""Gradient checkpointing: activations of a block are computed again instead of being kept.

Blocks stay where they are, under their names: only their ``forward`` is wrapped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage]
from torch.utils.checkpoint import checkpoint

from ml_runner import errors
from ml_runner.nearest import nearest

_KEY = "config.gradientCheckpointing"
_SHOWN = 20


def apply(model: nn.Module, wanted: Literal[True] | Sequence[str]) -> list[str]:
    """Lets a model's blocks be computed again in the backward pass.

    Args:
        model: whose.
        wanted: names of modules; one that is a list of modules stands for its members. True: what
            modules have of their own for that (``gradient_checkpointing_enable``), else the
            model's repeated blocks.

    Returns:
        The names of the blocks, or of the modules that do it by themselves (a dot: the model).

    Raises:
        InvalidConfiguration: nothing there can be wrapped; says what can.
    """
    if wanted is True:
        able = _by_themselves(model)
        if able:
            return able
        names = [name for container in repeated(model) for name in _members(model, container)]
        if not names:
            raise _nothing_repeated(model)
    else:
        names = [name for one in wanted for name in _named(model, one)]
    blocks = list(dict.fromkeys(names))
    for name in blocks:
        if not any(name.startswith(f"{other}.") for other in blocks):
            _wrap(model.get_submodule(name))
    return blocks


# A method of modules (those of a known library of pretrained models) and its argument.
_METHODS = {
    "activation_checkpointing_enable": "activation_checkpointing_kwargs",
    "gradient_checkpointing_enable": "gradient_checkpointing_kwargs",
}


def _by_themselves(model: nn.Module) -> list[str]:
    done: list[str] = []
    for name, part in model.named_modules():
        if any(outer == "." or name.startswith(f"{outer}.") for outer in done):
            continue
        method = next((m for m in _METHODS if callable(getattr(part, m, None))), None)
        if method is None or not getattr(part, "supports_gradient_checkpointing", True):
            continue
        getattr(part, method)(**{_METHODS[method]: {"use_reentrant": False}})
        done.append(name or ".")
    return done


def repeated(model: nn.Module) -> list[str]:
    """Names of the outermost lists (ModuleList, Sequential) of two or more blocks of one class.

    To compute a single layer of the library again saves nothing: those are no blocks.
    """
    found: list[str] = []
    for name, part in model.named_modules():
        if any(name == outer or name.startswith(f"{outer}.") for outer in found):
            continue
        members = list(part.children()) if isinstance(part, (nn.ModuleList, nn.Sequential)) else []
        of_one_class = len({type(member) for member in members}) == 1
        if name and len(members) > 1 and of_one_class and not _is_layer(members[0]):
            found.append(name)
    return found


def _named(model: nn.Module, name: str) -> list[str]:
    there = dict(model.named_modules())
    part = there.get(name) if name else None
    can = wrappable(model)
    if part is None:
        near = nearest(name, can)
        raise _refused(
            f"gradientCheckpointing names '{name}', and {type(model).__name__} has no module of"
            " that name",
            name,
            can,
            near,
        )
    if isinstance(part, (nn.ModuleList, nn.Sequential)) and len(part):
        return _members(model, name)
    if name not in can:
        why = (
            "has no forward of its own"
            if type(part).forward is nn.Module.forward
            else "is a single layer, whose recomputing saves nothing"
        )
        raise _refused(
            f"gradientCheckpointing names '{name}', a {type(part).__name__}, which {why}", name, can
        )
    return [name]


def _members(model: nn.Module, container: str) -> list[str]:
    return [f"{container}.{name}" for name, _ in model.get_submodule(container).named_children()]


def wrappable(model: nn.Module) -> list[str]:
    """Names that ``gradientCheckpointing`` may give: lists of modules, those with a forward."""
    return [
        name
        for name, part in model.named_modules()
        if name
        and not _is_layer(part)
        and (isinstance(part, nn.ModuleList) or type(part).forward is not nn.Module.forward)
    ]


def _is_layer(part: nn.Module) -> bool:
    """Whether it is one of the library's layers, without modules of its own."""
    return type(part).__module__.startswith("torch.nn.") and not any(True for _ in part.children())


def _wrap(block: nn.Module) -> None:
    plain = block.forward
    norms = [part for part in block.modules() if isinstance(part, _NormBase)]

    def forward(*arguments: Any, **named: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return plain(*arguments, **named)
        return checkpoint(
            plain,
            *arguments,
            use_reentrant=False,
            preserve_rng_state=True,
            context_fn=lambda: (contextlib.nullcontext(), _statistics_kept(norms)),
            **named,
        )

    block.forward = forward


@contextlib.contextmanager
def _statistics_kept(norms: list[_NormBase]) -> Iterator[None]:
    """While a block is computed again its running statistics, which have seen the batch, stay."""
    before = [(part, part.momentum, part._buffers.get("num_batches_tracked")) for part in norms]
    for part, _, counted in before:
        part.momentum = 0.0
        if counted is not None:
            part._buffers["num_batches_tracked"] = None
    try:
        yield
    finally:
        for part, momentum, counted in before:
            part.momentum = momentum
            if counted is not None:
                part._buffers["num_batches_tracked"] = counted


def _nothing_repeated(model: nn.Module) -> errors.InvalidConfiguration:
    return _refused(
        f"gradientCheckpointing: {type(model).__name__} has no repeated blocks (a ModuleList or"
        " Sequential of two or more modules of one class)",
        True,
        wrappable(model),
    )


def _refused(
    message: str, sent: Any, can: list[str], near: str | None = None
) -> errors.InvalidConfiguration:
    if can:
        more = f" and {len(can) - _SHOWN} more" if len(can) > _SHOWN else ""
        solution = (f"Did you mean '{near}'? " if near else "") + (
            f"Name modules that can be computed again: {', '.join(can[:_SHOWN])}{more}."
        )
    else:
        solution = "Leave gradientCheckpointing out: no module of it has modules of its own."
    return errors.InvalidConfiguration(
        message,
        solution=solution,
        metadata={
            "key": _KEY, "sent": sent, "allowed": can[:50], **({"nearest": near} if near else {})
        },
    )  # fmt: skip
