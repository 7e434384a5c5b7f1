"""JSON Lines and JSON documents as tables. Strings stay strings, whatever they look like."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ml_runner import libraries
from ml_runner.data import encoding as encodings
from ml_runner.data.source import Source, fault

if TYPE_CHECKING:
    from pandas import DataFrame

_CHUNK_ROWS = 50_000


def read_lines(
    source: Source,
    encoding: str | None,
    warn: Callable[[str], None],
    *,
    limit: int | None = None,
) -> tuple[DataFrame, str]:
    """A table of one JSON object a line; a key that is absent is a missing value.

    ``limit`` is the most rows that are read.

    Returns:
        The table and the encoding.

    Raises:
        DataLoadingError: a line that is no JSON object; names the line.
    """
    pandas = libraries.need("pandas", "pandas")
    used = encodings.of(source, encoding, warn)
    frames: list[DataFrame] = []
    rows: list[dict[str, Any]] = []
    read = 0
    try:
        with encodings.open_text(source, used) as text:
            for number, line in enumerate(text, 1):
                if line.isspace():
                    continue
                rows.append(_object(source, number, line))
                read += 1
                if read == limit:
                    break
                if len(rows) >= _CHUNK_ROWS:
                    frames.append(_framed(source, pandas.DataFrame, rows))
                    rows = []
    except UnicodeDecodeError as error:
        raise encodings.cannot_decode(source, used) from error
    except (OSError, EOFError) as error:
        raise source.broken(error) from error
    if rows or not frames:
        frames.append(_framed(source, pandas.DataFrame, rows))
    frame = frames[0] if len(frames) == 1 else pandas.concat(frames, ignore_index=True)
    return frame, used


def line_of(source: Source, encoding: str, row: int) -> int | None:
    """The line (from 1) of row ``row`` (from 0)."""
    index = -1
    with encodings.open_text(source, encoding) as text:
        for number, line in enumerate(text, 1):
            index += not line.isspace()
            if index == row:
                return number
    return None


def count(source: Source, encoding: str) -> int:
    """The number of rows."""
    with encodings.open_text(source, encoding) as text:
        return sum(1 for line in text if not line.isspace())


def read_document(
    source: Source, encoding: str | None, warn: Callable[[str], None]
) -> tuple[DataFrame, str]:
    """A table in one JSON document.

    It may be a list of objects, an object of lists (a column each), an object of objects (what
    ``DataFrame.to_json`` writes), or one with ``columns`` and ``data`` (``orient="split"``).

    Returns:
        The table and the encoding.

    Raises:
        DataLoadingError: broken JSON (line and column), or JSON that is no table.
    """
    pandas = libraries.need("pandas", "pandas")
    used = encodings.of(source, encoding, warn)
    try:
        with encodings.open_text(source, used) as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise encodings.cannot_decode(source, used) from error
    except (OSError, EOFError) as error:
        raise source.broken(error) from error
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise fault(
            source.path,
            f"'{source.path}' is JSON but no table: it is nested too deeply",
            solution="Write a list of objects with the same keys.",
        ) from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip()[:1] == "{":
            return read_lines(source, encoding, warn)
        raise fault(
            source.path,
            f"'{source.path}' is broken JSON: {error.msg} in line {error.lineno}, "
            f"character {error.colno}",
            solution="Mend the file at that place; it may be cut off.",
            line=error.lineno,
        ) from error
    frame = _framed(source, _table, pandas, value)
    if frame is None:
        raise fault(
            source.path,
            f"'{source.path}' is JSON but no table ({_shape(value)})",
            solution="Write a list of objects with the same keys, or an object of lists of one "
            "length.",
        )
    return frame, used


def _framed(source: Source, make: Callable[..., Any], *values: Any) -> Any:
    """``make(*values)``. JSON can name half a surrogate pair, which no table can hold."""
    try:
        return make(*values)
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise fault(
            source.path,
            f"'{source.path}' holds half a surrogate pair ({half!r}), which is no character",
            solution="Write the text as UTF-8, or both halves of the pair.",
        ) from error


def _table(pandas: Any, value: Any) -> DataFrame | None:
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return pandas.DataFrame(value)
    if not isinstance(value, dict) or not value:
        return None
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list) and set(value) <= _SPLIT:
        if any(not isinstance(row, list) or len(row) != len(columns) for row in data):
            return None
        return pandas.DataFrame(data, columns=columns)
    if all(isinstance(v, list) for v in value.values()):
        return pandas.DataFrame(value) if len({len(v) for v in value.values()}) == 1 else None
    if all(isinstance(v, dict) for v in value.values()):
        # {column: {row: value}}; the rows' labels are no column.
        return pandas.DataFrame(value).reset_index(drop=True)
    return None


_SPLIT = {"columns", "data", "index"}


def _object(source: Source, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise fault(
            source.path,
            f"line {number} of '{source.path}' is not JSON: {why}; it begins {line[:40].strip()!r}",
            solution="Mend that line: JSON Lines has one whole JSON object a line.",
            line=number,
        ) from error
    if not isinstance(value, dict):
        raise fault(
            source.path,
            f"line {number} of '{source.path}' is {_shape(value)}, not a JSON object",
            solution='Write each row as an object: {"column": value, …}.',
            line=number,
        )
    return cast(dict[str, Any], value)


def _shape(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        kinds = sorted({type(v).__name__ for v in value.values()})
        return f"an object of {len(value)} keys whose values are {', '.join(kinds[:4]) or 'none'}"
    return f"a single {type(value).__name__}"
