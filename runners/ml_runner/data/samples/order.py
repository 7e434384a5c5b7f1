"""The order in which a training sees its samples: the same after a resume, whoever reads them.

Nothing here draws from a shared generator, so that a model's own drawing (dropout, initial
weights) neither changes the order nor is changed by it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# A sequence of seeds is filled up with zeros, so that batch 0 would else share the epoch's own.
_OF_A_BATCH = 1


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """(n,) int64: a permutation of the positions, from a generator of its own.

    Equal to ``numpy.random.default_rng([seed, epoch]).permutation(n)``. NumPy promises the same
    bits of its generators for ever, but permutations made of them only within a version: an exact
    resume needs the same NumPy.

    Args:
        n: number of samples.
        seed: of the training, 0 or more.
        epoch: counted from 1, as everywhere.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch]))).permutation(
        n
    )


def batches(
    order: np.ndarray, batch_size: int, start_batch: int = 0, *, drop_last: bool = False
) -> Iterator[np.ndarray]:
    """Yields the positions of each batch, (b,), from batch ``start_batch`` (counted from 0) on.

    Args:
        order: (n,) positions.
        batch_size: samples in a batch; the last one may have fewer.
        start_batch: batches that are behind already.
        drop_last: leave out a last batch that is not full.
    """
    for batch in range(start_batch, batch_count(len(order), batch_size, drop_last=drop_last)):
        yield order[batch * batch_size : (batch + 1) * batch_size]


def batch_count(n: int, batch_size: int, *, drop_last: bool = False) -> int:
    """The number of batches in an epoch."""
    return n // batch_size if drop_last else -(-n // batch_size)


def share(n: int, batch_size: int, rank: int, size: int) -> slice:
    """Which of a batch's ``n`` samples process ``rank`` of ``size`` has; the first ones one more.

    A batch that is smaller than the others goes to fewer processes where some would have a single
    sample, of which no variance can be told: the last ones have none.

    Args:
        n: samples in this batch.
        batch_size: in a whole one.
        rank: of the process.
        size: how many processes there are.
    """
    least = 2 if batch_size >= 2 * size else 1
    sharing = min(size, max(1, n // least))
    if rank >= sharing:
        return slice(n, n)
    each, more = divmod(n, sharing)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def batch_seed(seed: int, epoch: int, batch: int, rank: int = 0) -> int:
    """64 bits for whatever is drawn while one batch is read: augmentation in a data set, say.

    Whichever worker reads the batch, and whether or not the run was resumed before it, the same
    batch is given the same seed. A generator that takes 32 bits gets ``& 0xFFFFFFFF`` of it.

    Args:
        seed: of the training.
        epoch: counted from 1.
        batch: counted from 0 within the epoch.
        rank: of the process, where several read a part of the batch each.
    """
    # Of rank 0 what it is in one process alone.
    words = [seed, epoch, batch, _OF_A_BATCH + rank]
    sequence = np.random.SeedSequence(words)
    return int(sequence.generate_state(1, np.uint64)[0])
