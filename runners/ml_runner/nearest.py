"""The name that was most likely meant; the twin of ``src/contract/nearest.ts``."""

from __future__ import annotations

import re
from collections.abc import Iterable


def nearest(sent: str, known: Iterable[str]) -> str | None:
    """The name among ``known`` that was most likely meant by ``sent``, or None where none is near.

    Case and punctuation do not count (``batch_size`` means ``batchSize``); beyond that, at most a
    third of the letters may differ.
    """
    start = _plain(sent)
    best: str | None = None
    best_distance = max(1, len(start) // 3) + 1
    for name in known:
        distance = _edit_distance(start, _plain(name))
        if distance < best_distance:
            best, best_distance = name, distance
    return best


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _edit_distance(a: str, b: str) -> int:
    """Letters to add, drop, change or swap with their neighbour (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        following = [i]
        for j, other in enumerate(b, 1):
            change = row[j - 1] + (letter != other)
            least = min(change, row[j] + 1, following[j - 1] + 1)
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                least = min(least, before[j - 2] + 1)
            following.append(least)
        before, row = row, following
    return row[-1]
