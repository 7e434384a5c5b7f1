"""How far a training is, over all the fits that it consists of, and when it will be done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_runner import seeds
from ml_runner.frameworks.base import FitState

if TYPE_CHECKING:
    from ml_runner.frameworks.base import Learner
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint, Checkpoints


# Scores of folds are small: they are kept more often than states of a model.
_FOLDS_EVERY_SECONDS = 1.0


class Work:
    """Several fits of known relative cost, of which the last is the final model's.

    Args:
        job: who is told.
        learner: what is fitted.
        costs: of each fit, in any unit (rows, say).
        checkpoints: where they are kept; None where none are.
        resumed: the checkpoint from which the work goes on.

    Attributes:
        scores: metric → its value in each finished fold.
    """

    def __init__(
        self,
        job: Job,
        learner: Learner,
        costs: list[float],
        checkpoints: Checkpoints | None,
        resumed: Checkpoint | None = None,
    ) -> None:
        self._job = job
        self._learner = learner
        self._costs = costs
        self._checkpoints = checkpoints
        self._resumed = resumed
        self._start = time.perf_counter()
        before: dict[str, Any] = (resumed.folds if resumed else None) or {"done": 0, "scores": {}}
        self._first_fold = self._folds_done = int(before["done"])
        self.scores: dict[str, list[float]] = {
            name: [float(value) for value in values] for name, values in before["scores"].items()
        }
        if "generators" in before:
            seeds.restore(before["generators"])

    # -- folds -----------------------------------------------------------------------------------

    @property
    def folds_done(self) -> int:
        """How many folds need not be fitted (again)."""
        return self._folds_done

    def fold(self, number: int) -> FitProgress:
        """Progress of fold ``number`` (from 0)."""
        return FitProgress(self, number)

    def fold_finished(self, scores: Mapping[str, float]) -> None:
        """Takes in how the next fold scored, by name of the metric."""
        for name, value in scores.items():
            self.scores.setdefault(name, []).append(value)
        self._folds_done += 1
        if self._checkpoints is not None and self._checkpoints.due(_FOLDS_EVERY_SECONDS):
            self.keep_folds()

    def keep_folds(self) -> None:
        """Writes a checkpoint of the folds alone, where there is one to keep."""
        if self._checkpoints is not None and self._folds_done > self._first_fold:
            self._checkpoints.save("fold", self._folds_done, {}, {}, self._folds())

    def _folds(self) -> dict[str, Any] | None:
        if not self._folds_done:
            return None
        # What draws from the shared generators goes on where it would have been.
        return {"done": self._folds_done, "scores": self.scores, "generators": seeds.state()}

    def told(self, fit: int, share: float, metrics: Mapping[str, float]) -> None:
        """Reports the folds done, with the time remaining until all fits are."""
        folds = len(self._costs) - 1
        # Those of an earlier process took none of this one's time.
        done = sum(self._costs[self._first_fold : fit]) + self._costs[fit] * share
        left = sum(self._costs[fit:]) - self._costs[fit] * share
        elapsed = time.perf_counter() - self._start
        remaining = elapsed / done * left if done > 0 else None
        self._job.progress("fold", fit + int(share >= 1), folds, metrics, eta_seconds=remaining)

    # -- the final fit ---------------------------------------------------------------------------

    def final(self) -> FitProgress:
        """Progress of the last fit."""
        resumed = self._resumed
        fit = None
        if resumed is not None and resumed.unit != "fold":
            fit = FitState(resumed.done, resumed.state, resumed.contents)
        keeping = self._checkpoints if self._learner.keeps_checkpoints else None
        return FitProgress(self, len(self._costs) - 1, keeping, fit)

    def save(
        self, unit: str, done: int, state: Mapping[str, Any], contents: Mapping[str, bytes]
    ) -> None:
        """Writes a checkpoint of the final fit."""
        assert self._checkpoints is not None
        self._checkpoints.save(unit, done, state, contents, self._folds())

    @property
    def job(self) -> Job:
        """Whose work it is."""
        return self._job

    @property
    def unit(self) -> str:
        """What a fit counts."""
        return self._learner.unit


class FitProgress:
    """What one fit tells; see ``frameworks.base.Progress``."""

    def __init__(
        self,
        work: Work,
        fit: int,
        checkpoints: Checkpoints | None = None,
        resumed: FitState | None = None,
    ) -> None:
        self._work = work
        self._fit = fit
        self._is_final = fit == len(work._costs) - 1
        self._checkpoints = checkpoints
        self.resumed = resumed

    def step(self, unit: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        """In the final fit its own units; in a fold the share of it that is done."""
        job = self._work.job
        if not self._is_final:
            if done < total:
                self._work.told(self._fit, done / total, metrics)
        else:
            if done == (0 if self.resumed is None else self.resumed.done):
                job.start_unit(unit, done)
            job.progress(unit, done, total, metrics)

    def finished(self, metrics: Mapping[str, float]) -> None:
        """A fold is done, and this is how it scored."""
        self._work.told(self._fit, 1.0, metrics)

    @property
    def cancel_requested(self) -> bool:
        """Whether the job is to end."""
        return self._work.job.cancel_requested

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether this fit is to write any."""
        return self._checkpoints is not None

    def wants_checkpoint(self) -> bool:
        """Whether the last one is long enough ago."""
        return self._checkpoints is not None and self._checkpoints.due()

    def checkpoint(
        self, done: int, state: Mapping[str, Any], files: Mapping[str, bytes], *, now: bool = False
    ) -> None:
        """Writes one, if it is due or ``now``."""
        if self._checkpoints is not None and (now or self._checkpoints.due()):
            self._work.save(self._work.unit, done, state, files)
