"""Which separator and decimal mark a table of text has, told from its first lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ml_runner import errors
from ml_runner.data.source import fault

SAMPLE_RECORDS = 100
WHITESPACE = r"\s+"
_CANDIDATES = (",", ";", "\t", "|")
SHOWN = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'", " ": "a space", WHITESPACE: "spaces"}

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_POINT = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
_MAYBE_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")

Record = list[str]


@dataclass(frozen=True)
class Dialect:
    """How a table of text is written."""

    separator: str
    decimal: str = "."


def show(separator: str) -> str:
    """A separator as a message names it."""
    return SHOWN.get(separator, f"'{separator}'")


def check_given(separator: str) -> str:
    r"""The separator as it is used. ``"\\t"`` written out and ``"tab"`` are tabs.

    Raises:
        InvalidConfiguration: neither one character nor ``\s+``.
    """
    meant = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
    if (len(meant) == 1 and meant not in "\r\n\"'") or meant == WHITESPACE:
        return meant
    raise errors.InvalidConfiguration(
        f"separator '{separator}' is not one character",
        solution="Send one character, such as ',' or ';' or '\\t', or '\\s+' for any run of spaces "
        "and tabs.",
        metadata={"key": "separator", "sent": separator, "allowed": ["one character", WHITESPACE]},
    )


def records(lines: Iterable[str], separator: str) -> Iterator[tuple[int, Record]]:
    """The records of a table as pandas sees them, each with the line (from 1) on which it begins.

    Blank lines are skipped, as pandas does. Raises ``csv.Error`` for a field of over 128 KiB.
    """
    if separator == WHITESPACE:
        for number, line in enumerate(lines, 1):
            if fields := line.split():
                yield number, fields
        return
    reader = csv.reader(lines, delimiter=separator)
    line = 1
    for record in reader:
        # pandas skips lines of white space too, unless the separator is part of it.
        if record and not (len(record) == 1 and record[0] and record[0].isspace()):
            yield line, record
        line = reader.line_num + 1


def sample(text: str, separator: str, *, complete: bool) -> list[tuple[int, Record]]:
    """The first records of a text; the last one is left out where the text may be cut off in it."""
    found: list[tuple[int, Record]] = []
    reader = records(io.StringIO(text, newline=""), separator)
    try:
        found.extend(islice(reader, SAMPLE_RECORDS + 1))
    except csv.Error:
        complete = False
    if len(found) > SAMPLE_RECORDS or (not complete and len(found) > 1):
        found.pop()
    return found


def of(
    path: Path, text: str, *, complete: bool, named: str, warn: Callable[[str], None]
) -> Dialect:
    """The dialect of a text; says so where it is not the obvious one.

    Args:
        path: for messages.
        text: the first lines.
        complete: ``text`` is all there is.
        named: ``"csv"`` or ``"tsv"``: the format that the file's name promises.
        warn: gets what the caller may not expect.

    Raises:
        DataLoadingError: two separators fit equally well, or only spaces separate the columns.
    """
    usual = "\t" if named == "tsv" else ","
    consistent: dict[str, list[Record]] = {}
    partly: dict[str, list[Record]] = {}
    first_line = text.split("\n", 1)[0] if text.strip() else ""
    for candidate in _CANDIDATES:
        if candidate not in text:
            continue
        rows = [record for _, record in sample(text, candidate, complete=complete)]
        if not rows or len(rows[0]) < 2:
            continue
        if all(len(row) == len(rows[0]) for row in rows):
            consistent[candidate] = rows
        elif candidate in first_line:
            partly[candidate] = rows
    fitting = consistent or partly
    if not fitting:
        _refuse_spaces(path, text, complete=complete)
        return Dialect(usual)
    separator = _choose(path, fitting, usual)
    decimal = _decimal(fitting[separator]) if separator != "," else "."
    if separator != usual:
        warn(f"'{path}' is separated by {show(separator)}, not {show(usual)}")
    if decimal == ",":
        warn(f"'{path}' has decimal commas; '1,5' was read as 1.5")
    return Dialect(separator, decimal)


def decimal_mark(path: Path, rows: list[Record], warn: Callable[[str], None]) -> str:
    """The decimal mark, where the caller gave the separator; says so where it is the comma."""
    decimal = _decimal(rows)
    if decimal == ",":
        warn(f"'{path}' has decimal commas; '1,5' was read as 1.5")
    return decimal


def _choose(path: Path, fitting: dict[str, list[Record]], usual: str) -> str:
    if len(fitting) == 1:
        return next(iter(fitting))
    # Each scores by how many of its cells are numbers or plain text without another separator.
    scores = {mark: _clean_share(rows, mark, fitting) for mark, rows in fitting.items()}
    best = max(scores.values())
    leading = [mark for mark, score in scores.items() if score >= best - 0.05]
    if len(leading) == 1:
        return leading[0]
    if usual in leading and all(_only_in_text(fitting[usual], mark) for mark in leading):
        return usual
    names = " or ".join(show(mark) for mark in leading)
    raise fault(
        path,
        f"'{path}' could be separated by {names}: both give the same number of columns in "
        "every line",
        solution="Send separator.",
        key="separator",
        allowed=leading,
    )


def _clean_share(rows: list[Record], mark: str, fitting: dict[str, list[Record]]) -> float:
    others = [other for other in fitting if other != mark]
    clean = total = 0
    for row in rows:
        for cell in row:
            total += 1
            decimal = mark != "," and _MAYBE_DECIMAL_COMMA.fullmatch(cell.strip())
            clean += bool(decimal) or not any(other in cell for other in others)
    return clean / total


def _only_in_text(rows: list[Record], mark: str) -> bool:
    """Whether, in rows split at another separator, ``mark`` stands inside sentences alone."""
    cells = [cell for row in rows for cell in row if mark in cell]
    return all(" " in cell.strip() for cell in cells)


def _decimal(rows: list[Record]) -> str:
    """``","`` where a column's cells are all numbers with decimal commas and none has a point."""
    if any(_DECIMAL_POINT.fullmatch(cell.strip()) for row in rows for cell in row):
        return "."
    for column in zip(*rows[1:] or rows, strict=False):
        cells = [text for cell in column if (text := cell.strip())]
        if any("," in cell for cell in cells) and all(map(_MAYBE_DECIMAL_COMMA.fullmatch, cells)):
            return ","
    return "."


def _refuse_spaces(path: Path, text: str, *, complete: bool) -> None:
    rows = [record for _, record in sample(text, WHITESPACE, complete=complete)]
    width = len(rows[0]) if rows else 0
    if width < 2 or len(rows) < 2 or any(len(row) != width for row in rows):
        return
    below = [cell for row in rows[1:] for cell in row]
    if sum(1 for cell in below if NUMBER.fullmatch(cell)) >= 0.5 * len(below):
        raise fault(
            path,
            f"'{path}' has no ',', ';', tab or '|' between its columns; spaces seem to separate "
            f"its {width} columns",
            solution="Send separator: '\\s+'.",
            key="separator",
        )
