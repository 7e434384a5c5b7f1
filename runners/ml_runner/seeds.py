"""Seeding of the generators that a process shares."""

from __future__ import annotations

import random
import sys


def seed_all(seed: int) -> None:
    """Seeds ``random`` and, where it is loaded, NumPy's global generator.

    Args:
        seed: 0 to 2**32 - 1.
    """
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)
