"""Which feed the batches of a training come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ml_runner.frameworks.pytorch.augmenting import AugmentedBatches, Augmenting
from ml_runner.frameworks.pytorch.feed import (
    Batch,
    Feed,
    LoaderFeed,
    Order,
    StreamFeed,
    TensorFeed,
    as_pair,
)
from ml_runner.frameworks.pytorch.own_data import OwnPart
from ml_runner.frameworks.pytorch.reading import Batches, array_tensor, as_tensors
from ml_runner.process.ranks import threads_of
from ml_runner.training.epochs.sources import Part

if TYPE_CHECKING:
    from ml_runner.job import Job

# Data that lie in memory are turned into tensors at once, up to so many bytes.
_AT_ONCE = 2 << 30


class Feeding:
    """Makes the feeds of a job.

    Args:
        job: the call's.
        device: where batches go.
        batch_size: rows of a batch, over all processes.
        seed: of what is random inside the data sets.
    """

    def __init__(self, job: Job, device: torch.device, batch_size: int, seed: int) -> None:
        self._job = job
        self._device = device
        self._batch_size = batch_size
        self._seed = seed

    def order(self, rows: int, seed: int | None, *, shared: bool = True) -> Order:
        """The order of a data set's samples; ``shared`` among the processes, where there are some.

        Args:
            rows: samples.
            seed: of the shuffling; None: none.
            shared: this process gets its share of each batch.
        """
        rank, size = (self._job.rank, self._job.ranks) if shared else (0, 1)
        return Order(rows, self._batch_size, seed, rank=rank, size=size)

    def of(self, part: Part, seed: int | None, augmenting: Augmenting | None) -> Feed:
        """Samples that were read for the call.

        Args:
            part: with their targets.
            seed: of the shuffling; None: none.
            augmenting: what is done to them at random; None: nothing.
        """
        job = self._job
        how = self.order(len(part), seed)
        values = part.encoded.values
        size = 4 * len(part) * int(np.prod(part.samples.inputs_shape))
        if part.samples.in_memory and size <= _AT_ONCE:
            inputs = array_tensor(part.samples.batch(np.arange(len(part))))
            return TensorFeed(inputs, torch.from_numpy(values), how, self._device)
        wanted = job.config.get("numWorkers")
        # A worker for each thread that the job may use: decoding is what takes the time.
        threads = threads_of(job.threads, job.ranks)
        workers = (0 if part.samples.in_memory else threads) if wanted is None else wanted
        return LoaderFeed(
            AugmentedBatches(part.samples, values, augmenting)
            if augmenting
            else Batches(part.samples, values),
            how,
            self._device,
            workers=min(workers, how.batches),
            seed=self._seed,
            collate=as_tensors,
        )

    def own(self, part: OwnPart, seed: int | None, *, as_it_is: bool, shared: bool) -> Feed:
        """A data set of the script's own.

        Args:
            part: the data set.
            seed: of the shuffling; None: none.
            as_it_is: a batch is given as the data set gives it.
            shared: as for ``order``.
        """
        pair = _whole if as_it_is else None
        workers = int(self._job.config.get("numWorkers") or 0)
        if part.is_stream:
            rank, size = (self._job.rank, self._job.ranks) if shared else (0, 1)
            return StreamFeed(
                part.dataset,
                part.rows,
                self._batch_size,
                self._device,
                workers=workers,
                seed=self._seed,
                collate=part.collate,
                pair=pair,
                rank=rank,
                size=size,
            )
        how = self.order(len(part.dataset), seed, shared=shared)
        held = part.tensors
        if held is not None and pair is None and not workers:
            return TensorFeed(*held, how, self._device)
        return LoaderFeed(
            part.dataset,
            how,
            self._device,
            workers=min(workers, how.batches),
            seed=self._seed,
            collate=part.collate,
            pair=pair,
        )


def _whole(batch: Any) -> Batch:
    """(the batch as it is, its targets where they can be told)."""
    return batch, as_pair(batch)[1]
