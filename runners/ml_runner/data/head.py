"""The first rows of a table and the number of all of them, without reading a large one whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ml_runner import libraries
from ml_runner.data import binary, formats, jsonlines
from ml_runner.data.delimited import Delimited
from ml_runner.data.source import Source
from ml_runner.data.table import Table, read_table

_BLOCK = 4 * 1024 * 1024
# What makes a line break no end of a row: quotes, blank lines, carriage returns on their own.
_IRREGULAR = re.compile(rb'"|\n[ \t]*\r?\n|\r(?!\n)')


def read_head(
    path: Path,
    *,
    header: bool | None,
    separator: str | None,
    encoding: str | None,
    large: int,
    limit: int,
    warn: Callable[[str], None],
) -> tuple[Table, int]:
    """A table, and how many rows its file has.

    Args:
        path: absolute path of a file.
        header: as for ``read_table``, like ``separator`` and ``encoding``.
        separator: as for ``read_table``.
        encoding: as for ``read_table``.
        large: a CSV, JSON Lines or Parquet file of more bytes is not read whole.
        limit: so many rows are read of a large one.
        warn: gets what the caller may not expect.

    Returns:
        The table, of a large file with its first ``limit`` rows, and the exact number of rows.

    Raises:
        DataLoadingError: as ``read_table``; faults in the unread part of a large file are not seen.
    """
    source = Source(path)
    kind = formats.detect(source, lambda _: None) if source.size > large else ""
    if kind not in ("csv", "tsv", "jsonl", "parquet"):
        table = read_table(path, header=header, separator=separator, encoding=encoding, warn=warn)
        return table, len(table.frame)
    formats.detect(source, warn)
    if kind in ("csv", "tsv"):
        layout = Delimited(
            source, named=kind, header=header, separator=separator, encoding=encoding, warn=warn
        )
        frame = layout.read_first(limit, warn)
        used = layout.dialect.separator
        table = Table(path, kind, layout.encoding, used, layout.header, frame, layout, source)
        rows = _fast_count(source, layout) if _bytewise(layout) else None
        return table, layout.count_rows() if rows is None else rows
    if kind == "jsonl":
        frame, used_encoding = jsonlines.read_lines(source, encoding, warn, limit=limit)
        table = Table(path, kind, used_encoding, None, True, frame, None, source)
        return table, jsonlines.count(source, used_encoding)
    return _parquet(source, limit, warn)


def _bytewise(layout: Delimited) -> bool:
    return layout.encoding in ("utf-8", "utf-8-sig", "cp1252", "iso8859-1", "ascii")


def _fast_count(source: Source, layout: Delimited) -> int | None:
    """Rows by counting line ends; ``None`` where something in the file makes that inexact."""
    lines = 0
    last = b"\n"
    with source.open() as file:
        while block := file.read(_BLOCK):
            block += file.readline()
            if block.startswith((b"\n", b"\r", b" ", b"\t")) or _IRREGULAR.search(block):
                return None
            lines += block.count(b"\n")
            last = block[-1:]
    lines += last != b"\n"
    return lines - (1 if layout.header else 0)


def _parquet(source: Source, limit: int, warn: Callable[[str], None]) -> tuple[Table, int]:
    parquet = libraries.need("pyarrow.parquet", "pyarrow")
    frame, rows = binary.read_parquet_head(source, parquet, limit, warn)
    frame.columns = [str(name) for name in frame.columns]
    return Table(source.path, "parquet", None, None, True, frame, None, source), rows
