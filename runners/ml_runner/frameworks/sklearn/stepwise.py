"""Fitting step by step, so that a long fit says how far it is and can be taken up again.

By default only where the result is the same, to the last bit, as that of one ``fit``; a test
compares them.
"""

from __future__ import annotations

import copy
import pickle
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from ml_runner import errors
from ml_runner.frameworks.base import Progress


class Steps(ABC):
    """A way of fitting one kind of estimator in steps.

    Args:
        estimator: fresh; becomes the fitted one, unless the fit is taken up again.
        X: (n, features).
        y: (n,).
        fit_parameters: further arguments of ``fit``.

    Attributes:
        unit: what is counted.
        exact: the result is that of one ``fit``.
        total: how many units there are at most.
        done: how many are behind it.
    """

    unit: ClassVar[str]
    exact: ClassVar[bool]

    def __init__(self, estimator: Any, X: Any, y: Any, fit_parameters: dict[str, Any]) -> None:
        self.estimator = estimator
        self.X, self.y = X, y
        self.fit_parameters = fit_parameters
        self.done = 0
        self.total = 0

    @abstractmethod
    def step(self) -> None:
        """Fits some units more, and counts them."""

    @property
    def over(self) -> bool:
        """Whether no unit is to come."""
        return self.done >= self.total

    @property
    def metrics(self) -> dict[str, float]:
        """What the last step measured."""
        return {}

    @abstractmethod
    def finish(self) -> None:
        """Leaves the estimator as one ``fit`` would have left it."""

    @abstractmethod
    def snapshot(self) -> dict[str, Any]:
        """The state between two steps; a step that is broken off in its middle leaves it whole."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""


def run(steps: Steps, progress: Progress) -> Any:
    """Fits step by step.

    Returns:
        The fitted estimator.
    """
    if progress.resumed is not None:
        (content,) = progress.resumed.files.values()
        # The action has seen to it that this is a file of ours.
        steps.restore(pickle.loads(content))
        steps.done = progress.resumed.done
    progress.step(steps.unit, steps.done, steps.total, {})
    done, state = steps.done, None
    try:
        while not steps.over:
            if progress.keeps_checkpoints:
                done, state = steps.done, steps.snapshot()
                if done and progress.wants_checkpoint():
                    progress.checkpoint(done, {}, _content(state))
            steps.step()
            progress.step(steps.unit, steps.done, steps.total, steps.metrics)
    except errors.Cancelled:
        if state is not None and done:
            progress.checkpoint(done, {}, _content(state), now=True)
        raise
    steps.finish()
    return steps.estimator


def copied(estimator: Any) -> Any:
    """A copy that further fitting leaves alone, of an estimator whose arrays are replaced by it.

    Trees are shared: there may be gigabytes of them, and they do not change.
    """
    twin = copy.copy(estimator)
    for name, value in vars(twin).items():
        if isinstance(value, (list, dict)):
            setattr(twin, name, copy.copy(value))
        elif isinstance(value, (np.random.RandomState, np.random.Generator)):
            setattr(twin, name, copy.deepcopy(value))
    return twin


def _content(state: dict[str, Any]) -> dict[str, bytes]:
    return {"pkl": pickle.dumps(state, protocol=5)}
