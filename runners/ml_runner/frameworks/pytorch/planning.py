"""What a learning-rate schedule spans: epochs, steps, warm-up, and the metric that it watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ml_runner import errors
from ml_runner.nearest import nearest
from ml_runner.training.metrics import core

_WARMING_UP_BY_THEMSELVES = ("OneCycleLR",)


@dataclass
class Plan:
    """The frame of a schedule.

    Attributes:
        epochs: of the whole training.
        steps_per_epoch: steps of the optimizer in one.
        interval: what it advances by: ``epoch`` or ``step``.
        warmup_steps: steps in which the rate rises linearly to the whole.
        metric: flat name of what reduce_on_plateau watches; None: ``val_loss``, else
            ``train_loss``.
        mode: ``min`` or ``max``: what is better for that metric.
        length: units after which the schedule is at its end and the rate stays; None: it has none.
    """

    epochs: int
    steps_per_epoch: int
    interval: str
    warmup_steps: int = 0
    metric: str | None = None
    mode: str = "min"
    length: int | None = None

    @property
    def warmup_epochs(self) -> int:
        """Whole epochs within the warm-up: a schedule by epoch begins after them."""
        return self.warmup_steps // self.steps_per_epoch

    @property
    def units(self) -> int:
        """Epochs or steps that remain for the schedule after the warm-up."""
        if self.interval == "step":
            return self.epochs * self.steps_per_epoch - self.warmup_steps
        return self.epochs - self.warmup_epochs

    @classmethod
    def of_call(
        cls,
        config: Mapping[str, Any],
        *,
        name: str | None,
        interval: str,
        epochs: int,
        steps_per_epoch: int,
    ) -> Plan:
        """The plan of a call, for the scheduler class called ``name``.

        Raises:
            InvalidConfiguration: a warm-up that is given twice, that does not go with the
                scheduler, or that leaves nothing for it.
        """
        plan = cls(epochs, steps_per_epoch, interval)
        plan.warmup_steps = _warmup_steps(config, steps_per_epoch)
        key = "config.warmupEpochs" if config.get("warmupEpochs") else "config.warmupSteps"
        if plan.warmup_steps and name in _WARMING_UP_BY_THEMSELVES:
            raise errors.InvalidConfiguration(
                f"{key} is given, and {name} rises to its highest rate by itself",
                solution=f"Leave {key} out; schedulerArgs.pct_start is the share of the rise.",
                metadata={"key": key, "sent": config[key.partition(".")[2]]},
            )
        total = epochs * steps_per_epoch
        if plan.warmup_steps >= total and plan.warmup_steps:
            raise errors.InvalidConfiguration(
                f"{key} makes a warm-up of {plan.warmup_steps} steps, and the whole training has"
                f" {total} ({epochs} epochs of {steps_per_epoch})",
                solution="Send a shorter warm-up, or more epochs.",
                metadata={"key": key, "sent": config[key.partition(".")[2]], "totalSteps": total},
            )
        if name == "ReduceLROnPlateau":
            stopping = config.get("earlyStopping") or {}
            plan.metric = stopping.get("metric")
            plan.mode = stopping.get("mode") or _mode_of(plan.metric)
        return plan


def _warmup_steps(config: Mapping[str, Any], steps_per_epoch: int) -> int:
    epochs, steps = config.get("warmupEpochs"), config.get("warmupSteps")
    if epochs and steps:
        raise errors.InvalidConfiguration(
            f"config.warmupEpochs is {epochs} and config.warmupSteps is {steps}: both say how long"
            " the warm-up is",
            solution="Send one of them.",
            metadata={"key": "config.warmupSteps", "sent": steps},
        )
    # Half an epoch is a warm-up too.
    return round(epochs * steps_per_epoch) if epochs else int(steps or 0)


def default_arguments(name: str, plan: Plan, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What this executor sets where a call does not: the library has no default for these."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    rate = rates if len(rates) > 1 else rates[0]
    if name == "CosineAnnealingLR":
        return {"T_max": plan.units}
    if name == "StepLR":
        return {"step_size": max(1, plan.units // 3), "gamma": 0.1}
    if name == "OneCycleLR":
        return {"max_lr": rate, "total_steps": plan.units}
    if name == "CyclicLR":
        return {"base_lr": rate}
    if name == "ReduceLROnPlateau":
        return {"mode": plan.mode}
    return {}


def _mode_of(metric: str | None) -> str:
    found = core((metric or "loss").removeprefix("val_").removeprefix("train_"))
    return "max" if found is not None and found.greater_is_better else "min"


def metric_of(name: str | None, metrics: Mapping[str, float]) -> float:
    """The figure that reduce_on_plateau watches.

    Raises:
        InvalidConfiguration: it is not measured; says the nearest.
    """
    wanted = ("val_loss", "train_loss") if name is None else (name, f"val_{name}")
    for candidate in wanted:
        if candidate in metrics:
            return float(metrics[candidate])
    near = nearest(name or "val_loss", metrics)
    raise errors.InvalidConfiguration(
        f"reduce_on_plateau watches '{name or 'val_loss'}', which this training does not measure",
        solution=(f"Did you mean '{near}'? " if near else "")
        + f"Measured are: {', '.join(metrics)}.",
        metadata={"key": "config.earlyStopping.metric", "sent": name, "allowed": list(metrics)},
    )
