"""Batches on a device, in an order that can be taken up at any batch.

A data set that lies in memory is sliced. Any other goes through a ``DataLoader`` whose batch
sampler is told where to begin; what is random inside the data set (augmentation) is seeded for each
batch, so that it is the same whichever worker reads it, and after a resume.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from ml_runner import errors
from ml_runner.data.samples import order

Batch = tuple[Any, Any]


class Feed(Protocol):
    """The batches of one data set.

    Attributes:
        rows: samples in an epoch.
        batches: batches in an epoch.
        exact: an epoch can be taken up at any of its batches.
    """

    rows: int
    batches: int
    exact: bool

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """(inputs, targets) of each batch of epoch ``number`` (from 1), shuffled for it."""
        ...

    def straight(self) -> Iterator[Batch]:
        """(inputs, targets) of each batch, in the order of the data set."""
        ...


class Order:
    """In which order the samples come.

    Args:
        rows: samples.
        batch_size: in a batch; the last one may be smaller.
        seed: of the shuffling; None: the order of the data set.
    """

    def __init__(self, rows: int, batch_size: int, seed: int | None) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.batches = -(-rows // batch_size)

    def batches_of(self, epoch: int, start: int = 0) -> Iterator[np.ndarray]:
        """Positions of each batch, from batch ``start`` on."""
        if self.seed is None:
            permutation = np.arange(self.rows)
        else:
            permutation = order.epoch_order(self.rows, self.seed, epoch)
        return order.batches(permutation, self.batch_size, start)


class TensorFeed:
    """Samples that lie in memory.

    Args:
        inputs: (n, …).
        targets: (n, …), or None.
        how: the order of training.
        device: where batches go.
    """

    exact = True

    def __init__(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor | None,
        how: Order,
        device: torch.device,
    ) -> None:
        self._inputs = inputs
        self._targets = targets
        self._order = how
        self._device = device
        self.rows = how.rows
        self.batches = how.batches

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """See ``Feed``."""
        for positions in self._order.batches_of(number, start):
            chosen = torch.from_numpy(positions)
            targets = None if self._targets is None else self._targets.index_select(0, chosen)
            yield self._moved(self._inputs.index_select(0, chosen), targets)

    def straight(self) -> Iterator[Batch]:
        """See ``Feed``."""
        size = self._order.batch_size
        for start in range(0, self.rows, size):
            part = slice(start, start + size)
            targets = None if self._targets is None else self._targets[part]
            yield self._moved(self._inputs[part], targets)

    def _moved(self, inputs: torch.Tensor, targets: torch.Tensor | None) -> Batch:
        if self._device.type == "cpu":
            return inputs, targets
        return to_device((inputs, targets), self._device)


class LoaderFeed:
    """Any map-style data set whose items are (input, target).

    Args:
        dataset: with ``__len__`` and ``__getitem__`` (or ``__getitems__``).
        how: the order of training.
        device: where batches go.
        workers: processes that read ahead; 0: none.
        collate: makes a batch of a list of items; None: torch's own way.
        seed: of what is random inside the data set.
        pair: makes (inputs, targets) of a batch.
    """

    exact = True

    def __init__(
        self,
        dataset: Any,
        how: Order,
        device: torch.device,
        *,
        workers: int,
        seed: int,
        collate: Callable[[Any], Any] | None = None,
        pair: Callable[[Any], Batch] | None = None,
    ) -> None:
        self._pair = pair or as_pair
        self._order = how
        self._device = device
        self._seed = seed
        self.rows = how.rows
        self.batches = how.batches
        self._sampler = _Marked()
        self._loader: DataLoader[Any] = DataLoader(
            SeededDataset(dataset),
            batch_sampler=self._sampler,
            num_workers=workers,
            collate_fn=Collate(collate or default_collate),
            pin_memory=device.type == "cuda",
            # Its own: what an iterator draws at its start must not move the shared generator.
            generator=torch.Generator(),
        )

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """See ``Feed``."""
        positions = self._order.batches_of(number, start)
        return self._read(positions, number, start)

    def straight(self) -> Iterator[Batch]:
        """See ``Feed``."""
        return self._read(order.batches(np.arange(self.rows), self._order.batch_size), 0, 0)

    def _read(self, positions: Iterator[np.ndarray], epoch: int, start: int) -> Iterator[Batch]:
        self._sampler.plan = [
            [Seed(order.batch_seed(self._seed, epoch, start + number)), *batch.tolist()]
            for number, batch in enumerate(positions)
        ]
        for batch in self._loader:
            if isinstance(batch, Refused):
                raise batch.error
            yield to_device(self._pair(batch), self._device)


class StreamFeed:
    """An ``IterableDataset``: it has no positions, and an epoch can only be begun anew.

    Args:
        dataset: yields items; ``set_epoch(n)`` is called before each epoch where it has one.
        rows: items in an epoch; None: they are counted, by reading all of them once.
        batch_size: in a batch; the last one may be smaller.
        device: where batches go.
        workers: processes that read ahead; 0: none. Each iterates the data set, which must divide
            itself among them (``get_worker_info``), as torch has it.
        seed: of what is random inside the data set.
        collate: as for ``LoaderFeed``.
        pair: likewise.
    """

    exact = False

    def __init__(
        self,
        dataset: Any,
        rows: int | None,
        batch_size: int,
        device: torch.device,
        *,
        workers: int,
        seed: int,
        collate: Callable[[Any], Any] | None = None,
        pair: Callable[[Any], Batch] | None = None,
    ) -> None:
        self._dataset = dataset
        self._device = device
        self._seed = seed
        self._pair = pair or as_pair
        self._generator = torch.Generator()
        self._loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_size,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=device.type == "cuda",
            generator=self._generator,
        )
        if rows is not None:
            self.rows, self.batches = rows, -(-rows // batch_size)
        else:
            self.rows, self.batches = self._count()

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """See ``Feed``; ``start`` is 0.

        Raises:
            DataLoadingError: fewer batches than an epoch has.
        """
        begin = getattr(self._dataset, "set_epoch", None)
        if callable(begin):
            begin(number)
        seed = order.batch_seed(self._seed, number, 0) & 0x7FFFFFFFFFFFFFFF
        # The workers' seeds are drawn from it.
        self._generator.manual_seed(seed)
        done = 0
        for batch in itertools.islice(self._loader, self.batches):
            done += 1
            yield to_device(self._pair(batch), self._device)
        if done < self.batches:
            raise errors.DataLoadingError(
                f"The script's IterableDataset gave {done} batches in epoch {number}, where an"
                f" epoch has {self.batches}",
                solution="Let it give the same number of items each time, and let __len__ be that.",
                metadata={"epoch": number, "batches": done, "expected": self.batches},
            )

    def straight(self) -> Iterator[Batch]:
        """See ``Feed``."""
        return self.epoch(0)

    def _count(self) -> tuple[int, int]:
        """(items, batches) of one pass, without a trace in the shared generators."""
        rows = batches = 0
        self._generator.manual_seed(self._seed)
        with seeded(self._seed):
            for batch in self._loader:
                rows += rows_of(batch)
                batches += 1
        return rows, batches


def rows_of(inputs: Any) -> int:
    """Samples in a batch: the length of the first tensor in it."""
    if isinstance(inputs, torch.Tensor):
        return inputs.shape[0]  # len() takes five times as long
    if isinstance(inputs, Mapping):
        return rows_of(next(iter(inputs.values())))
    if isinstance(inputs, (list, tuple)):
        return rows_of(inputs[0])
    return len(inputs)


class Seed(int):
    """The first entry of a batch's list of positions: by what its reading is seeded."""


class _Marked:
    """A batch sampler that yields what it was told to."""

    def __init__(self) -> None:
        self.plan: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.plan)

    def __len__(self) -> int:
        return len(self.plan)


@dataclass(frozen=True)
class Refused:
    """In place of a batch: an error, which would lose its type and facts if a worker raised it."""

    error: errors.ExecutorError


@dataclass(frozen=True)
class Collate:
    """Makes a batch of items; ``Refused`` passes through."""

    collate: Callable[[Any], Any]

    def __call__(self, items: Any) -> Any:
        """The batch."""
        return items if isinstance(items, Refused) else self.collate(items)


class SeededDataset(Dataset[Any]):
    """A data set each of whose batches is read under a seed of its own.

    Args:
        dataset: the caller's.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitems__(self, marked: Sequence[int]) -> Any:
        """The items of a batch: its seed, then positions. ``Refused`` where they cannot be read."""
        seed, positions = int(marked[0]), list(marked[1:])
        try:
            with seeded(seed):
                several = getattr(self.dataset, "__getitems__", None)
                if several is not None:
                    return several(positions)
                return [self.dataset[position] for position in positions]
        except errors.ExecutorError as error:
            return Refused(error)

    def __getitem__(self, position: int) -> Any:
        return self.dataset[position]

    def __len__(self) -> int:
        return len(self.dataset)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it the shared generators of Python, NumPy and torch start from ``seed``."""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    # Not torch.manual_seed: that would seed the GPUs' generators, and could not be undone here.
    torch.default_generator.manual_seed(seed & 0x7FFFFFFFFFFFFFFF)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])


def as_pair(batch: Any) -> Batch:
    """(inputs, targets) of whatever a data set gives: a pair, a mapping, or inputs alone."""
    if isinstance(batch, (list, tuple)) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, dict):
        for name in ("labels", "label", "targets", "target", "y"):
            if name in batch:
                inputs = {key: value for key, value in batch.items() if key != name}
                return (next(iter(inputs.values())) if len(inputs) == 1 else inputs), batch[name]
    return batch, None


def to_device(value: Any, device: torch.device) -> Any:
    """Tensors, in whatever they are nested, on ``device``."""
    if isinstance(value, torch.Tensor):
        return value if value.device == device else value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: to_device(inner, device) for key, inner in value.items()}
    if callable(getattr(value, "to", None)):
        return value.to(device)  # a batch of a class of its own
    if isinstance(value, (list, tuple)):
        moved = [to_device(inner, device) for inner in value]
        return type(value)(*moved) if hasattr(value, "_fields") else type(value)(moved)
    return value
