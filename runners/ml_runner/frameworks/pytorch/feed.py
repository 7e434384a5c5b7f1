"""Batches on a device, in an order that can be taken up at any batch.

A data set that lies in memory is sliced. Any other goes through a ``DataLoader`` whose batch
sampler is told where to begin; what is random inside the data set (augmentation) is seeded for each
batch, so that it is the same whichever worker reads it, and after a resume.

Where several processes train together, each reads its share of every batch; one that has none of it
gets ``NOTHING``.
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
# In place of a batch, or of its items, of which this process has none.
NOTHING: Batch = (None, None)


class Feed(Protocol):
    """The batches of one data set.

    Attributes:
        rows: samples in an epoch, those of all processes.
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

    def share_of(self, batch: int) -> float:
        """Which part of a batch (from 0) of the epoch that is read this process has: 0 … 1."""
        ...


class Order:
    """In which order the samples come.

    Args:
        rows: samples.
        batch_size: in a batch; the last one may be smaller.
        seed: of the shuffling; None: the order of the data set.
        rank: of this process, which gets its share of each batch.
        size: how many processes there are.
    """

    def __init__(
        self, rows: int, batch_size: int, seed: int | None, *, rank: int = 0, size: int = 1
    ) -> None:
        self.rank = rank
        self.size = size
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.batches = -(-rows // batch_size)

    def batches_of(self, epoch: int, start: int = 0) -> Iterator[np.ndarray]:
        """Positions of (this process's share of) each batch, from batch ``start`` on."""
        if self.seed is None:
            return self.straight(start)
        return self._shares(order.epoch_order(self.rows, self.seed, epoch), start)

    def share_of(self, batch: int) -> float:
        """Which part of a batch this process has."""
        rows = min(self.batch_size, self.rows - batch * self.batch_size)
        mine = order.share(rows, self.batch_size, self.rank, self.size)
        return (mine.stop - mine.start) / rows

    def straight(self, start: int = 0) -> Iterator[np.ndarray]:
        """Likewise in the order of the data set."""
        return self._shares(np.arange(self.rows), start)

    def _shares(self, positions: np.ndarray, start: int) -> Iterator[np.ndarray]:
        for batch in order.batches(positions, self.batch_size, start):
            yield batch[order.share(len(batch), self.batch_size, self.rank, self.size)]


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
            if not len(positions):
                yield NOTHING
                continue
            chosen = torch.from_numpy(positions)
            targets = None if self._targets is None else self._targets.index_select(0, chosen)
            yield self._moved(self._inputs.index_select(0, chosen), targets)

    def straight(self) -> Iterator[Batch]:
        """See ``Feed``."""
        for positions in self._order.straight():
            if not len(positions):
                yield NOTHING
                continue
            part = slice(positions[0], positions[-1] + 1)
            targets = None if self._targets is None else self._targets[part]
            yield self._moved(self._inputs[part], targets)

    def share_of(self, batch: int) -> float:
        """See ``Feed``."""
        return self._order.share_of(batch)

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
        return self._read(self._order.straight(), 0, 0)

    def share_of(self, batch: int) -> float:
        """See ``Feed``."""
        return self._order.share_of(batch)

    def _read(self, positions: Iterator[np.ndarray], epoch: int, start: int) -> Iterator[Batch]:
        rank, shares = self._order.rank, list(positions)
        self._sampler.plan = [
            [Seed(order.batch_seed(self._seed, epoch, start + number, rank)), *share.tolist()]
            for number, share in enumerate(shares)
            if len(share)
        ]
        for batch in self._loader:
            if isinstance(batch, Refused):
                raise batch.error
            yield to_device(self._pair(batch), self._device)
        # Only the last batch may have fewer rows than there are processes.
        yield from (NOTHING for share in shares if not len(share))


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
        rank: of this process, which reads all and keeps its share of each batch.
        size: how many processes there are.
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
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self._dataset = dataset
        self._device = device
        self._seed = seed
        self._pair = pair or as_pair
        self._generator = torch.Generator()
        # Of each batch of an epoch that has been read.
        self._had: list[float] = []
        pinned, generator = device.type == "cuda", self._generator
        self._loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_size,
            num_workers=workers,
            collate_fn=Share(collate or default_collate, batch_size, rank, size),
            pin_memory=pinned,
            generator=generator,
        )
        if rows is None:
            counting = DataLoader(
                dataset, batch_size, num_workers=workers, collate_fn=len, generator=generator
            )
            self.rows, self.batches = self._count(counting)
        else:
            self.rows, self.batches = rows, -(-rows // batch_size)

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
        self._had = []
        for share, batch in itertools.islice(self._loader, self.batches):
            self._had.append(float(share))
            held = NOTHING if batch is None else self._pair(batch)
            yield to_device(held, self._device)
        done = len(self._had)
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

    def share_of(self, batch: int) -> float:
        """See ``Feed``; of a batch that has been read."""
        return self._had[batch]

    def _count(self, sizes: DataLoader[int]) -> tuple[int, int]:
        """(items, batches) of one pass, without a trace in the shared generators."""
        self._generator.manual_seed(self._seed)
        with seeded(self._seed):
            found = list(sizes)
        return sum(found), len(found)


def rows_of(inputs: Any) -> int:
    """Samples in a batch: the length of the first tensor in it; 0 of ``NOTHING``."""
    if isinstance(inputs, torch.Tensor):
        return inputs.shape[0]  # len() takes five times as long
    if inputs is None:
        return 0
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


@dataclass(frozen=True)
class Share:
    """Makes a batch of this process's share of the items."""

    collate: Callable[[Any], Any]
    batch_size: int
    rank: int
    size: int

    def __call__(self, items: list[Any]) -> tuple[float, Any]:
        """Which part of the items it is, and the batch; None where it is empty."""
        mine = items[order.share(len(items), self.batch_size, self.rank, self.size)]
        return len(mine) / len(items), self.collate(mine) if mine else None


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
