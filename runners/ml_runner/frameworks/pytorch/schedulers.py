"""Schedulers: every class of ``torch.optim.lr_scheduler`` that plain values can make, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch.optim import lr_scheduler

from ml_runner import errors
from ml_runner.frameworks.pytorch import arguments
from ml_runner.frameworks.pytorch.planning import Plan, default_arguments
from ml_runner.frameworks.pytorch.schedule import Schedule

Default = Callable[[str, Any], None]

_NOT_SET_HERE = {
    "optimizer": "it is the training's own",
    "last_epoch": "resume knows where a run stood",
    "verbose": "the learning rates are among the metrics",
    "scale_fn": "a function cannot be sent",
    "epochs": "the call's own epochs hold",
    "steps_per_epoch": "it follows from the data and batchSize",
}
_REFUSED = {
    "LambdaLR": "it needs a function, which a call cannot carry",
    "MultiplicativeLR": "it needs a function, which a call cannot carry",
    "SequentialLR": "it needs other schedulers; for a warm-up there are warmupEpochs and"
    " warmupSteps",
    "ChainedScheduler": "it needs other schedulers",
}
# The seed's names, and other writings, that are not the class's own without its ending.
_ALIASES = {
    "cosine": "CosineAnnealingLR",
    "plateau": "ReduceLROnPlateau",
    "reduce_on_plateau": "ReduceLROnPlateau",
    "reduce_lr": "ReduceLROnPlateau",
    "cosine_warm_restarts": "CosineAnnealingWarmRestarts",
    "multistep": "MultiStepLR",
    "poly": "PolynomialLR",
}
_BY_STEP = ("OneCycleLR", "CyclicLR")
_AT_LEAST_ONE = (
    "step_size", "T_max", "T_0", "total_iters", "total_steps", "step_size_up", "step_size_down"
)  # fmt: skip


@lru_cache(maxsize=1)
def known() -> dict[str, type[Any]]:
    """Class name → class, of every scheduler that this version of PyTorch has."""
    return {
        name: found
        for name, found in sorted(vars(lr_scheduler).items())
        if inspect.isclass(found)
        and found.__module__ == lr_scheduler.__name__
        and not name.startswith("_")
        and name != "LRScheduler"
        and (issubclass(found, lr_scheduler.LRScheduler) or name == "ReduceLROnPlateau")
    }


def build(
    config: Mapping[str, Any],
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    default: Default,
) -> Schedule:
    """The schedule that the call asks for; a constant rate where it names none.

    Reads ``scheduler``, ``schedulerArgs`` (by the library's own names), ``schedulerInterval``
    (``epoch`` or ``step``), ``warmupEpochs`` or ``warmupSteps``, and, for ``reduce_on_plateau``,
    ``earlyStopping.metric``.

    Args:
        config: the call's config.
        optimizer: its groups' rates are those at the height of the schedule.
        epochs: of the whole training.
        steps_per_epoch: steps of the optimizer in one (batches ÷ accumulation).
        default: is told of each default used, ``(key, value)``.

    Raises:
        InvalidConfiguration: a name, an argument, a value or a combination that cannot be.
    """
    _refuse_without_scheduler(config)
    cls = _class_of(config.get("scheduler"))
    name = None if cls is None else cls.__name__
    by_default = "step" if name in _BY_STEP else "epoch"
    interval = config.get("schedulerInterval") or by_default
    if name == "ReduceLROnPlateau" and interval == "step":
        raise errors.InvalidConfiguration(
            "schedulerInterval is 'step', and reduce_on_plateau watches a metric of whole epochs",
            solution="Leave schedulerInterval out.",
            metadata={"key": "config.schedulerInterval", "sent": "step", "allowed": ["epoch"]},
        )
    plan = Plan.of_call(
        config, name=name, interval=interval, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    if cls is None:
        return Schedule(optimizer, None, plan)
    values = _values(cls, config, optimizer, plan, default)
    if name == "OneCycleLR":
        plan.length = values["total_steps"] - 1
    elif name == "CosineAnnealingLR" and "T_max" not in (config.get("schedulerArgs") or {}):
        plan.length = values["T_max"]

    def make() -> Any:
        return arguments.construct(
            lambda: cls(optimizer, **values),
            cls.__name__,
            values,
            key="config.schedulerArgs",
            known=arguments.accepted(cls),
        )

    return Schedule(optimizer, make, plan, values)


def _class_of(sent: str | None) -> type[Any] | None:
    if sent is None or arguments.plain(sent) == "none":
        return None
    names: dict[str, type[Any]] = dict(known())
    writings = {**names}
    for name, cls in names.items():
        # step_lr, StepLR and step; one_cycle; cosine_annealing.
        writings.setdefault(name.removesuffix("LR").removesuffix("Scheduler"), cls)
    writings.update({alias: names[name] for alias, name in _ALIASES.items() if name in names})
    key = "config.scheduler"
    try:
        cls = arguments.resolve(
            sent, writings, key=key, what="a scheduler", package="torch.optim.lr_scheduler"
        )
    except errors.InvalidConfiguration as error:
        usable = [name for name in names if name not in _REFUSED]
        near = error.metadata.get("nearest")
        error.solution = (f"Did you mean '{near}'? " if near else "") + (
            f"There are: {', '.join(usable)}."
        )
        error.metadata["allowed"] = usable
        raise
    if cls.__name__ in _REFUSED:
        raise errors.InvalidConfiguration(
            f"{cls.__name__} cannot be used: {_REFUSED[cls.__name__]}",
            solution="Use another scheduler, such as step_lr, multi_step or cosine_annealing.",
            metadata={
                "key": key, "sent": sent, "allowed": [n for n in names if n not in _REFUSED]
            },
        )  # fmt: skip
    return cls


def _values(
    cls: type[Any],
    config: Mapping[str, Any],
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    default: Default,
) -> dict[str, Any]:
    key = "config.schedulerArgs"
    values = arguments.check(cls, config.get("schedulerArgs") or {}, key=key, without=_NOT_SET_HERE)
    for name in _AT_LEAST_ONE:
        if isinstance(values.get(name), int) and values[name] < 1:
            raise errors.InvalidConfiguration(
                f"{key}.{name} of {cls.__name__} is {values[name]}, and must be at least 1",
                solution="Send a whole number from 1.",
                metadata={"key": f"{key}.{name}", "sent": values[name], "allowed": "≥ 1"},
            )
    for name, value in default_arguments(cls.__name__, plan, optimizer).items():
        if name not in values:
            values[name] = value
            default(f"schedulerArgs.{name}", value)
    _refuse_one_rate_for_all(values, config, optimizer)
    takes_momentum = "momentum" in optimizer.defaults or "betas" in optimizer.defaults
    if "cycle_momentum" in arguments.accepted(cls) and not takes_momentum:
        # The library's own default fails for an optimizer that has none.
        if values.setdefault("cycle_momentum", False):
            raise errors.InvalidConfiguration(
                f"{key}.cycle_momentum is true, and {type(optimizer).__name__} has no momentum",
                solution="Leave it out.",
                metadata={"key": f"{key}.cycle_momentum", "sent": True, "allowed": [False]},
            )
        if "cycle_momentum" not in (config.get("schedulerArgs") or {}):
            default("schedulerArgs.cycle_momentum", False)
    arguments.require(cls, values, key=key, without=_NOT_SET_HERE)
    if cls.__name__ == "OneCycleLR" and values["total_steps"] < plan.units:
        raise errors.InvalidConfiguration(
            f"{key}.total_steps is {values['total_steps']}, and the training takes {plan.units}",
            solution="Leave it out: it then spans the whole training.",
            metadata={"key": f"{key}.total_steps", "sent": values["total_steps"]},
        )
    return values


def _refuse_one_rate_for_all(
    values: Mapping[str, Any], config: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> None:
    groups = len(optimizer.param_groups)
    if not config.get("layerLearningRates"):
        return
    for name in ("max_lr", "base_lr"):
        value = (config.get("schedulerArgs") or {}).get(name)
        if groups > 1 and isinstance(value, (int, float)) and name in values:
            raise errors.InvalidConfiguration(
                f"schedulerArgs.{name} is one number, and would replace the {groups} learning rates"
                " of layerLearningRates",
                solution=f"Leave it out, or send {groups} numbers: for the other layers, then in"
                " the order of layerLearningRates.",
                metadata={"key": f"config.schedulerArgs.{name}", "sent": value, "allowed": groups},
            )


def _refuse_without_scheduler(config: Mapping[str, Any]) -> None:
    if config.get("scheduler") is not None and arguments.plain(config["scheduler"]) != "none":
        return
    for key in ("schedulerArgs", "schedulerInterval"):
        if config.get(key):
            raise errors.InvalidConfiguration(
                f"config.{key} is given without config.scheduler",
                solution="Name the scheduler, or leave it out.",
                metadata={"key": f"config.{key}", "sent": config[key]},
            )
