"""Texts as numbers: what a tokenizer makes of them once, and the padded batches of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ml_runner.data.samples.base import Positions

MASK = "attention_mask"


class Tokenizer(Protocol):
    """Makes numbers of texts; which ones is the matter of the model that brings it.

    Attributes:
        max_length: so many pieces are kept of a text, those that mark its ends included.
    """

    @property
    def max_length(self) -> int: ...  # noqa: D102

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """The pieces of n texts."""
        ...

    def of_words(self, texts: Sequence[Sequence[str]]) -> Tokens:
        """The pieces of n texts that are lists of words; ``words`` says where each one begins."""
        ...


@dataclass(frozen=True)
class Tokens:
    """The pieces of n texts, one after the other.

    Attributes:
        fields: name of a network's input → (total,) whole numbers.
        offsets: (n + 1,) where each text begins and ends.
        padding: name → what a short text is filled up with.
        pads_left: it is filled up before its beginning.
        cut: texts of which not all pieces were kept.
        words: (total,) position of the word that a piece begins, -1 for any other piece; None for
            texts that are no lists of words.
    """

    fields: Mapping[str, np.ndarray]
    offsets: np.ndarray
    padding: Mapping[str, int]
    pads_left: bool = False
    cut: int = 0
    words: np.ndarray | None = None
    _mask: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_mask", np.ones(int(self.offsets[-1]), dtype=np.int8))

    @classmethod
    def of_lists(
        cls,
        fields: Mapping[str, Sequence[Sequence[int]]],
        *,
        words: Sequence[Sequence[int]] | None = None,
        **more: Any,
    ) -> Tokens:
        """From lists of numbers, one for each text; ``more`` as for the class."""
        first = next(iter(fields.values()))
        offsets = np.zeros(len(first) + 1, dtype=np.int64)
        np.cumsum([len(one) for one in first], out=offsets[1:])
        return cls(
            {name: _flat(lists) for name, lists in fields.items()},
            offsets,
            words=None if words is None else _flat(words),
            **more,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def longest(self) -> int:
        """Pieces of the longest text."""
        return int(np.diff(self.offsets).max(initial=0))

    def batch(self, positions: Positions) -> dict[str, np.ndarray]:
        """Name → (b, longest of these) int64, with ``attention_mask``: 1 for a piece, else 0."""
        padded = {
            name: self.padded(values, positions, self.padding.get(name, 0))
            for name, values in self.fields.items()
        }
        return {**padded, MASK: self.padded(self._mask, positions, 0)}

    def padded(self, values: np.ndarray, positions: Positions, fill: int) -> np.ndarray:
        """(b, longest of these) int64: a value for each piece, and ``fill`` for the rest.

        Args:
            values: (total,) one for each piece of all texts.
            positions: of b texts.
            fill: beside the pieces.
        """
        chosen = np.asarray(positions, dtype=np.intp)
        starts, lengths = self.offsets[chosen], self.offsets[chosen + 1] - self.offsets[chosen]
        width = int(lengths.max(initial=0))
        result = np.full((len(chosen), width), fill, dtype=np.int64)
        for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
            place = slice(width - length, width) if self.pads_left else slice(length)
            result[row, place] = values[start : start + length]
        return result


def _flat(lists: Sequence[Sequence[int]]) -> np.ndarray:
    """One array of all numbers, in the smallest type that holds them."""
    values = np.fromiter(
        (value for one in lists for value in one), np.int64, sum(len(one) for one in lists)
    )
    if not len(values):
        return values
    kind = np.promote_types(np.min_scalar_type(values.min()), np.min_scalar_type(values.max()))
    return values.astype(kind)
