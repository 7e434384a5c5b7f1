"""The library's tokenizer as ``data.samples.Tokenizer``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ml_runner.data.samples import Tokens

# More is not asked of a model by itself: its cost grows with the square.
LONGEST = 512
# What the library writes for "no limit" is larger than any.
_NO_LIMIT = 1_000_000
# Their positions begin behind that of the padding, so as many are lost.
_POSITIONS_AFTER_PADDING = frozenset(
    ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer",
     "data2vec-text", "ibert", "luke", "roberta-prelayernorm")
)  # fmt: skip
_AT_ONCE = 4096


def longest_of(tokens: Any, config: Any) -> int:
    """Pieces that a model takes: by its positions and its tokenizer; without either 512."""
    limits = [int(tokens.model_max_length)]
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        behind = config.model_type in _POSITIONS_AFTER_PADDING
        limits.append(positions - (int(config.pad_token_id or 0) + 1 if behind else 0))
    known = [limit for limit in limits if 0 < limit < _NO_LIMIT]
    return min(known) if known else LONGEST


class TextTokenizer:
    """See ``data.samples.Tokenizer``.

    Args:
        tokens: the library's tokenizer.
        max_length: pieces that are kept of a text.
        takes: names of the inputs that the model takes.
    """

    def __init__(self, tokens: Any, max_length: int, takes: set[str]) -> None:
        self.library = tokens
        self.max_length = max_length
        self._takes = takes

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """The pieces of n texts."""
        return self._tokens(texts, words=False)

    def of_words(self, texts: Sequence[Sequence[str]]) -> Tokens:
        """The pieces of n lists of words."""
        return self._tokens(texts, words=True)

    def _tokens(self, texts: Sequence[Any], *, words: bool) -> Tokens:
        fields: dict[str, list[list[int]]] = {}
        begins: list[list[int]] = []
        cut = 0
        for part in _chunks(texts):
            found = self.library(
                part,
                truncation=True,
                max_length=self.max_length,
                is_split_into_words=words,
                return_attention_mask=False,
            )
            for name, lists in found.items():
                if name in self._takes:
                    fields.setdefault(name, []).extend(lists)
            cut += self._cut(part, found, words=words)
            if words:
                begins += [_first_pieces(found.word_ids(row)) for row in range(len(part))]
        return Tokens.of_lists(
            fields,
            words=begins if words else None,
            padding={
                "input_ids": int(self.library.pad_token_id or 0),
                "token_type_ids": int(getattr(self.library, "pad_token_type_id", 0) or 0),
            },
            pads_left=self.library.padding_side == "left",
            cut=cut,
        )

    def _cut(self, texts: Sequence[Any], found: Any, *, words: bool) -> int:
        """Texts of which not all pieces were kept."""
        if found.encodings is not None:
            return sum(bool(one.overflowing) for one in found.encodings)
        count: Callable[[Any], int] = lambda text: len(  # noqa: E731
            self.library(text, is_split_into_words=words, verbose=False)["input_ids"]
        )
        full = (len(ids) >= self.max_length for ids in found["input_ids"])
        return sum(
            count(text) > self.max_length for text, may in zip(texts, full, strict=True) if may
        )


def _chunks(texts: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(texts), _AT_ONCE):
        yield list(texts[start : start + _AT_ONCE])


def _first_pieces(words: Sequence[int | None]) -> list[int]:
    """For each piece the word that it begins, -1 for any other piece."""
    before: int | None = None
    begins: list[int] = []
    for word in words:
        begins.append(-1 if word is None or word == before else word)
        before = word
    return begins
