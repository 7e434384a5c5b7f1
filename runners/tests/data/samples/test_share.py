"""Which rows of a batch each of several processes has."""

from __future__ import annotations

import numpy as np
import pytest

from ml_runner.data.samples import order


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 8, 16, 33])
def test_every_row_is_one_process_own_and_none_has_a_single_one(batch_size: int, size: int) -> None:
    if batch_size < size:
        return  # refused before
    for n in range(1, batch_size + 1):
        rows = np.arange(n)
        shares = [rows[order.share(n, batch_size, rank, size)] for rank in range(size)]
        assert np.concatenate(shares).tolist() == rows.tolist()
        counts = [len(share) for share in shares]
        assert counts == sorted(counts, reverse=True)
        held = [count for count in counts if count]
        assert max(held) - min(held) <= 1
        if n > 1 and batch_size >= 2 * size:
            assert min(held) > 1
        if n == batch_size:
            assert len(held) == size


def test_what_is_drawn_for_a_batch_differs_by_process_and_is_the_first_ones_own_alone() -> None:
    seeds = {order.batch_seed(0, 1, 2, rank) for rank in range(4)}
    assert len(seeds) == 4
    assert order.batch_seed(0, 1, 2, 0) == order.batch_seed(0, 1, 2)
