"""Batches cut into smaller ones, and an epoch that can be read again from a batch on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ml_runner.frameworks.pytorch.feed import Batch, Feed, rows_of


class NotCut(Exception):
    """A batch whose form does not tell where its rows are."""


def pieces(batch: Batch, most: int | None, *, join_single: bool = False) -> list[Batch]:
    """A batch as one or several smaller ones, in its order.

    Args:
        batch: (inputs, targets): tensors of n rows, or mappings, lists and tuples of such.
        most: rows in a piece; None: the batch as it is.
        join_single: a last row that would be left alone goes with the piece before it.

    Raises:
        NotCut: the batch holds something else.
    """
    rows = rows_of(batch[0]) if most is not None else 0
    if most is None or rows <= most:
        return [batch]
    starts = list(range(0, rows, most))
    if join_single and rows - starts[-1] == 1:
        starts.pop()
    return [
        (_part(batch[0], start, stop, rows), _part(batch[1], start, stop, rows))
        for start, stop in itertools.pairwise([*starts, rows])
    ]


def _part(value: Any, start: int, stop: int, rows: int) -> Any:
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        if value.ndim == 0 or len(value) != rows:
            raise NotCut(f"a tensor of {tuple(value.shape)}")
        return value[start:stop]
    if isinstance(value, Mapping):
        parts = {key: _part(inner, start, stop, rows) for key, inner in value.items()}
        make: Any = type(value)
        return parts if make is dict else make(parts)
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(one, (torch.Tensor, Mapping, list, tuple)) for one in value):
            parts = [_part(inner, start, stop, rows) for inner in value]
        elif len(value) == rows:
            parts = list(value[start:stop])
        else:
            raise NotCut(f"a {type(value).__name__} of {len(value)}")
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    raise NotCut(f"a {type(value).__name__}")


class Rereadable:
    """The batches of an epoch, in order; those since the last ``mark`` can be read again.

    Args:
        feed: whose they are.
        epoch: from 1.
        start: batches that are behind.
    """

    def __init__(self, feed: Feed, epoch: int, start: int) -> None:
        self._feed = feed
        self._epoch = epoch
        self._next = start
        self._batches: Iterator[Batch] = iter(feed.epoch(epoch, start))
        self.mark()

    def mark(self) -> None:
        """From here on batches may be asked for again."""
        self._marked = self._next
        # A feed that can begin at any batch reads them anew, which takes no memory.
        self._held: list[Batch] = []

    def back(self) -> int:
        """Goes back to the mark; how many batches of the epoch are behind there."""
        if self._feed.exact:
            self._batches = iter(self._feed.epoch(self._epoch, self._marked))
        else:
            self._batches = itertools.chain(self._held, self._batches)
            self._held = []
        self._next = self._marked
        return self._marked

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = next(self._batches)
        self._next += 1
        if not self._feed.exact:
            self._held.append(batch)
        return batch
