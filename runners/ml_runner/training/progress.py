"""How far a training is, over all the fits that it consists of, and when it will be done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoints


class Work:
    """Several fits of known relative cost, of which the last is the final model's.

    Args:
        job: who is told.
        costs: of each fit, in any unit (rows, say).
        checkpoints: where the final fit keeps them; None where it keeps none.
    """

    def __init__(self, job: Job, costs: list[float], checkpoints: Checkpoints | None) -> None:
        self._job = job
        self._costs = costs
        self._checkpoints = checkpoints
        self._start = time.perf_counter()

    def fold(self, number: int) -> FitProgress:
        """Progress of fold ``number`` (from 0)."""
        return FitProgress(self, number, None)

    def final(self) -> FitProgress:
        """Progress of the last fit."""
        return FitProgress(self, len(self._costs) - 1, self._checkpoints)

    def told(self, fit: int, share: float, metrics: Mapping[str, float]) -> None:
        """Reports the folds done, with the time remaining until all fits are."""
        folds = len(self._costs) - 1
        done = sum(self._costs[:fit]) + self._costs[fit] * share
        elapsed = time.perf_counter() - self._start
        remaining = elapsed / done * (sum(self._costs) - done) if done > 0 else None
        self._job.progress("fold", fit + int(share >= 1), folds, metrics, eta_seconds=remaining)

    @property
    def job(self) -> Job:
        """Whose work it is."""
        return self._job


class FitProgress:
    """What one fit tells; see ``frameworks.base.Progress``."""

    def __init__(self, work: Work, fit: int, checkpoints: Checkpoints | None) -> None:
        self._work = work
        self._fit = fit
        self._is_final = fit == len(work._costs) - 1
        self._checkpoints = checkpoints

    def step(self, unit: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        """In the final fit its own units; in a fold the share of it that is done."""
        job = self._work.job
        if not self._is_final:
            if done < total:
                self._work.told(self._fit, done / total, metrics)
        else:
            if done == 0:
                job.start_unit(unit)
            job.progress(unit, done, total, metrics)

    def finished(self, metrics: Mapping[str, float]) -> None:
        """A fold is done, and this is how it scored."""
        self._work.told(self._fit, 1.0, metrics)

    @property
    def cancel_requested(self) -> bool:
        """Whether the job is to end."""
        return self._work.job.cancel_requested

    def wants_checkpoint(self) -> bool:
        """Whether the last one is long enough ago."""
        return self._checkpoints is not None and self._checkpoints.due()

    def checkpoint(
        self, done: int, state: Mapping[str, Any], files: Mapping[str, bytes], *, now: bool = False
    ) -> None:
        """Writes one, if it is due or ``now``."""
        if self._checkpoints is not None and (now or self._checkpoints.due()):
            self._checkpoints.save(done, state, files)
