"""The course of the learning rate: a scheduler of the library, warm-up, and an exact state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim import lr_scheduler

from ml_runner import errors
from ml_runner.frameworks.pytorch.planning import Plan, metric_of

# What a scheduler may set in a group of parameters, for starting over.
_GROUP_KEYS = (
    "lr", "initial_lr", "max_lr", "min_lr", "momentum", "betas", "max_momentum", "base_momentum"
)  # fmt: skip


class Schedule:
    """The learning rate's course over a training, by step or by epoch.

    A run that goes on from its state has the learning rates of the run that was never stopped.

    Args:
        optimizer: whose learning rates it sets.
        make: makes the library's scheduler; None: a constant rate (but for warm-up).
        plan: epochs, steps, interval, warm-up and metric.
        values: the arguments that ``make`` calls it with; a state of others is planned anew.

    Attributes:
        name: class name of the scheduler; None where there is none.
        plan: as given.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        make: Callable[[], Any] | None,
        plan: Plan,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self.plan = plan
        self._values = {
            **(values or {}), "interval": plan.interval, "warmupSteps": plan.warmup_steps
        }  # fmt: skip
        self._optimizer = optimizer
        self._scheduler = None if make is None else make()
        self.name = None if make is None else type(self._scheduler).__name__
        # With a gradient scaler the first steps may be skipped: that is no mistake in the loop,
        # which the library's warning is meant for.
        optimizer._opt_called = True  # pyright: ignore[reportAttributeAccessIssue]
        self._steps = self._epochs = self._advanced = 0
        self._start = [
            {key: group[key] for key in _GROUP_KEYS if key in group}
            for group in optimizer.param_groups
        ]
        # What the scheduler can be set back to: state_dict gives references, not copies.
        self._fresh = None if self._scheduler is None else _copied(self._scheduler.state_dict())
        self._warm_up()

    def step_batch(self) -> None:
        """After each step of the optimizer."""
        self._steps += 1
        if self._steps <= self.plan.warmup_steps:
            self._warm_up()
        elif self.plan.interval == "step":
            self._advance()

    def step_epoch(self, metrics: Mapping[str, float]) -> None:
        """After each epoch, its validation included.

        Args:
            metrics: the epoch's figures, flat (``train_loss``, ``val_loss``, …).

        Raises:
            InvalidConfiguration: the metric that it watches is not among them.
        """
        self._epochs += 1
        if self.plan.interval == "epoch" and self._epochs > self.plan.warmup_epochs:
            self._advance(metrics)

    def learning_rates(self) -> list[float]:
        """The rate of each group of parameters, as the next step will use it."""
        return [float(group["lr"]) for group in self._optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: plain values, to be loaded beside the optimizer's own state."""
        return {
            "name": self.name,
            "values": _copied(self._values),
            "planned": [self.plan.epochs, self.plan.steps_per_epoch],
            "steps": self._steps,
            "epochs": self._epochs,
            "advanced": self._advanced,
            "scheduler": None if self._scheduler is None else _copied(self._scheduler.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> list[str]:
        """Goes on from a state; call it after the optimizer's own ``load_state_dict``.

        Where the training is longer now than it was planned, and the schedule spans the whole of
        it, its rates are those that the longer training would have had from the start.

        Returns:
            What the caller should be warned of.

        Raises:
            InvalidConfiguration: the state is of another scheduler.
        """
        if state["name"] != self.name:
            raise errors.InvalidConfiguration(
                f"The checkpoint was written with the scheduler {state['name'] or 'none'}, and the"
                f" call has {self.name or 'none'}",
                solution="Resume with the scheduler that the run began with.",
                metadata={
                    "key": "config.scheduler", "sent": self.name, "allowed": [state["name"]]
                },
            )  # fmt: skip
        self._steps, self._epochs = state["steps"], state["epochs"]
        self._advanced = state["advanced"]
        if self._scheduler is None:
            return []
        if state["values"] == self._values or self.name == "ReduceLROnPlateau":
            self._scheduler.load_state_dict(_copied(state["scheduler"]))
            return []
        self._start_over()
        return [
            (
                f"{self.name} was planned for {state['planned'][0]} epochs of"
                f" {state['planned'][1]} steps, and is planned anew for {self.plan.epochs} of"
                f" {self.plan.steps_per_epoch}: from here on its learning rates are those of such a"
                " training"
            )
        ]

    # -- inside ----------------------------------------------------------------------------------

    def _warm_up(self) -> None:
        """Sets the rate of the next step: i/n of the whole for the i-th of n steps of warm-up."""
        warmup = self.plan.warmup_steps
        if warmup == 0:
            return
        factor = 1.0 if self._steps >= warmup else (self._steps + 1) / warmup
        for group, start in zip(self._optimizer.param_groups, self._start, strict=True):
            _set(group, "lr", start["lr"] if factor == 1.0 else start["lr"] * factor)

    def _advance(self, metrics: Mapping[str, float] | None = None) -> None:
        scheduler = self._scheduler
        if scheduler is None:
            return
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(metric_of(self.plan.metric, metrics or {}))
        elif self.plan.length is None or self._advanced < self.plan.length:
            scheduler.step()
        # Beyond its length a schedule would raise, or begin anew: the last rate stays.
        self._advanced += 1

    def _start_over(self) -> None:
        """Sets optimizer and scheduler to where this plan has them at this point."""
        for group, start in zip(self._optimizer.param_groups, self._start, strict=True):
            for key, value in start.items():
                _set(group, key, value)
        self._scheduler.load_state_dict(_copied(self._fresh))  # pyright: ignore[reportOptionalMemberAccess]
        if self._steps < self.plan.warmup_steps:
            self._advanced = 0
            self._warm_up()
            return
        by_step = self.plan.interval == "step"
        done, before = (
            (self._steps, self.plan.warmup_steps)
            if by_step
            else (self._epochs, self.plan.warmup_epochs)
        )
        self._advanced = 0
        for _ in range(max(0, done - before)):
            self._advance()


def _set(group: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(group.get(key), torch.Tensor):
        group[key].fill_(float(value))
    else:
        group[key] = value


def _copied(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_copied(item) for item in state)
    return state.clone() if isinstance(state, torch.Tensor) else state
