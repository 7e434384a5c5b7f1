"""The training loop: our own, so that a resumed run is the uninterrupted one to the last bit.

A checkpoint holds all that decides what comes next: weights, optimizer, scheduler, the position in
the epoch, what the epoch has measured so far, and every generator's state. The order of the data
does not depend on those generators (``feed``).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ml_runner import seeds
from ml_runner.frameworks.pytorch.cutting import Rereadable
from ml_runner.frameworks.pytorch.feed import Feed, rows_of
from ml_runner.frameworks.pytorch.stepping import Seen, Steps
from ml_runner.training.epochs.watch import EpochWatch

# On a GPU, reading a loss waits for the device: so many steps are looked at together.
_GPU_LOOKS_AT = 16
# To judge a batch takes as long as a tenth of a small model's step: it is done for so many batches
# at once, or for so many numbers where outputs are large.
_JUDGED_AT_ONCE = 256
_NUMBERS_AT_ONCE = 1 << 20

Figures = dict[tuple[str, str], float]
Judge = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Position:
    """How far a training is.

    Attributes:
        epoch: the one being trained, from 1.
        batch: batches of it that are behind.
        step: optimizer steps from the start.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0


@dataclass
class Tally:
    """What an epoch has measured so far.

    Attributes:
        loss: sum over rows of their batch's mean loss.
        rows: how many.
        predictions: on the CPU or the GPU; empty where nothing but the loss is measured.
        targets: likewise.
        unjudged: (outputs, targets) of batches whose predictions are not among these yet.
        numbers: in the outputs of those.
    """

    loss: float = 0.0
    rows: int = 0
    predictions: list[torch.Tensor] = field(default_factory=list)
    targets: list[torch.Tensor] = field(default_factory=list)
    unjudged: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    numbers: int = 0

    def add(self, outputs: torch.Tensor, targets: torch.Tensor, judge: Judge) -> None:
        """Takes in a batch."""
        self.unjudged.append((outputs, targets))
        self.numbers += outputs.numel()
        if len(self.unjudged) >= _JUDGED_AT_ONCE or self.numbers >= _NUMBERS_AT_ONCE:
            self.judge_all(judge)

    def judge_all(self, judge: Judge) -> None:
        """Makes predictions of the outputs of which none were made yet."""
        waiting, self.unjudged, self.numbers = self.unjudged, [], 0
        for outputs, targets in _joined(waiting):
            self.predictions.append(judge(outputs))
            self.targets.append(targets)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "loss": self.loss,
            "rows": self.rows,
            "predictions": [part.cpu() for part in self.predictions],
            "targets": [part.cpu() for part in self.targets],
        }


@dataclass
class Parts:
    """What a loop works with.

    Attributes:
        model: on its device.
        optimizer: of its parameters.
        scheduler: ``step_batch()``, ``step_epoch(figures)``, ``state_dict()``, ….
        train: the data that are learned from.
        validation: those that are only measured, or None.
        steps: makes the steps of the training, and measures what is not learned from.
        judge: the outputs of one or many batches → predictions, to be measured.
        measure_train: (predictions, targets) of an epoch → metric → value.
        measure_validation: (outputs, targets) of all batches → metric → value.
        still: parts of the model that stay in inference mode: they are frozen.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    train: Feed
    validation: Feed | None
    steps: Steps
    judge: Judge
    measure_train: Callable[[torch.Tensor, torch.Tensor], dict[str, float]]
    measure_validation: Callable[[list[Any], list[Any]], dict[str, float]]
    still: Sequence[nn.Module] = ()


class Loop:
    """Trains ``parts.model`` until ``watch`` has its epochs.

    Args:
        parts: what it works with.
        watch: who is told, and decides about checkpoints and the end.
        accumulate: batches whose gradients make one step.
    """

    def __init__(
        self,
        parts: Parts,
        watch: EpochWatch,
        *,
        accumulate: int = 1,
    ) -> None:
        self._parts = parts
        self._watch = watch
        self._accumulate = accumulate
        self.at = Position()
        self._tally = Tally()
        self._unread: list[tuple[torch.Tensor, int, int]] = []
        self.best_weights: dict[str, Any] | None = None
        parameter = next(parts.model.parameters())
        self._device = parameter.device
        self._look_at = 1 if self._device.type == "cpu" else _GPU_LOOKS_AT

    def run(self) -> None:
        """Trains to the end, or until the job is asked to stop.

        Raises:
            TrainingDiverged: a loss is NaN or infinite; the weights are those before that step.
            Cancelled: the job was asked to stop; a checkpoint has been written.
        """
        watch, parts = self._watch, self._parts
        watch.begin(self._done())
        while not watch.finished:
            self._train_epoch()
            figures = {("train", "loss"): self._tally.loss / max(1, self._tally.rows)}
            figures |= {("train", name): value for name, value in self._measured().items()}
            figures |= self._validate()
            rate = self.learning_rate
            if watch.epoch(figures, learning_rate=rate):
                self.best_weights = copy_of(parts.model.state_dict())
            parts.scheduler.step_epoch(watch.history.last())
            self.at.epoch, self.at.batch, self._tally = self.at.epoch + 1, 0, Tally()
            self._save_if_due(epoch_done=True)

    @property
    def learning_rate(self) -> float:
        """Of the first parameter group."""
        return float(self._parts.optimizer.param_groups[0]["lr"])

    # -- one epoch -------------------------------------------------------------------------------

    def _train_epoch(self) -> None:
        parts, watch, at, steps = self._parts, self._watch, self.at, self._parts.steps
        every, in_epoch = self._accumulate, parts.train.batches
        parts.model.train()
        for module in parts.still:
            module.training = False
        if at.batch == 0:
            steps.forget_gradients()
        batches = Rereadable(parts.train, at.epoch, at.batch)
        group: list[tuple[int, torch.Tensor, int, Seen]] = []
        for batch in batches:
            if not group:
                steps.begin()
            # The last group of an epoch may be smaller; its mean is over what it has.
            size = min(every, in_epoch - at.batch // every * every)
            loss = None
            try:
                loss, seen = steps.learn(batch, size)
                group.append((at.batch + 1, loss, rows_of(batch[0]), seen))
            except Exception as error:
                steps.halve(error, batch, f"epoch {at.epoch}, batch {at.batch + 1}")
            if loss is None:  # here the error is gone, and what it held in memory
                group = []
                at.batch = batches.back()
                steps.undo()
                continue
            at.batch += 1
            if at.batch % every and at.batch < in_epoch:
                continue
            self._count_in(group)
            if steps.finish():
                parts.scheduler.step_batch()
            at.step += 1
            batches.mark()
            group = []
            if at.batch < in_epoch:
                due = watch.within_due()
                if due:
                    watch.within(self._done(), {"train_loss": self._mean()})
                if due or watch.saves_by_steps:
                    self._save_if_due(epoch_done=False)
        self._look()

    def _count_in(self, group: list[tuple[int, torch.Tensor, int, Seen]]) -> None:
        """Takes in what a step has seen: (number, mean loss, rows, outputs) of its batches."""
        for number, loss, rows, seen in group:
            self._take(loss, rows, number)
            for outputs, targets in seen:
                self._tally.add(outputs, targets, self._parts.judge)

    def _take(self, loss: torch.Tensor, rows: int, step: int) -> None:
        if self._look_at == 1:
            self._count(loss.item(), rows, step)
            return
        self._unread.append((loss, rows, step))
        if len(self._unread) >= self._look_at:
            self._look()

    def _look(self) -> None:
        """Reads the losses that were not read yet; the first that is not finite ends it all."""
        unread, self._unread = self._unread, []
        if unread:
            values = torch.stack([loss.float() for loss, _, _ in unread]).tolist()
            for value, (_, rows, step) in zip(values, unread, strict=True):
                self._count(value, rows, step)

    def _count(self, value: float, rows: int, step: int) -> None:
        if not math.isfinite(value):
            raise self._watch.diverged(
                value, self.at.epoch, step=step, learning_rate=self.learning_rate
            )
        self._tally.loss += value * rows
        self._tally.rows += rows

    def _mean(self) -> float:
        return self._tally.loss / max(1, self._tally.rows)

    def _done(self) -> float:
        return self.at.epoch - 1 + self.at.batch / max(1, self._parts.train.batches)

    def _measured(self) -> dict[str, float]:
        tally = self._tally
        tally.judge_all(self._parts.judge)
        if not tally.predictions:
            return {}
        return self._parts.measure_train(torch.cat(tally.predictions), torch.cat(tally.targets))

    def _validate(self) -> Figures:
        feed, model = self._parts.validation, self._parts.model
        if feed is None:
            return {}
        model.eval()
        total, rows, outputs, truth = 0.0, 0, [], []
        with torch.no_grad():
            for batch in feed.straight():
                loss, seen = self._parts.steps.measure(batch)
                count = rows_of(batch[0])
                total += loss * count
                rows += count
                outputs += [output for output, _ in seen]
                truth += [targets for _, targets in seen]
                self._stop_if_asked()
        figures = {("validation", "loss"): total / max(1, rows)}
        if outputs:
            measured = self._parts.measure_validation(outputs, truth)
            figures |= {("validation", name): value for name, value in measured.items()}
        return figures

    # -- checkpoints -----------------------------------------------------------------------------

    def _stop_if_asked(self) -> None:
        """In the midst of validating: what is saved has the epoch's steps behind it."""
        if self._watch.job.cancel_requested:
            self._save_if_due(epoch_done=False)

    def _save_if_due(self, *, epoch_done: bool) -> None:
        can = epoch_done or self._parts.train.exact
        if can and self._watch.checkpoint_due(epoch_done=epoch_done, step=self.at.step):
            self._look()
            step = None if epoch_done else self.at.step
            self._watch.checkpoint({"pt": self.state()}, step=step)
        self._watch.job.check()

    def state(self) -> bytes:
        """All that decides what comes next; see the module."""
        parts = self._parts
        self._tally.judge_all(parts.judge)
        content = {
            "model": parts.model.state_dict(),
            "optimizer": parts.optimizer.state_dict(),
            "scheduler": parts.scheduler.state_dict(),
            "steps": parts.steps.state_dict(),
            "position": vars(self.at),
            "tally": self._tally.state(),
            "bestModel": self.best_weights,
            "generators": {"shared": seeds.state(), "torch": generators()},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    def restore(self, data: bytes) -> list[str]:
        """Takes up where ``state`` was taken. Nothing in ``data`` can run code.

        Returns:
            What a caller may not expect of the rest: a schedule that is planned anew.

        Raises:
            Exception: as torch raises it, where the state is not of such a model and optimizer.
        """
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        parts = self._parts
        parts.model.load_state_dict(content["model"])
        parts.optimizer.load_state_dict(content["optimizer"])
        notes: list[str] = parts.scheduler.load_state_dict(content["scheduler"])
        parts.steps.load_state_dict(content["steps"])
        self.at = Position(**content["position"])
        self._tally = Tally(**content["tally"])
        self.best_weights = content["bestModel"]
        seeds.restore(content["generators"]["shared"])
        set_generators(content["generators"]["torch"])
        return notes


def _joined(
    batches: list[tuple[torch.Tensor, torch.Tensor]],
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """All batches as one, where each has an output a row and the rest of their shapes agrees."""
    if len(batches) < 2:
        return batches
    forms = {(outputs.shape[1:], targets.shape[1:]) for outputs, targets in batches}
    whole = all(outputs.ndim and len(outputs) == len(targets) for outputs, targets in batches)
    if len(forms) > 1 or not whole:
        return batches
    outputs, targets = zip(*batches, strict=True)
    return [(torch.cat(outputs), torch.cat(targets))]


def copy_of(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict's own copy in the host's memory."""
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, torch.Tensor) else value
        for name, value in state.items()
    }


def generators() -> dict[str, Any]:
    """The states of torch's own generators: the CPU's, and those of GPUs that are in use."""
    return {
        "cpu": torch.random.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_generators(states: dict[str, Any]) -> None:
    """The inverse of ``generators``."""
    torch.random.set_rng_state(states["cpu"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])
