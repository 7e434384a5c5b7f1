"""What the loop of a training by epochs tells and asks, whichever framework runs it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ml_runner import calls, errors
from ml_runner.training import layers
from ml_runner.training.early_stopping import EarlyStopping
from ml_runner.training.history import History, flat_name

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoints
    from ml_runner.training.epochs.tensorboard import EventFile

UNIT = "epoch"
# Within an epoch a checkpoint is worth its time only where epochs are long.
_WITHIN_EPOCH_SECONDS = 300.0
_TELL_SECONDS = 0.2

Figures = Mapping[tuple[str, str], float]


class EpochWatch:
    """Follows a training: history, best epoch, early stopping, progress, checkpoints.

    Args:
        job: whose training it is.
        total: epochs asked for.
        more_is_better: metric → whether it is to be maximised.
        stopping: the call's early stopping, or None.
        watched: flat name of the metric by which an epoch is the best where nothing stops early.
        checkpoints: where they are kept; None where none are.
        interval: epochs between two checkpoints.
        interval_steps: optimizer steps between two checkpoints within epochs; None: by time.
        event_file: TensorBoard's, or None.

    Attributes:
        history: figures by epoch.
        best: position (from 0) of the best epoch; -1 before the first.
        stopped_early: whether it ended for want of improvement.
    """

    def __init__(
        self,
        job: Job,
        total: int,
        *,
        more_is_better: Callable[[str], bool],
        stopping: EarlyStopping | None,
        watched: str,
        checkpoints: Checkpoints | None,
        interval: int = 1,
        interval_steps: int | None = None,
        event_file: EventFile | None = None,
    ) -> None:
        self.job = job
        self.total = total
        self.history = History(unit=UNIT)
        self.stopped_early = False
        self._more_is_better = more_is_better
        self._stops = stopping is not None
        self._best = stopping or EarlyStopping(patience=total + 1, metric=watched)
        self._checkpoints = checkpoints
        self._interval = interval
        self._interval_steps = interval_steps
        self._event_file = event_file
        self._last_told = 0.0

    # -- how far it is ---------------------------------------------------------------------------

    def begin(self, done: float = 0) -> None:
        """The first step is about to be made, with ``done`` epochs behind it."""
        self.job.start_unit(UNIT, done)
        if not done:
            self.job.progress(UNIT, 0, self.total, {})

    @property
    def saves_by_steps(self) -> bool:
        """Whether ``checkpoint_due`` is to be asked after every step, ``within_due`` or not."""
        return self._interval_steps is not None

    def within_due(self) -> bool:
        """Whether it is time to tell how far an epoch is, and to look whether the job is to stop.

        To be asked after every step.
        """
        return time.monotonic() - self._last_told >= _TELL_SECONDS

    def within(self, done: float, figures: Mapping[str, float]) -> None:
        """``done`` epochs (a broken number) are behind; to be called where ``within_due``.

        Args:
            done: such as 2.25 in the middle of the third.
            figures: flat, of the latest step.
        """
        self._last_told = time.monotonic()
        self.job.progress(UNIT, round(done, 2), self.total, figures, within=True)

    def epoch(self, figures: Figures, *, learning_rate: float) -> bool:
        """An epoch is done; whether it is the best one so far.

        Args:
            figures: (``train`` or ``validation``, metric) → value.
            learning_rate: that it ended with, for TensorBoard and the error of a divergence.

        Raises:
            TrainingDiverged: a loss is NaN or infinite.
            InvalidConfiguration: ``earlyStopping.metric`` is not measured.
        """
        self.history.add(dict(figures))
        self.history.beside.setdefault("learning_rate", []).append(learning_rate)
        done = len(self.history)
        for (data, metric), value in figures.items():
            if metric == "loss" and not math.isfinite(value):
                raise self.diverged(value, done, learning_rate=learning_rate, of=data)
        flat = {flat_name(*key): float(value) for key, value in figures.items()}
        name = self._best.name_in(flat)
        better = self._more_is_better(name.partition("_")[2])
        stop = self._best.update(done - 1, flat, more_is_better=better) and self._stops
        self.stopped_early = stop and done < self.total
        self._last_told = time.monotonic()
        self.job.progress(UNIT, done, self.total, flat)
        if self._event_file is not None:
            self._event_file.add(done, {**flat, "learning_rate": learning_rate})
        return self._best.best == done - 1

    @property
    def finished(self) -> bool:
        """Whether there is no epoch left to train."""
        return self.stopped_early or len(self.history) >= self.total

    @property
    def best(self) -> int:
        """Position of the best epoch; see the class."""
        return self._best.best

    @property
    def best_score(self) -> float:
        """The watched metric at the best epoch."""
        return self._best.best_value

    @property
    def watched(self) -> str:
        """Flat name of the metric by which an epoch is the best."""
        return self._best.resolved or str(self._best.metric)

    def diverged(
        self, value: float, epoch: int, *, learning_rate: float, of: str = "train", step: int = 0
    ) -> errors.TrainingDiverged:
        """The error for a loss that is NaN or infinite, to be raised at the step where it is."""
        what = "NaN" if math.isnan(value) else "infinite"
        valid = [v for v in self.history.series.get(("train", "loss"), []) if math.isfinite(v)]
        which = "Training" if of == "train" else "Validation"
        at = f"epoch {epoch}" + (f", step {step}" if step else "")
        return errors.TrainingDiverged(
            f"{which} loss became {what} at {at}",
            solution=f"Reduce learning rate (try {learning_rate / 10:g}) or add gradient clipping"
            " (gradientClipping: 1.0); and look whether inputs and targets are scaled.",
            metadata={
                "epoch": epoch,
                **({"step": step} if step else {}),
                "lastValidLoss": valid[-1] if valid else None,
                "learningRate": learning_rate,
            },
            next_call=calls.repeat(self.job, self._slower(learning_rate)),
        )

    def _slower(self, learning_rate: float) -> dict[str, Any]:
        """Config keys with a tenth of the learning rates."""
        own = self.job.config.get(layers.RATES) or {}
        slower = {layers.RATES: {pattern: rate / 10 for pattern, rate in own.items()}}
        return {"learningRate": learning_rate / 10, **(slower if own else {})}

    # -- checkpoints -----------------------------------------------------------------------------

    def checkpoint_due(self, *, epoch_done: bool, step: int) -> bool:
        """Whether to write one now; ``step`` counts optimizer steps from the training's start."""
        if self._checkpoints is None:
            return False
        if self.job.cancel_requested:
            return True
        if not epoch_done:
            if self._interval_steps is not None:
                return step % self._interval_steps == 0
            return self._checkpoints.due(_WITHIN_EPOCH_SECONDS)
        if self.finished:
            return True  # so that more epochs can be added to what is complete
        return len(self.history) % self._interval == 0 and self._checkpoints.due()

    def checkpoint(self, files: Mapping[str, bytes], *, step: int | None) -> None:
        """Writes a checkpoint.

        Args:
            files: suffix → content: the loop's own state.
            step: optimizer steps from the start, in the midst of an epoch; None: at its end.
        """
        assert self._checkpoints is not None
        done = len(self.history)
        self._checkpoints.save(UNIT, done, self.state(), files, within=step)

    def state(self) -> dict[str, Any]:
        """What ``restore`` needs, as plain JSON values."""
        return {
            "total": self.total,
            "history": [[*key, values] for key, values in self.history.series.items()],
            "beside": self.history.beside,
            "stopping": {
                "best": self._best.best,
                "bestValue": self._best.best_value,
                "countedFrom": self._best.counted_from,
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up where ``state`` was taken."""
        for data, metric, values in state["history"]:
            self.history.series[data, metric] = [float(value) for value in values]
        for name, values in state["beside"].items():
            self.history.beside[name] = [float(value) for value in values]
        self._best.best = int(state["stopping"]["best"])
        self._best.best_value = float(state["stopping"]["bestValue"])
        self._best.counted_from = int(state["stopping"]["countedFrom"])
        done = len(self.history)
        if self._stops and self.total != state["total"] and self._best.is_over(done - 1):
            # Asked for more than the epochs at which it had stopped.
            self._best.counted_from = done - 1
            self.job.warn(
                f"earlyStopping had ended the run at {UNIT} {done}: its patience counts anew from"
                f" there, to {UNIT} {self.total}"
            )
