"""What every source of samples for a neural network looks like."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Positions = Sequence[int] | np.ndarray
# One array, or one for each input of a network by its name.
Inputs = np.ndarray | dict[str, np.ndarray]
Warn = Callable[[str], None]
# (key, value): notes a default that was used, as ``Job.default`` does.
NoteDefault = Callable[[str, Any], None]
Roots = Sequence[str | Path] | None


class Samples(Protocol):
    """n samples for a network: inputs by position, and what is to be learned of them.

    Can be pickled, for the workers of a data loader, and is cheap to make: what is slow (decoding)
    happens when a batch is read.

    Attributes:
        kind: ``"table"``, ``"images"``, ``"arrays"`` or ``"text"``.
        inputs_shape: of one sample: (features,), (channels, height, width), any; the largest that
            a text may have.
        targets: (n,) labels or numbers as they were given, (n, k) numbers, or None.
        in_memory: a batch is a slice of an array: workers would only cost.
        names: (n,) what a person finds a sample again by, or None.
        source: absolute path of what was read.
        spec: plain JSON: all that is needed to read further data in the same way; see
            ``reading.read_like``.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def inputs_shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def targets(self) -> np.ndarray | None: ...  # noqa: D102
    @property
    def in_memory(self) -> bool: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str] | None: ...  # noqa: D102
    @property
    def source(self) -> Path: ...  # noqa: D102
    @property
    def spec(self) -> dict[str, Any]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def read(self, position: int) -> Inputs:
        """One sample, (*inputs_shape); float32, or int64 where the data are whole numbers.

        Raises:
            DataLoadingError: the sample cannot be read; names the file.
        """
        ...

    def batch(self, positions: Positions) -> Inputs:
        """(b, *inputs_shape), C-contiguous, of the type of ``read``. Raises as it does."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a report says of the form of a sample."""
        ...

    def take(self, positions: Positions) -> Samples:
        """Those samples alone, in that order."""
        ...

    def fingerprint(self) -> str:
        """Changes when the data do."""
        ...


@dataclass
class Parts:
    """What a path holds: samples to train on, and those that lie beside them for later.

    Attributes:
        train: all of it, where the data are in one part.
        validation: of a folder ``val`` (``valid``, ``validation``) or arrays so named, or None.
        test: the same of ``test``.
    """

    train: Samples
    validation: Samples | None = None
    test: Samples | None = None

    def named(self) -> Mapping[str, Samples]:
        """The parts that are there, by name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


# The names by which parts go in folders and archives.
PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def digest(*parts: str | bytes | np.ndarray) -> str:
    """A fingerprint made of several."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            part = part.encode("utf-8", "surrogateescape")
        elif not isinstance(part, bytes):
            part = part.tobytes()
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.hexdigest()
