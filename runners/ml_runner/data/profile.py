"""A column in a few figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ml_runner import libraries
from ml_runner.data import columns

if TYPE_CHECKING:
    from pandas import Series

    from ml_runner.data.table import Table

# A column with at most this many distinct values is shown with their counts.
FEW = 20
_NAME_CHARACTERS = 60
_VALUE_CHARACTERS = 40


def column(table: Table, name: str) -> dict[str, Any]:
    """What a reader needs to know of a column before training on it.

    Returns:
        ``name``, ``type`` (``integer``, ``number``, ``boolean``, ``text``, ``date``, ``mixed``:
        numbers with a few other values, ``nested``, ``empty``), ``missing``; ``unique`` but of
        fractions; ``classCounts`` of a few-valued column (value → rows, most frequent first);
        ``min``, ``max``, ``mean`` of numbers; ``examples`` of the others; ``infinite`` where there
        are any; of a mixed column ``others`` and ``firstOther``.
    """
    series = table.frame[name]
    what = columns.kind(series)
    entry: dict[str, Any] = {"name": clip(name, _NAME_CHARACTERS), "type": what}
    entry["missing"] = int(series.isna().sum())
    if what == "empty" or entry["missing"] == len(series):
        return {**entry, "type": "empty"}
    if what == "nested":
        return {**entry, "examples": _examples(series, 1)}
    if what == "number":
        return {**entry, **_numbers(columns.numbers(series))}
    if what == "bool":
        return {**entry, "type": "boolean", **_counts(columns.numbers(series).astype(bool), series)}
    if what == "text":
        error, others = columns.mixed(table, series)
        if error is not None:
            entry["type"] = "mixed"
            entry["others"] = others
            place = {k: v for k, v in error.metadata.items() if k in ("line", "row", "value")}
            entry["firstOther"] = {**place, "value": clip(str(place["value"]), _VALUE_CHARACTERS)}
    distinct = int(series.astype(str).nunique()) if what == "date" else int(series.nunique())
    entry["unique"] = distinct
    if distinct <= FEW and what == "text" and distinct < max(2, series.notna().sum()):
        entry["classCounts"] = _class_counts(series)
    else:
        entry["examples"] = _examples(series, 3)
    return entry


def clip(text: str, length: int) -> str:
    """A text cut to a length, which shows."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _numbers(series: Series) -> dict[str, Any]:
    numpy = libraries.need("numpy", "numpy")
    values = series.to_numpy()
    figures: dict[str, Any] = {"type": "integer" if values.dtype.kind in "iu" else "number"}
    if values.dtype.kind == "f":
        infinite = int(numpy.isinf(values).sum())
        if infinite:
            figures["infinite"] = infinite
        values = values[numpy.isfinite(values)].astype("float64", copy=False)
        # Whole numbers with gaps are read as fractions.
        if len(values) and bool((values == numpy.floor(values)).all()):
            figures["type"] = "integer"
    if not len(values):
        return figures
    if figures["type"] == "integer":
        figures["unique"] = len(numpy.unique(values))
        if figures["unique"] <= FEW:
            figures["classCounts"] = _class_counts(series.loc[numpy.isfinite(series)])
    with numpy.errstate(all="ignore"):
        figures.update(
            min=_figure(values.min()), max=_figure(values.max()), mean=_figure(values.mean())
        )
    return {key: value for key, value in figures.items() if value is not None}


def _counts(values: Series, original: Series) -> dict[str, Any]:
    present = values.loc[original.notna()]
    return {"unique": int(present.nunique()), "classCounts": _class_counts(present)}


def _class_counts(series: Series) -> dict[str, int]:
    counts = series.astype(object).value_counts()
    return {
        clip(_label(value), _VALUE_CHARACTERS): int(count)
        for value, count in zip(counts.index.tolist(), counts.tolist(), strict=True)
    }


def _label(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _examples(series: Series, count: int) -> list[str]:
    found = series.dropna().head(1000).map(str).drop_duplicates().head(count)
    return [clip(value, _VALUE_CHARACTERS) for value in found.tolist()]


def _figure(value: Any) -> float | int | None:
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, int):
        return plain
    if not math.isfinite(plain):
        return None
    short = float(f"{plain:.7g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
