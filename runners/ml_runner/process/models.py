"""Loaded models, kept from one light job to the next."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

BUDGET_BYTES = 512 * 1024 * 1024
# A model's directory with more files than this is loaded each time.
_MOST_FILES = 1000

_Fingerprint = tuple[tuple[str, int, int, int], ...]


class ModelCache:
    """Keeps what was used last, as long as the files that it came from are the same.

    Args:
        budget: bytes of model files whose models are kept.
    """

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        self._budget = budget
        self._entries: OrderedDict[tuple[str, str], tuple[_Fingerprint, int, Any]] = OrderedDict()

    def get(self, path: Path, loader: Callable[[], T], *, variant: str = "") -> T:
        """The model of ``path``, from ``loader`` unless the same files were loaded before.

        Args:
            path: a file or directory.
            loader: loads it; what it raises passes through.
            variant: tells apart what is loaded from one path in several ways.
        """
        key = (os.path.realpath(path), variant)
        before = _fingerprint(path)
        kept = self._entries.get(key)
        if kept is not None and kept[0] == before:
            self._entries.move_to_end(key)
            return kept[2]
        self._entries.pop(key, None)
        model = loader()
        # One that was replaced while it was being loaded may be half the old and half the new.
        if before and before == _fingerprint(path):
            self._keep(key, before, model)
        return model

    def _keep(self, key: tuple[str, str], files: _Fingerprint, model: Any) -> None:
        size = sum(entry[1] for entry in files)
        if size > self._budget:
            return
        self._entries[key] = (files, size, model)
        while sum(entry[1] for entry in self._entries.values()) > self._budget:
            self._entries.popitem(last=False)


def enable(budget: int = BUDGET_BYTES) -> None:
    """From now on this process keeps the models that ``cached`` loads."""
    global _cache
    _cache = ModelCache(budget)


def cached(path: Path, loader: Callable[[], T], *, variant: str = "") -> T:
    """``loader()``, or in a resident process what it gave for the same files before.

    The model is shared by all later calls: who gets it must not change it.
    """
    if _cache is None:
        return loader()
    return _cache.get(path, loader, variant=variant)


_cache: ModelCache | None = None


def _fingerprint(path: Path) -> _Fingerprint:
    """Name, size, mtime and inode of every file; empty where that cannot be told."""
    try:
        if not path.is_dir():
            return (_entry("", os.stat(path)),)
        found: list[tuple[str, int, int, int]] = []
        for folder, _, names in os.walk(path):
            for name in names:
                full = os.path.join(folder, name)
                found.append(_entry(full, os.stat(full)))
                if len(found) > _MOST_FILES:
                    return ()
        return tuple(sorted(found))
    except OSError:
        return ()


def _entry(name: str, status: os.stat_result) -> tuple[str, int, int, int]:
    return name, status.st_size, status.st_mtime_ns, status.st_ino
