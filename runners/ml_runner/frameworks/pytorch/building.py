"""The model of a call, made by the caller's script; and what can be told of it."""

from __future__ import annotations

import contextlib
import inspect
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ml_runner import errors, seeds
from ml_runner.scripts import Script

seeds.also(torch.manual_seed)

_SUMMARY_LINES = 30
_HOOKS = {
    "build_datasets": ("config",),
    "loss": ("outputs", "targets"),
    "training_step": ("model", "batch"),
}


@dataclass(frozen=True)
class Hooks:
    """Functions of the script that take the place of the executor's own.

    Attributes:
        build_datasets: ``(config)`` → data sets.
        loss: ``(outputs, targets)`` → the batch's loss.
        training_step: ``(model, batch)`` → the batch's loss.
    """

    build_datasets: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    training_step: Callable[..., Any] | None = None


def hooks(script: Script) -> Hooks:
    """The hooks that a script defines.

    Raises:
        ModelLoadingError: one that cannot be called as it would be.
    """
    found: dict[str, Callable[..., Any]] = {}
    for name, arguments in _HOOKS.items():
        value = getattr(script.module, name, None)
        if not callable(value) or inspect.isclass(value):
            continue  # a variable of that name (a loss that a training at import has left, say)
        try:
            inspect.signature(value).bind(*arguments)
        except TypeError as error:
            call = f"{name}({', '.join(arguments)})"
            raise errors.ModelLoadingError(
                f"{name} of modelScript '{script.shown}' cannot be called as {call}: {error}",
                solution=f"Let it take {' and '.join(arguments)}, or rename it.",
                metadata={
                    "key": "config.modelScript",
                    "function": f"{name}{inspect.signature(value)}",
                    "allowed": call,
                },
            ) from error
        except ValueError:
            pass  # compiled code that shows no signature
        found[name] = value
    return Hooks(**found)


def fills(
    *,
    num_classes: int | None = None,
    input_shape: Sequence[int] | None = None,
    vocab_size: int | None = None,
) -> dict[str, Any]:
    """Values for the parameters of a model that are filled from the data.

    Args:
        num_classes: of the target; None for numbers.
        input_shape: of one row's input, without the batch; one number for a table's columns.
        vocab_size: of the tokeniser; None without text.
    """
    values: dict[str, Any] = {"num_classes": num_classes, "vocab_size": vocab_size}
    if input_shape is not None:
        values["input_shape"] = tuple(input_shape)
        if len(input_shape) == 1:
            values["in_features"] = values["input_dim"] = input_shape[0]
    return {name: value for name, value in values.items() if value is not None}


def is_candidate(found: Any) -> bool:
    """Whether a class or function of a script is a model's class."""
    return inspect.isclass(found) and issubclass(found, nn.Module)


def build(
    script: Script, config: Mapping[str, Any], fill: Mapping[str, Any], seed: int
) -> nn.Module:
    """The model, with the weights that ``torch.manual_seed(seed)`` before its making gives.

    Args:
        script: the caller's.
        config: the call's config: ``modelClass`` (a class, or a function that returns a model),
            ``modelArgs``.
        fill: from ``fills``.
        seed: of the call.

    Raises:
        ModelLoadingError: nothing in the script makes a model, it raises, or what it makes is not
            one that can be trained.
        InvalidConfiguration: ``modelArgs`` that it does not have, or lacks.
    """
    maker = _maker(script, config)
    if isinstance(maker, nn.Module):
        raise errors.ModelLoadingError(
            f"'{config.get('modelClass')}' of modelScript '{script.shown}' is a model that was made"
            f" when the script was imported (a {type(maker).__name__}), before any seed was set",
            solution=f"Name its class, {type(maker).__name__}, or a function that returns it.",
            metadata={"key": "config.modelClass", "sent": config.get("modelClass")},
        )
    seeds.seed_all(seed)
    model = script.call(maker, config.get("modelArgs") or {}, fill=fill, config=config)
    _check(model, maker, script, config)
    return model


def making(script: Script, config: Mapping[str, Any], fill: Mapping[str, Any]) -> dict[str, Any]:
    """How ``build`` makes the model, for whoever makes it again.

    Returns:
        ``maker``, the name of a class or function of the script, and its ``arguments``: those
        given, and of ``fill`` and ``config`` those that it takes.
    """
    maker = _maker(script, config)
    arguments = dict(config.get("modelArgs") or {})
    with contextlib.suppress(TypeError, ValueError):
        for name in inspect.signature(maker).parameters:
            if name in fill:
                arguments.setdefault(name, fill[name])
            elif name == "config":
                arguments.setdefault(name, dict(config))
    return {"maker": str(getattr(maker, "__name__", maker)), "arguments": arguments}


def _maker(script: Script, config: Mapping[str, Any]) -> Callable[..., Any]:
    return script.choose(
        config.get("modelClass"), is_candidate=is_candidate, kind="a torch.nn.Module"
    )


def _check(
    model: Any, maker: Callable[..., Any], script: Script, config: Mapping[str, Any]
) -> None:
    name = getattr(maker, "__name__", str(maker))
    metadata = {"key": "config.modelClass", "sent": config.get("modelClass")}
    if not isinstance(model, nn.Module):
        made = _words(model)
        there = [key for key, value in vars(script.module).items() if is_candidate(value)]
        own = [
            key for key in there if vars(script.module)[key].__module__ == script.module.__name__
        ]
        raise errors.ModelLoadingError(
            f"{name} of modelScript '{script.shown}' gives {made}, not a torch.nn.Module",
            solution=(f"Set modelClass to one of: {', '.join(own)}; or let" if own else "Let")
            + f" {name} return one model.",
            metadata={**metadata, "found": made, "classes": own},
        )
    if type(model).forward is nn.Module.forward:
        raise errors.ModelLoadingError(
            f"{type(model).__name__} of modelScript '{script.shown}' has no forward method",
            solution="Define forward(self, inputs) in it.",
            metadata={**metadata, "found": type(model).__name__},
        )
    parameters = list(model.parameters())
    if any(parameter.requires_grad for parameter in parameters):
        return
    what = f"all its {len(parameters)} parameters are frozen" if parameters else "no parameters"
    hint = (
        "Leave requires_grad on in some."
        if parameters
        else "Layers in a plain list or dict are not found: use nn.ModuleList or nn.ModuleDict."
    )
    raise errors.ModelLoadingError(
        f"{name} of modelScript '{script.shown}' gives a model that cannot be trained: {what}",
        solution=hint,
        metadata={**metadata, "found": type(model).__name__, "parameters": len(parameters)},
    )


def _words(made: Any) -> str:
    if inspect.isclass(made):
        return f"the class {made.__name__} itself (not an instance of it)"
    if isinstance(made, (tuple, list)):
        inside = ", ".join(type(item).__name__ for item in made)
        return f"a {type(made).__name__} of {len(made)} ({inside})"
    return "None" if made is None else f"a {type(made).__name__}"


# -- looking at it ---------------------------------------------------------------------------------


def try_out(model: nn.Module, *inputs: Any) -> Any:
    """What ``forward`` gives for a batch, leaving no trace in the model or in any generator.

    Modules whose sizes are found at the first call (``nn.LazyLinear``, …) have them afterwards: so
    call it before the optimizer is built.
    """
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), _generators_kept():
            return model(*inputs)
    finally:
        # Module by module: a model may keep some of its parts in eval mode.
        for module in model.modules():
            module.training = training.get(module, True)


def is_lazy_model(model: nn.Module) -> bool:
    """Whether it has parameters whose sizes its first call decides."""
    return any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers()))


def count(model: nn.Module) -> tuple[int, int]:
    """Numbers in its parameters: (all, those that are trained); shared ones count once."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def summary(model: nn.Module) -> list[str]:
    """The model's parts with their parameters, at most 30 lines: as deep as that allows."""
    depth, lines = 1, _parts(model, 1)
    while len(lines) <= _SUMMARY_LINES - 2:
        deeper = _parts(model, depth + 1)
        if len(deeper) == len(lines) or len(deeper) > _SUMMARY_LINES - 2:
            break
        depth, lines = depth + 1, deeper
    if len(lines) > _SUMMARY_LINES - 2:
        left = len(lines) - (_SUMMARY_LINES - 3)
        lines = [*lines[: _SUMMARY_LINES - 3], f"  … and {left} more"]
    total, trained = count(model)
    return [
        f"{type(model).__name__}",
        *lines,
        f"parameters: {total:,}" + ("" if trained == total else f", trained: {trained:,}"),
    ]


def _parts(model: nn.Module, depth: int, prefix: str = "", level: int = 1) -> list[str]:
    lines = []
    for name, part in model.named_children():
        full = f"{prefix}{name}"
        lines.append(f"{'  ' * level}{full}: {type(part).__name__}, {count(part)[0]:,}")
        if level < depth:
            lines += _parts(part, depth, f"{full}.", level + 1)
    return lines


@contextlib.contextmanager
def _generators_kept() -> Iterator[None]:
    numpy = sys.modules.get("numpy")
    python, of_numpy = random.getstate(), None if numpy is None else numpy.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(of_numpy)
