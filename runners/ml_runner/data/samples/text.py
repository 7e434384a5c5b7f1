"""Texts as samples: tokenised once, padded batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml_runner import files
from ml_runner.data.samples.base import Positions, digest
from ml_runner.data.samples.tokens import Tokens

# As much of a text as a person needs to find it again.
_SHOWN = 80


class TextSamples:
    """Texts as ``Samples``; a batch is a dict of arrays, one for each input of the network.

    Args:
        tokens: of n texts.
        targets: (n,) labels or numbers; of words, (n,) lists of labels; or None.
        names: (n,) what a person finds a text again by.
        source: what the caller named.
        spec: how further texts are read.
        words: where each word has a label: of each text in ``tokens`` its words.
        rows: (n,) positions among the texts in ``tokens``; all where left out.
    """

    kind = "text"
    in_memory = True

    def __init__(
        self,
        tokens: Tokens,
        targets: np.ndarray | None,
        names: Sequence[str],
        *,
        source: Path,
        spec: dict[str, Any],
        words: Sequence[Sequence[str]] | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self.tokens = tokens
        self.targets = targets
        self.names: Sequence[str] | None = names
        self.source = source
        self.spec = spec
        self.words = words
        self.rows = np.arange(len(tokens)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def inputs_shape(self) -> tuple[int, ...]:
        """(pieces,): as many as are kept of a text; a batch has those of its longest."""
        return (int(self.spec["maxLength"]),)

    @property
    def of_words(self) -> bool:
        """Whether they are lists of words, each with a label."""
        return self.words is not None

    def read(self, position: int) -> dict[str, np.ndarray]:
        """One text: name → (its pieces,) int64."""
        return {name: values[0] for name, values in self.batch([position]).items()}

    def batch(self, positions: Positions) -> dict[str, np.ndarray]:
        """Name → (b, pieces of the longest) int64; see ``Tokens.batch``."""
        return self.tokens.batch(self.rows[np.asarray(positions, dtype=np.intp)])

    def words_of(self, positions: Positions) -> np.ndarray:
        """(b, pieces of the longest) int64: the word that a piece begins, -1 for any other."""
        assert self.tokens.words is not None
        chosen = self.rows[np.asarray(positions, dtype=np.intp)]
        return self.tokens.padded(self.tokens.words, chosen, -1)

    def kept_words(self) -> list[np.ndarray]:
        """For each text the words that were not cut off, in their order."""
        offsets, words = self.tokens.offsets, self.tokens.words
        assert words is not None
        parts = (words[offsets[row] : offsets[row + 1]] for row in self.rows)
        return [part[part >= 0].astype(np.intp) for part in parts]

    def named_words(self) -> dict[str, list[Any]]:
        """What a person finds each word again by that was not cut off: ``text``, ``word``."""
        assert self.words is not None
        found: dict[str, list[Any]] = {"text": [], "word": []}
        for number, kept in enumerate(self.kept_words()):
            words = self.words[int(self.rows[number])]
            found["text"] += [number] * len(kept)
            found["word"] += [words[place] for place in kept.tolist()]
        return found

    def take(self, positions: Positions) -> TextSamples:
        """Those texts alone, in that order."""
        chosen = np.asarray(positions, dtype=np.intp)
        assert self.names is not None
        return TextSamples(
            self.tokens,
            None if self.targets is None else self.targets[chosen],
            [self.names[int(position)] for position in chosen],
            source=self.source,
            spec=self.spec,
            words=self.words,
            rows=self.rows[chosen],
        )

    def facts(self) -> dict[str, Any]:
        """For a report: ``maxLength`` and ``longestText``, in pieces."""
        lengths = np.diff(self.tokens.offsets)[self.rows]
        return {"maxLength": self.spec["maxLength"], "longestText": int(lengths.max(initial=0))}

    def fingerprint(self) -> str:
        """Of the pieces of these texts, so of the texts and of how they were tokenised."""
        held = [files.fingerprint(self.source)] if self.source.is_file() else []
        fields = [name.encode() + values.tobytes() for name, values in self.tokens.fields.items()]
        return digest(*held, repr(self.spec), self.rows.astype(np.int64), *fields)


def shown(text: str | Sequence[str]) -> str:
    """The beginning of a text, on one line."""
    whole = " ".join((text if isinstance(text, str) else " ".join(text)).split())
    return whole if len(whole) <= _SHOWN else whole[: _SHOWN - 1] + "…"
