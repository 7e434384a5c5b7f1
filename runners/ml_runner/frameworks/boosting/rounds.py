"""A training followed round by round, so that it can be reported, stopped and taken up again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_runner import calls, errors
from ml_runner.frameworks.base import FitState, Progress
from ml_runner.training.early_stopping import EarlyStopping
from ml_runner.training.history import History, flat_name

if TYPE_CHECKING:
    from ml_runner.job import Job


@dataclass
class Rounds:
    """Follows a training round by round: history, progress, early stopping, checkpoints.

    Attributes:
        job: whose training it is (for the next call that an error proposes).
        total: rounds asked for.
        more_is_better: metric → whether it is to be maximised.
        progress: who is told.
        snapshot: (booster) → its bytes, from which training can go on.
        suffix: of the file that holds them.
        stopping: the early stopping, or None.
        learning_rate: for the error of a divergence: (parameter's name, value).
        segment: rounds of a segment, where checkpoints lie at the ends of segments only.
        interval: least rounds between checkpoints.
        start: the booster at the place from which this process goes on; None: from the beginning.
        stopped_early: the watched metric has not got better for long enough.
        cancelled: the job was asked to stop.
    """

    job: Job
    total: int
    more_is_better: Callable[[str], bool]
    progress: Progress
    snapshot: Callable[[Any], bytes]
    suffix: str
    stopping: EarlyStopping | None
    learning_rate: tuple[str, float]
    segment: int | None = None
    interval: int = 1
    history: History = field(default_factory=History)
    start: bytes | None = None
    stopped_early: bool = False
    cancelled: bool = False
    # The last end of a segment, for a checkpoint that is asked for in the middle of the next one.
    _at_end: tuple[int, dict[str, Any], dict[str, bytes]] | None = None

    def __post_init__(self) -> None:
        if self.progress.resumed is not None:
            self._restore(self.progress.resumed)
        self.progress.step("round", self.done, self.total, self.history.last())

    @property
    def done(self) -> int:
        """Rounds behind it."""
        return len(self.history)

    @property
    def over(self) -> bool:
        """Whether no round is to come."""
        return self.done >= self.total or self.stopped_early or self.cancelled

    def after(self, booster: Any, values: Mapping[tuple[str, str], float]) -> bool:
        """Takes in one round; True where training is to end.

        Raises:
            TrainingDiverged: a loss is NaN or infinite.
            InvalidConfiguration: ``earlyStopping.metric`` is not measured.
        """
        self.history.add(dict(values))
        self._check_finite(values)
        done = self.done
        latest = {flat_name(*key): float(value) for key, value in values.items()}
        stop = False
        if self.stopping is not None and latest:
            name = self.stopping.name_in(latest)
            better = self.more_is_better(name.partition("_")[2])
            stop = self.stopping.update(done - 1, latest, more_is_better=better)
            self.stopped_early = stop and done < self.total
        self.progress.step("round", done, self.total, latest)
        if self.progress.cancel_requested:
            self.cancelled = True
            self._keep(booster, now=True)
            return True
        if done >= self.total or stop:
            self._ended(booster)
        elif (
            self.segment is None and done % self.interval == 0 and self.progress.wants_checkpoint()
        ):
            self._keep(booster, now=False)
        return stop

    def segment_ended(self, content: bytes) -> None:
        """Takes in the booster at the end of a segment, with which the next one begins."""
        if self.progress.keeps_checkpoints:
            self._at_end = (self.done, self._state(), {self.suffix: content})
            self.progress.checkpoint(*self._at_end)

    def _ended(self, booster: Any) -> None:
        """Keeps the last state, whole: a finished training may be given more rounds."""
        if self.segment is not None and self.done % self.segment == 0:
            self._at_end = (self.done, self._state(), {self.suffix: self.snapshot(booster)})
        self._keep(booster, now=True)

    def _keep(self, booster: Any, *, now: bool) -> None:
        if not self.progress.keeps_checkpoints:
            return
        if self.segment is None:
            files = {self.suffix: self.snapshot(booster)}
            self.progress.checkpoint(self.done, self._state(), files, now=now)
        elif self._at_end is not None:
            self.progress.checkpoint(*self._at_end, now=now)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "history": [[*key, list(values)] for key, values in self.history.series.items()]
        }
        if self.stopping is not None:
            best, value = self.stopping.best, self.stopping.best_value
            state["stopping"] = {"best": best, "bestValue": value, "over": self.stopped_early}
        return state

    def _restore(self, from_: FitState) -> None:
        for data, metric, values in from_.state["history"]:
            self.history.series[data, metric] = [float(value) for value in values]
        (self.start,) = from_.files.values()
        stopping = from_.state.get("stopping")
        if self.stopping is not None and stopping is not None:
            self.stopping.best = int(stopping["best"])
            self.stopping.best_value = float(stopping["bestValue"])
            waited = self.done - 1 - self.stopping.best
            self.stopped_early = waited >= self.stopping.patience and self.done < self.total
        if self.segment is not None:
            self._at_end = (from_.done, dict(from_.state), dict(from_.files))
        if self.stopped_early:
            self.job.warn(
                f"Training had stopped early at round {self.done}: more rounds change nothing"
            )

    def _check_finite(self, values: Mapping[tuple[str, str], float]) -> None:
        for (data, metric), value in values.items():
            # The area under a curve of one class is NaN, and no divergence.
            if math.isfinite(value) or self.more_is_better(metric):
                continue
            series = self.history.series[data, metric]
            valid = [earlier for earlier in series if math.isfinite(earlier)]
            name, rate = self.learning_rate
            what = "NaN" if math.isnan(value) else "infinite"
            raise errors.TrainingDiverged(
                f"{flat_name(data, metric)} became {what} at round {len(self.history)}",
                solution=f"Reduce {name} (now {rate:g}; try {rate / 10:g}), or check the target"
                " for values out of all proportion.",
                metadata={
                    "round": len(self.history),
                    "metric": flat_name(data, metric),
                    "lastValidLoss": valid[-1] if valid else None,
                    "learningRate": rate,
                },
                next_call=calls.repeat(self.job, {"hyperparameters": {name: rate / 10}}),
            )

    @property
    def best_score(self) -> float | None:
        """The watched metric at the best round."""
        return None if self.stopping is None else self.stopping.best_value

    @property
    def best(self) -> int | None:
        """Position (from 0) of the best round, where early stopping watched."""
        return self.stopping.best if self.stopping is not None else None


def better_in(history: History, rule: Callable[[str], bool]) -> dict[str, bool]:
    """Metric → whether more is better, of every metric in a history."""
    return {metric: rule(metric) for _, metric in history.series}
