"""When to stop because it no longer gets better; the same rule for every framework."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_runner import unknown_name


@dataclass
class EarlyStopping:
    """Stops after ``patience`` rounds without an improvement of more than ``min_delta``.

    Attributes:
        patience: rounds.
        metric: flat name (``val_logloss``), a metric of the validation data (``logloss``), or
            ``val_loss`` for its first metric; None: its last one.
        min_delta: what counts as an improvement, in the metric's unit.
        mode: ``min``, ``max``, or None: as the metric is.
        best: position (from 0) of the best round so far.
        best_value: its value.
        counted_from: position from which patience is counted at the earliest.
    """

    patience: int
    metric: str | None = None
    min_delta: float = 0.0
    mode: str | None = None
    best: int = -1
    best_value: float = math.nan
    counted_from: int = -1
    resolved: str | None = field(default=None, repr=False)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> EarlyStopping | None:
        """Reads ``earlyStopping``; None where the call has none."""
        wanted = config.get("earlyStopping")
        if wanted is None:
            return None
        return cls(
            patience=int(wanted["patience"]),
            metric=wanted.get("metric"),
            min_delta=float(wanted.get("minDelta") or 0.0),
            mode=wanted.get("mode"),
        )

    def update(self, position: int, metrics: Mapping[str, float], *, more_is_better: bool) -> bool:
        """Takes in a round; True where it is time to stop.

        Args:
            position: the round, from 0.
            metrics: its figures, flat; the first ``val_`` one is what ``val_loss`` means.
            more_is_better: of the metric that ``name_in(metrics)`` names.
        """
        value = metrics[self.name_in(metrics)]
        maximise = more_is_better if self.mode is None else self.mode == "max"
        if self.best < 0:
            improved = True
        elif maximise:
            improved = value - self.min_delta > self.best_value
        else:
            improved = self.best_value - self.min_delta > value
        if improved:
            self.best, self.best_value = position, value
        return self.is_over(position)

    def is_over(self, position: int) -> bool:
        """Whether patience has run out at ``position`` (from 0)."""
        return position - max(self.best, self.counted_from) >= self.patience

    def name_in(self, metrics: Mapping[str, float]) -> str:
        """The flat name of the metric that is watched.

        Raises:
            InvalidConfiguration: ``earlyStopping.metric`` is none of those measured.
        """
        if self.resolved is None:
            self.resolved = self._resolve(metrics)
        return self.resolved

    def _resolve(self, metrics: Mapping[str, float]) -> str:
        validation = [name for name in metrics if name.startswith("val_")]
        wanted = self.metric
        if wanted is None:
            return validation[-1]
        if wanted in ("val_loss", "loss") and wanted not in metrics:
            return validation[0]
        for name in (wanted, f"val_{wanted}"):
            if name in metrics:
                return str(name)
        allowed = list(metrics)
        raise unknown_name.refusal(
            f"earlyStopping.metric '{wanted}' is not measured in this training",
            f"Measured are: {', '.join(allowed)}.",
            key="config.earlyStopping.metric",
            sent=wanted,
            known=allowed,
            allowed=allowed,
        )
