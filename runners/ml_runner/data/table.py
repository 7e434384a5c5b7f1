"""Reads a table from a file, whatever its format, or says what is wrong with it and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner.data import binary, columns, formats, jsonlines
from ml_runner.data.delimited import Delimited
from ml_runner.data.header import refuse_duplicates
from ml_runner.data.schema import Schema, TableData
from ml_runner.data.source import Source, fault

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["Schema", "Table", "TableData", "read_table"]

_TEXT_KEYS = ("header", "separator", "encoding")


@dataclass
class Table:
    """A table as it was read.

    Attributes:
        path: absolute.
        format: ``"csv"``, ``"tsv"``, ``"parquet"``, ``"feather"``, ``"arrow"``, ``"json"``,
            ``"jsonl"``, ``"npy"`` or ``"npz"``.
        encoding: of text formats, detected or given, by Python's name; else ``None``.
        separator: of CSV and TSV, detected or given; else ``None``.
        header: the first line named the columns (true for every format that carries names).
        frame: one row a record, indexed 0 to n-1; column names are strings, in file order.
    """

    path: Path
    format: str
    encoding: str | None
    separator: str | None
    header: bool
    frame: DataFrame
    _delimited: Delimited | None = field(default=None, repr=False)
    _source: Source | None = field(default=None, repr=False)

    def locate(self, row: int) -> tuple[str, dict[str, Any]]:
        """Where a row is: words for a message, and metadata.

        Args:
            row: position in ``frame``, from 0.

        Returns:
            ``("line 17", {"line": 17, "row": 16})``; for formats without lines
            ``("row 16", {"row": 16})``, counting rows from 1.
        """
        line = None
        if self._delimited is not None:
            line = self._delimited.line_of(row)
        elif self.format == "jsonl" and self._source is not None:
            line = jsonlines.line_of(self._source, self.encoding or "utf-8", row)
        if line is None:
            return f"row {row + 1}", {"row": row + 1}
        return f"line {line}", {"line": line, "row": row + 1}

    def text_of(self, column: str) -> Series:
        """A column as text, as it is written in the file where that is text (``"007"`` stays so).

        Missing values stay missing.
        """
        if self._delimited is not None:
            index = list(self.frame.columns).index(column)
            frame = self._delimited.parse(usecols=[index], dtype=str)
            return frame.iloc[:, 0].rename(column)
        return columns.as_text(self.frame[column])


def read_asked(path: Path, config: Mapping[str, Any], warn: Callable[[str], None]) -> Table:
    """``read_table`` as a call's config has it: ``header``, ``separator``, ``encoding``."""
    return read_table(
        path,
        header=config.get("header"),
        separator=config.get("separator"),
        encoding=config.get("encoding"),
        warn=warn,
    )


def read_table(
    path: Path,
    *,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    warn: Callable[[str], None],
) -> Table:
    r"""Reads a table; values and types are those of plain ``pandas.read_csv`` and its relatives.

    The format is told by content first. Column names:

    * CSV, TSV: the header line's; with ``header`` false ``"0"``, ``"1"``, …
    * NPY: ``"0"`` to ``"n-1"`` for 2-D arrays, ``"0"`` for a 1-D one; a structured array's fields.
    * NPZ: a 2-D array's columns are ``"0"`` to ``"n-1"`` if it is the only one, else (and for
      further ones) ``"<array>_0"``, …; a 1-D array (or one of shape (n, 1)) beside it is a column
      by its name, so ``X`` and ``y`` become ``"0"`` … ``"n-1"``, ``"y"``. Scalars are left out,
      with a warning.
    * JSON: a list of objects, an object of lists, or what ``DataFrame.to_json`` writes. Strings
      stay strings, whatever they look like.

    Args:
        path: absolute path of a file (compressed text is fine: gzip, bz2, xz, zip).
        header: whether the first line of a CSV names the columns. ``None``: it does, and a first
            line that looks like data is refused.
        separator: of a CSV: one character or ``\s+``; ``None``: told from the content.
        encoding: of a text format; ``None``: told from the content.
        warn: gets what the caller may not expect, such as a separator that is not the comma.

    Raises:
        DataLoadingError: names file, line (or row) and column, and says what to do.
        InvalidConfiguration: separator or encoding are none.
        FrameworkNotFound: pandas, or pyarrow for Parquet and Feather, is not installed.
    """
    source = Source(path)
    kind = formats.detect(source, warn)
    if kind in ("csv", "tsv"):
        layout = Delimited(
            source, named=kind, header=header, separator=separator, encoding=encoding, warn=warn
        )
        frame = layout.read(warn)
        used = layout.dialect.separator
        kind = "tsv" if used == "\t" else "csv"
        return Table(path, kind, layout.encoding, used, layout.header, frame, layout, source)
    given = dict(zip(_TEXT_KEYS, (header, separator, encoding), strict=True))
    in_text = kind in ("json", "jsonl")
    for key, value in given.items():
        if value is not None and not (in_text and key == "encoding"):
            warn(f"{key} is not used: '{path}' is {formats.NAMES[kind]}")
    used_encoding = None
    if kind == "jsonl":
        frame, used_encoding = jsonlines.read_lines(source, encoding, warn)
    elif kind == "json":
        frame, used_encoding = jsonlines.read_document(source, encoding, warn)
    else:
        frame = binary.READERS[kind](source, warn)
    _check(path, frame)
    return Table(path, kind, used_encoding, None, True, frame, None, source)


def _check(path: Path, frame: DataFrame) -> None:
    frame.columns = [str(name) for name in frame.columns]
    refuse_duplicates(path, list(frame.columns))
    if not len(frame) or not len(frame.columns):
        count = len(frame.columns)
        raise fault(
            path,
            f"'{path}' has {count} columns and {len(frame)} rows",
            solution="Write rows into it, or name another file.",
            rows=len(frame),
            columns=count,
        )
