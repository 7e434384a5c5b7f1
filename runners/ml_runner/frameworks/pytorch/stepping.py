"""Steps of a training: gradients of batches, the optimizer's step, and memory that runs out.

Where the memory does not suffice for a batch, what its step had done so far is undone, and it is
made again from smaller parts, whose gradients are accumulated: the step is that of the whole batch.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase  # pyright: ignore[reportPrivateUsage]

from ml_runner.frameworks.pytorch import devices, failures
from ml_runner.frameworks.pytorch.cutting import NotCut, pieces
from ml_runner.frameworks.pytorch.feed import Batch, rows_of
from ml_runner.frameworks.pytorch.precision import Precision

_MOST_HALVINGS = 4
# Steps that tell whether a model draws from Python's or NumPy's generator.
_LOOKS = 4

Losses = Callable[[nn.Module, Any, Any], tuple[torch.Tensor, Any]]
# (what is judged of the outputs, targets) of a batch, or of each of its parts.
Seen = list[tuple[torch.Tensor, Any]]


@dataclass(frozen=True)
class Halving:
    """That a batch was too large for the memory.

    Attributes:
        rows: that are worked on at once from then on.
        where: it was found, in words.
        cause: the first words of what was raised.
        batch_norms: layers that take statistics over those rows.
    """

    rows: int
    where: str
    cause: str
    batch_norms: int

    def words(self, batch_size: int) -> str:
        """What was done, for whoever asked for ``batch_size`` rows a batch."""
        norms = (
            f"; BatchNorm ({self.batch_norms} of the model's layers) takes its statistics over"
            f" {self.rows} rows instead of {batch_size}, so the result is not that of whole batches"
            if self.batch_norms
            else ""
        )
        return (
            f"Out of memory at {self.where} ({self.cause}): each batch of {batch_size} rows is"
            f" worked on in parts of {self.rows}, whose gradients are accumulated, so that the"
            f" effective batch size stays{norms}"
        )


class Steps:
    """Makes the steps of a training.

    Args:
        model: on its device.
        optimizer: of its parameters.
        losses: (model, inputs, targets) → (mean loss of the rows, outputs or None).
        scores: outputs → the tensor in them that is judged, without its gradient; None where
            nothing but the loss can be measured.
        precision: in which gradients are made.
        batch_size: rows of a batch.
        clip: largest norm of a step's gradients; None: unbounded.
        tell: gets each halving.

    Attributes:
        rows: that are worked on at once; None: a whole batch.
        halvings: how often a batch was too large.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        losses: Losses,
        scores: Callable[[Any], torch.Tensor] | None,
        precision: Precision,
        *,
        batch_size: int,
        clip: float | None = None,
        tell: Callable[[Halving], None],
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._learned = [one for group in optimizer.param_groups for one in group["params"]]
        self._losses = losses
        self._scores = scores
        self._precision = precision
        self._batch_size = batch_size
        self._clip = clip
        self._tell = tell
        self._device = next(model.parameters()).device
        self._batch_norms = sum(isinstance(part, _BatchNorm) for part in model.modules())
        # It cannot learn from a single row.
        self._needs_two = self._batch_norms > 0
        self._before = _Before(model, self._device)
        self.rows: int | None = None
        self.halvings = 0

    def begin(self) -> None:
        """The first batch of a step is about to be learned: where to go back to, should it fail."""
        self._before.take()

    def learn(self, batch: Batch, of: int) -> tuple[torch.Tensor, Seen]:
        """Adds the gradients of a batch to those of its step.

        Args:
            batch: (inputs, targets).
            of: batches in the step, whose losses' mean is the step's.

        Returns:
            The mean loss of the batch, (), and what was seen of it.

        Raises:
            Exception: as the model or the library raises it; see ``halve`` and ``undo``.
        """
        if self.rows is None:
            loss, outputs = self._losses(self._model, *batch)
            self._precision.backward(loss if of == 1 else loss / of)
            return loss.detach(), self._seen(outputs, batch[1])
        rows, total, seen = rows_of(batch[0]), torch.zeros((), device=self._device), Seen()
        for inputs, targets in pieces(batch, self.rows, join_single=self._needs_two):
            loss, outputs = self._losses(self._model, inputs, targets)
            share = rows_of(inputs) / rows
            self._precision.backward(loss * (share / of))
            total += loss.detach() * share
            seen += self._seen(outputs, targets)
        return total, seen

    def _seen(self, outputs: Any, targets: Any) -> Seen:
        if outputs is None or self._scores is None:
            return []
        return [(self._scores(outputs), targets)]

    def finish(self) -> bool:
        """Makes the optimizer's step; whether it was made (see ``Precision.step``)."""
        made = self._precision.step(self._optimizer, self._model.parameters(), self._clip)
        self.forget_gradients()
        return made

    def forget_gradients(self) -> None:
        """What ``zero_grad`` does, without its entry in a profile: that takes 15 µs a step."""
        for parameter in self._learned:
            parameter.grad = None

    def measure(self, batch: Batch) -> tuple[float, Seen]:
        """The mean loss of a batch from which nothing is learned, and what was seen of it.

        Raises:
            Exception: as the model or the library raises it, and halving does not help.
        """
        while True:
            try:
                return self._measured(batch)
            except Exception as error:
                self.halve(error, batch, "validation")
            self._free()

    def _measured(self, batch: Batch) -> tuple[float, Seen]:
        rows, total, seen = rows_of(batch[0]), 0.0, Seen()
        for inputs, targets in pieces(batch, self.rows):
            loss, outputs = self._losses(self._model, inputs, targets)
            total += loss.item() * rows_of(inputs)
            seen += self._seen(outputs, targets)
        return total / rows, seen

    # -- memory ----------------------------------------------------------------------------------

    def halve(self, error: Exception, batch: Batch, where: str) -> None:
        """Works on half as many rows at once from now on.

        Args:
            error: what was raised.
            batch: the one that was too large.
            where: it is, in words.

        Raises:
            Exception: ``error`` itself, where it is another, or halving does not help any more.
        """
        if not isinstance(error, MemoryError) and not failures.is_out_of_memory(error):
            raise error
        rows, halvings = self.rows or self._batch_size, self.halvings
        least = 2 if self._needs_two and self._model.training else 1
        # A smaller last batch may be below the half already.
        there = rows_of(batch[0])
        while halvings == self.halvings or rows >= there:
            if halvings >= _MOST_HALVINGS or rows <= least:
                failures.stuck(
                    f"it was halved {halvings} times"
                    if halvings >= _MOST_HALVINGS
                    else "BatchNorm cannot learn from a single row"
                    if rows > 1
                    else "it is a single row"
                )
                raise error
            rows, halvings = -(-rows // 2), halvings + 1
        try:
            pieces(batch, rows)
        except NotCut as form:
            failures.stuck(f"a batch that holds {form} cannot be cut into parts")
            raise error from None
        self.rows, self.halvings = rows, halvings
        failures.resized(rows)
        cause = " ".join(str(error).split())[:100]
        self._tell(Halving(rows, where, cause or type(error).__name__, self._batch_norms))

    def undo(self) -> None:
        """Puts back what was there at ``begin``: no gradients, statistics, generators."""
        self.forget_gradients()
        self._before.put_back()
        self._free()

    def _free(self) -> None:
        gc.collect()
        devices.give_back(self._device)

    def facts(self, accumulate: int) -> dict[str, Any]:
        """For the report's metadata: how many rows at once, and how many in a step.

        Args:
            accumulate: batches whose gradients make one step.
        """
        facts: dict[str, Any] = {}
        if self.rows is not None:
            facts |= {
                "batchSize": self.rows,
                "requestedBatchSize": self._batch_size,
                "gradientAccumulation": accumulate * -(-self._batch_size // self.rows),
                "batchSizeHalvings": self.halvings,
            }
        if self.rows is not None or accumulate > 1:
            facts["effectiveBatchSize"] = accumulate * self._batch_size
        return facts

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: plain values."""
        return {
            "rows": self.rows,
            "halvings": self.halvings,
            "precision": self._precision.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state. Raises as ``Precision.load_state_dict``."""
        self._precision.load_state_dict(state["precision"])
        self.rows, self.halvings = state["rows"], state["halvings"]
        if self.rows is not None:
            failures.resized(self.rows)
            self._free()


class _Before:
    """What a step changes before its end: the generators, and the model's running statistics.

    Args:
        model: whose buffers are kept.
        device: where it is.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._model = model
        self._cuda = device if device.type == "cuda" else None
        # The library updates these without a trace in their version.
        self._statistics = [
            tensor
            for part in model.modules()
            if isinstance(part, _NormBase)
            for tensor in part.buffers(recurse=False)
        ]
        self._kept = [tensor.clone() for tensor in self._statistics]
        of_norms = {id(tensor) for tensor in self._statistics}
        self._others = [
            [part, name, tensor, -1, tensor]
            for part in model.modules()
            for name, tensor in part.named_buffers(recurse=False)
            if id(tensor) not in of_norms
        ]
        self._generators: tuple[Any, ...] = ()
        # Those of Python and NumPy, to note which takes 35 µs: only where a model draws from them,
        # as its first steps tell.
        self._shared: tuple[Any, Any] | None = None
        self._draws, self._looks = False, 0

    def take(self) -> None:
        """Notes what is there now; cheap enough for every step."""
        if self._statistics:
            _copy_all(self._kept, self._statistics)
        for entry in self._others:
            part, name, tensor, version, _ = entry
            now = getattr(part, name)
            if now is not None and (now is not tensor or now._version != version):
                entry[2:] = [now, now._version, now.detach().clone()]
        self._generators = (
            torch.random.get_rng_state(),
            None if self._cuda is None else torch.cuda.get_rng_state(self._cuda),
        )
        if self._draws or self._looks < _LOOKS:
            before, self._shared = self._shared, (random.getstate(), np.random.get_state())
            self._draws = self._draws or (before is not None and _differ(before, self._shared))
            self._looks += 1
        elif not self._draws:
            self._shared = None

    def put_back(self) -> None:
        """Makes it what it was at ``take``."""
        with torch.no_grad():
            if self._statistics:
                _copy_all(self._statistics, self._kept)
            for entry in self._others:
                part, name, tensor, version, kept = entry
                if tensor._version != version:
                    tensor.copy_(kept)
                    entry[3] = tensor._version
                if getattr(part, name) is not tensor:
                    setattr(part, name, tensor)
        of_torch, of_cuda = self._generators
        torch.random.set_rng_state(of_torch)
        if self._shared is not None:
            random.setstate(self._shared[0])
            np.random.set_state(self._shared[1])
        if of_cuda is not None and self._cuda is not None:
            torch.cuda.set_rng_state(of_cuda, self._cuda)


def _differ(before: tuple[Any, Any], now: tuple[Any, Any]) -> bool:
    (python, numpy), (python_now, numpy_now) = before, now
    same = all(np.array_equal(one, other) for one, other in zip(numpy, numpy_now, strict=True))
    return python != python_now or not same


def _copy_all(into: list[torch.Tensor], of: list[torch.Tensor]) -> None:
    """In one call, since there may be hundreds of them."""
    torch._foreach_copy_(into, of)  # pyright: ignore[reportPrivateImportUsage]
