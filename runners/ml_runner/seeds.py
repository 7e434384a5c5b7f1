"""Seeding of the generators that a process shares."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

_frameworks: list[Callable[[int], object]] = []


def also(seeder: Callable[[int], object]) -> None:
    """From now on ``seed_all`` calls this too: how a framework has its own generators seeded."""
    if seeder not in _frameworks:
        _frameworks.append(seeder)


def seed_all(seed: int) -> None:
    """Seeds ``random``, the frameworks' generators and, where it is loaded, NumPy's global one.

    Args:
        seed: 0 to 2**32 - 1.
    """
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)
    for seeder in _frameworks:
        seeder(seed)
