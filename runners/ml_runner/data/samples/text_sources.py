"""Which texts a path means, and what is to be learned of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import bounds, errors, libraries
from ml_runner.data import columns, encoding, read_asked, roles
from ml_runner.data.choose import no_such_column
from ml_runner.data.samples import folders
from ml_runner.data.samples.base import Roots, Warn
from ml_runner.data.samples.table import plain_array
from ml_runner.data.samples.text import TextSamples, shown
from ml_runner.data.samples.tokens import Tokenizer
from ml_runner.data.source import fault, some

if TYPE_CHECKING:
    from pandas import Series

    from ml_runner.data.table import Table

_FOR_EMPTY = "Fill in these texts, or leave them out."


@dataclass
class Texts:
    """Texts and their labels, before they are tokenised.

    Attributes:
        source: what the caller named.
        texts: n texts, or n lists of words.
        targets: (n,) labels or numbers, (n,) lists of labels for lists of words, or None.
        names: (n,) what a person finds a text again by.
        column: of a table.
        target: likewise.
    """

    source: Path
    texts: Sequence[str] | Sequence[Sequence[str]]
    targets: np.ndarray | None
    names: list[str]
    column: str | None = None
    target: str | None = None

    @property
    def of_words(self) -> bool:
        """Whether they are lists of words."""
        return not isinstance(self.texts[0], str)

    def samples(self, tokenizer: Tokenizer, warn: Warn) -> TextSamples:
        """As samples, tokenised."""
        texts: Any = self.texts
        tokens = tokenizer.of_words(texts) if self.of_words else tokenizer(texts)
        if tokens.cut:
            warn(
                f"'{self.source}': {tokens.cut} of {len(tokens)} texts are longer than maxLength"
                f" {tokenizer.max_length} (in pieces of words): what is beyond is not read"
            )
        spec = {
            "kind": TextSamples.kind,
            "textColumn": self.column,
            "targetColumn": self.target,
            "words": self.of_words,
            "maxLength": tokenizer.max_length,
        }
        return TextSamples(
            tokens,
            self.targets,
            self.names,
            source=self.source,
            spec=spec,
            words=texts if self.of_words else None,
        )


def labelled(
    path: Path,
    config: Mapping[str, Any],
    *,
    roots: Roots,
    warn: Warn,
    like: Mapping[str, Any] | None = None,
) -> dict[str, Texts]:
    """The texts of a training, by part: ``train`` and, where there are any, the others.

    A folder with a folder of text files for each class; or with ``train``, ``val`` (``valid``,
    ``validation``) and ``test`` of those; or a table with a column of texts and one of targets.

    Args:
        path: absolute.
        config: ``textColumn``, ``targetColumn``, and how a table is read.
        roots: directories that may be read, or None.
        warn: gets what the caller may not expect.
        like: spec of the samples of the training, which names columns that ``config`` does not.

    Raises:
        InvalidConfiguration: a column that is not there, or nothing that says which one is meant.
        DataLoadingError: no texts, no class folders, an empty text, one that is not UTF-8.
    """
    if not path.is_dir():
        return {"train": _of_table(path, config, like or {}, warn, with_targets=True)}
    found = folders.labelled(path, _no_labels, roots=roots, warn=warn, kind=folders.TEXTS)
    return {
        part: Texts(one.root, _read(one.root, one.names, config), one.targets(), one.names)
        for part, one in found.items()
    }


def unlabelled(
    path: Path, config: Mapping[str, Any], *, roots: Roots, warn: Warn, like: Mapping[str, Any]
) -> Texts:
    """Texts to predict: a text file, all below a folder, or a column of a table.

    Its arguments and what it raises are as for ``labelled``.
    """
    if path.is_dir():
        listing = folders.list_files(path, roots=roots, kind=folders.TEXTS)
        if not listing.names:
            raise folders.nothing_in(path, roots, folders.TEXTS)
        folders.warn_of_skipped(path, listing.skipped, warn, folders.TEXTS)
        return Texts(path, _read(path, listing.names, config), None, listing.names)
    if folders.is_text(str(path), path.name) and path.is_file():
        return Texts(path, _read(path.parent, [path.name], config), None, [path.name])
    return _of_table(path, config, like, warn, with_targets=False)


# -- files -----------------------------------------------------------------------------------------


def _read(root: Path, names: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    sent = config.get("encoding")
    used = "utf-8-sig" if sent is None else encoding.check_given(sent)
    return [_text(root / name, used) for name in names]


def _text(path: Path, used: str) -> str:
    try:
        data = bounds.read_bytes(path)
    except OSError as error:
        raise fault(
            path, f"'{path}' cannot be read: {error.strerror}", solution="Make it readable."
        ) from error
    try:
        text = data.decode(used)
    except UnicodeDecodeError as error:
        name = "UTF-8" if used == "utf-8-sig" else used
        raise fault(
            path,
            f"'{path}' is not {name}: byte {error.start} is 0x{data[error.start]:02x}",
            solution="Save it as UTF-8, or send config.encoding (cp1252, utf-16, …).",
            byte=error.start,
            encoding=name,
        ) from error
    if not text.strip():
        raise fault(path, f"'{path}' holds no text", solution=_FOR_EMPTY)
    return text


def _no_labels(path: Path) -> errors.DataLoadingError:
    return fault(
        path,
        f"'{path}' holds text files, and nothing says their classes",
        solution="Put the texts of each class into a folder of its name, or name a table with"
        " config.textColumn and config.targetColumn.",
    )


# -- tables ----------------------------------------------------------------------------------------


def _of_table(
    path: Path,
    config: Mapping[str, Any],
    like: Mapping[str, Any],
    warn: Warn,
    *,
    with_targets: bool,
) -> Texts:
    table = read_asked(path, config, warn)
    known = list(table.frame.columns)
    target = _target(path, config, like, known) if with_targets else None
    column = _column(table, config, like, known, target or like.get("targetColumn"))
    texts = _texts(table, column)
    return Texts(
        path,
        texts,
        None if target is None else _targets(table, target, texts),
        [shown(text) for text in texts],
        column,
        target,
    )


def _target(
    path: Path, config: Mapping[str, Any], like: Mapping[str, Any], known: list[str]
) -> str:
    target = config.get("targetColumn") or like.get("targetColumn")
    if target is None:
        raise errors.InvalidConfiguration(
            f"config.targetColumn is missing: '{path}' does not say what is to be learned",
            solution=f"Send config.targetColumn, one of: {some(known, 20)}.",
            metadata={"key": "config.targetColumn", "file": str(path), "allowed": known[:50]},
        )
    if target not in known:
        raise no_such_column(path, "targetColumn", target, known)
    return target


def _column(
    table: Table,
    config: Mapping[str, Any],
    like: Mapping[str, Any],
    known: list[str],
    target: str | None,
) -> str:
    """The column of the texts: named, or the one of the training, or the only one that can be."""
    sent = config.get("textColumn")
    if sent is not None:
        if sent not in known:
            raise no_such_column(table.path, "textColumn", sent, known)
        if sent == target:
            raise errors.InvalidConfiguration(
                f"textColumn and targetColumn are both '{sent}'",
                solution="Name two columns.",
                metadata={"key": "config.textColumn", "sent": sent},
            )
        return sent
    if like.get("textColumn") in known:
        return str(like["textColumn"])
    candidates = [name for name in known if name != target and _may_be_text(table.frame[name])]
    if len(candidates) == 1:
        return candidates[0]
    what = f"{len(candidates)} columns of text: {some(candidates, 10)}" if candidates else "none"
    raise errors.InvalidConfiguration(
        f"config.textColumn is missing, and '{table.path}' has {what}",
        solution=f"Send config.textColumn, one of: {some(candidates or known, 20)}.",
        metadata={
            "key": "config.textColumn",
            "file": str(table.path),
            "allowed": (candidates or known)[:50],
        },
    )


def _may_be_text(series: Series) -> bool:
    kind = columns.kind(series)
    return kind == "text" or (kind == "nested" and _words(series.dropna().iloc[0]) is not None)


def _texts(table: Table, column: str) -> list[Any]:
    """Texts, or lists of words; the first row tells which."""
    series = table.frame[column]
    filled = series.dropna()
    if len(filled) and _words(filled.iloc[0]) is not None:
        columns.refuse_missing(table, series, "text", _FOR_EMPTY)
        return [_words_in(table, column, row, value) for row, value in enumerate(series)]
    columns.refuse_nested(table, series)
    texts = table.text_of(column)
    pandas = libraries.need("pandas", "pandas")
    empty = texts.isna() | (texts.astype(object).map(str, na_action="ignore").str.strip() == "")
    columns.refuse_missing(
        table, pandas.Series(texts.where(~empty), name=column), "text", _FOR_EMPTY
    )
    return [str(text) for text in texts]


def _words(value: Any) -> list[str] | None:
    """A cell as a list of words, or None."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        return None
    return list(value)


def _words_in(table: Table, column: str, row: int, value: Any) -> list[str]:
    words = _words(value)
    if words and all(word.strip() for word in words):
        return words
    text, place = table.locate(row)
    raise fault(
        table.path,
        f"'{column}' of '{table.path}' holds "
        + ("no list of words" if words is None else "an empty list, or an empty word")
        + f" in {text}",
        solution="Write a list of words, none of them empty, into each row.",
        column=column,
        **place,
    )


def _targets(table: Table, target: str, texts: list[Any]) -> np.ndarray:
    if isinstance(texts[0], str):
        return plain_array(roles.target(table, target))
    series = table.frame[target]
    columns.refuse_missing(table, series, "target", "Fill in these lists, or drop the rows.")
    targets = np.empty(len(texts), dtype=object)
    for row, (value, words) in enumerate(zip(series, texts, strict=True)):
        labels = value.tolist() if isinstance(value, np.ndarray) else value
        if not isinstance(labels, (list, tuple)) or len(labels) != len(words):
            where, place = table.locate(row)
            many = f"{len(labels)} labels" if isinstance(labels, (list, tuple)) else "no list"
            raise fault(
                table.path,
                f"'{target}' of '{table.path}' holds {many} for {len(words)} words in {where}",
                solution="Write a list of labels into each row, one for each word.",
                column=target,
                **place,
            )
        targets[row] = list(labels)
    return targets
