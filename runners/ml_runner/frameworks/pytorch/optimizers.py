"""Optimizers: every class of ``torch.optim`` by name, its arguments checked before it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import torch

from ml_runner import errors
from ml_runner.frameworks.pytorch import arguments

Default = Callable[[str, Any], None]

# The config's own words → the constructors' names.
_SHORT = {"learningRate": "lr", "momentum": "momentum", "weightDecay": "weight_decay"}
_NOT_SET_HERE = {
    "params": "they are the model's",
    "differentiable": "nothing differentiates through the training",
}
_REFUSED = {
    "LBFGS": "it evaluates the loss several times a step through a closure, which a training by"
    " batches does not give it",
}


@lru_cache(maxsize=1)
def known() -> dict[str, type[torch.optim.Optimizer]]:
    """Class name → class, of every optimizer that this version of PyTorch has."""
    return {
        name: found
        for name, found in sorted(vars(torch.optim).items())
        if inspect.isclass(found)
        and issubclass(found, torch.optim.Optimizer)
        and found is not torch.optim.Optimizer
    }


def build(
    config: Mapping[str, Any],
    parameters: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
    default: Default,
) -> torch.optim.Optimizer:
    """The optimizer that the call asks for.

    Reads ``optimizer`` (adam where left out), ``learningRate``, ``momentum``, ``weightDecay`` and
    ``optimizerArgs`` (arguments by the library's own names).

    Args:
        config: the call's config.
        parameters: tensors, or groups of them (``{"params": …, "lr": …}``).
        default: is told of each default used, ``(key, value)``.

    Raises:
        InvalidConfiguration: a name or an argument that it does not have, a value that it refuses,
            one value given twice in two ways, or no parameter to train.
    """
    cls = _class_of(config, default)
    values = arguments_of(cls, config)
    if "lr" not in values:
        default("learningRate", inspect.signature(cls).parameters["lr"].default)
    groups: list[Any] = [
        {**group, "params": _listed(group["params"])} if isinstance(group, dict) else group
        for group in parameters
    ]
    tensors = [
        tensor
        for group in groups
        for tensor in (group["params"] if isinstance(group, dict) else [group])
    ]
    if not any(tensor.requires_grad for tensor in tensors):
        raise errors.InvalidConfiguration(
            f"The model has no parameter to train: {len(tensors)} parameters, and none of them"
            " requires a gradient",
            solution="Leave requires_grad on where the model is to learn.",
            metadata={"parameters": len(tensors)},
        )
    return arguments.construct(
        lambda: cls(groups, **values),
        cls.__name__,
        values,
        key="config.optimizerArgs",
        known=arguments.accepted(cls),
    )


def arguments_of(cls: type[torch.optim.Optimizer], config: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments for ``cls``, checked; raises as ``build``."""
    accepted = arguments.accepted(cls, without=_NOT_SET_HERE)
    values = arguments.check(
        cls, config.get("optimizerArgs") or {}, key="config.optimizerArgs", without=_NOT_SET_HERE
    )
    for short, name in _SHORT.items():
        value = arguments.same_or_refused(config, short, "optimizerArgs", name)
        if value is None:
            continue
        if name not in accepted:
            raise _not_taken(cls, short, value)
        values[name] = float(value)  # JSON knows no difference, and a large whole number overflows
    return values


def _class_of(config: Mapping[str, Any], default: Default) -> type[torch.optim.Optimizer]:
    sent = config.get("optimizer")
    if sent is None:
        default("optimizer", "adam")
        return torch.optim.Adam
    cls = arguments.resolve(
        sent, known(), key="config.optimizer", what="an optimizer", package="torch.optim"
    )
    if cls.__name__ in _REFUSED:
        raise errors.InvalidConfiguration(
            f"{cls.__name__} cannot train here: {_REFUSED[cls.__name__]}",
            solution="Use another optimizer, such as adam or sgd.",
            metadata={
                "key": "config.optimizer",
                "sent": sent,
                "allowed": [name for name in known() if name not in _REFUSED],
            },
        )
    return cls


def _not_taken(
    cls: type[torch.optim.Optimizer], short: str, value: Any
) -> errors.InvalidConfiguration:
    name = _SHORT[short]
    takers = [
        other.__name__
        for other in known().values()
        if name in arguments.accepted(other) and other.__name__ not in _REFUSED
    ]
    betas = inspect.signature(cls).parameters.get("betas")
    hint = ""
    if short == "momentum" and betas is not None:
        hint = (
            f"{cls.__name__}'s first beta is its momentum: send optimizerArgs:"
            f' {{"betas": [{value}, {betas.default[1]}]}}. '
        )
    return errors.InvalidConfiguration(
        f"{cls.__name__} has no {short}",
        solution=f"{hint}Those that take {short} are: {', '.join(takers)}. Or leave it out.",
        metadata={
            "key": f"config.{short}",
            "sent": value,
            "optimizer": cls.__name__,
            "takenBy": takers,
        },
    )


def _listed(parameters: Any) -> list[torch.Tensor]:
    return [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
