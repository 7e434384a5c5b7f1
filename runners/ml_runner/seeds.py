"""Seeding of the generators that a process shares."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

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


def state() -> dict[str, Any]:
    """Where those generators stand, as plain JSON values, for ``restore``."""
    version, numbers, gauss = random.getstate()
    found: dict[str, Any] = {"random": [version, list(numbers), gauss]}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        name, keys, *rest = numpy.random.get_state()
        found["numpy"] = [name, keys.tolist(), *rest]
    return found


def restore(state: Mapping[str, Any]) -> None:
    """Puts the generators where ``state`` found them."""
    version, numbers, gauss = state["random"]
    random.setstate((version, tuple(numbers), gauss))
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy" in state:
        name, keys, *rest = state["numpy"]
        numpy.random.set_state((name, numpy.asarray(keys, dtype=numpy.uint32), *rest))
