"""Whether the first line of a table of text names its columns, and whether the names will do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ml_runner.data.separator import NUMBER, Dialect, Record
from ml_runner.data.source import fault


def check(path: Path, rows: list[Record], dialect: Dialect, warn: Callable[[str], None]) -> None:
    """Refuses a first line that looks like data, since a header would swallow it.

    Called where the caller did not say whether there is a header. Column names that are numbers
    pass where they count up by one (``0,1,2``, ``1990,1991``), which tables made of arrays have.

    Raises:
        DataLoadingError: the first line could be data.
    """
    first = [cell.strip() for cell in rows[0]]
    why = _looks_like_data(first, rows[1:], dialect)
    if why is None:
        numbers = [cell for cell in first if cell]
        if len(numbers) > 1 and all(_is_number(cell, dialect) for cell in numbers):
            warn(
                f"the first line of '{path}' ({_excerpt(first)}) was taken as its column names; "
                "send header: false if it is data"
            )
        return
    raise fault(
        path,
        f"the first line of '{path}' ({_excerpt(first)}) looks like data, not like column names: "
        f"{why}",
        solution="Send header: false if it is the first row (the columns are then called '0', '1', "
        "…), or header: true if these are the names of the columns.",
        key="header",
        allowed=[True, False],
        line=1,
    )


def refuse_duplicates(path: Path, names: list[str], **place: int) -> None:
    """Refuses two columns of one name (pandas would call the second one ``x.1``).

    Raises:
        DataLoadingError: names the duplicates and where they stand.
    """
    twice = {name: count for name, count in Counter(names).items() if count > 1 and name}
    if not twice:
        return
    shown = []
    for name in list(twice)[:5]:
        places = [str(i) for i, other in enumerate(names, 1) if other == name]
        shown.append(f"'{name}' (columns {', '.join(places[:5])})")
    raise fault(
        path,
        f"'{path}' names more than one column alike: {'; '.join(shown)}",
        solution="Give each column a name of its own.",
        **place,
        columns=list(twice)[:20],
    )


def _looks_like_data(first: Record, below: list[Record], dialect: Dialect) -> str | None:
    filled = [cell for cell in first if cell]
    numbers = [cell for cell in filled if _is_number(cell, dialect)]
    if filled and len(numbers) == len(filled):
        # Tables written from arrays are headed 0,1,2,…; two columns "0,1" are as well data.
        return None if len(numbers) > 2 and _counts_up(numbers) else "all of it is numbers"
    if numbers and not _counts_up(numbers):
        return f"{len(numbers)} of its {len(filled)} fields are numbers"
    again = _seen_again(first, below)
    if filled and 2 * again > len(filled):
        return f"{again} of its {len(filled)} fields occur again in the rows below"
    return None


def _seen_again(first: Record, below: list[Record]) -> int:
    """How many columns have the first line's text in a later row too (repeated headers aside)."""
    others = [row for row in below if [cell.strip() for cell in row] != first]
    return sum(
        1
        for i, cell in enumerate(first)
        if cell and any(i < len(row) and row[i].strip() == cell for row in others)
    )


def _is_number(cell: str, dialect: Dialect) -> bool:
    if dialect.decimal == ",":
        cell = cell.replace(",", ".")
    return NUMBER.fullmatch(cell) is not None


def _counts_up(numbers: Record) -> bool:
    if len(numbers) < 2 or not all(number.isdigit() for number in numbers):
        return False
    values = [int(number) for number in numbers]
    return values == list(range(values[0], values[0] + len(values)))


def _excerpt(cells: Record) -> str:
    text = ", ".join(f"'{cell[:20]}'" for cell in cells[:4])
    return text if len(cells) <= 4 else f"{text}, … of {len(cells)}"


def not_used(key: str, path: Path, what: str) -> str:
    """The warning for a key about text that a file in another format has no use for."""
    return f"{key} is not used: '{path}' is {what}"
