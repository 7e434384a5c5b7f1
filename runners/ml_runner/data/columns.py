"""One column at a time: what kind it is, and the checks that it must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_runner import errors, libraries
from ml_runner.data.source import fault

if TYPE_CHECKING:
    from pandas import Series

    from ml_runner.data.table import Table

# A text column of which at least this share are numbers is a number column with faults in it.
_MIXED_SHARE = 0.5
_DATES = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period")


def kind(series: Series) -> str:
    """What a column holds, missing values aside.

    Returns:
        ``"number"``, ``"bool"``, ``"text"``, ``"date"`` (times and spans too), ``"empty"`` (all
        missing, in a column whose type does not say what it holds), or ``"nested"`` (lists,
        objects, bytes, complex numbers).
    """
    dtype = series.dtype
    if isinstance(dtype, libraries.need("numpy", "numpy").dtype) and dtype.kind in "iufb":
        return "bool" if dtype.kind == "b" else "number"
    types = libraries.need("pandas.api.types", "pandas")
    if types.is_bool_dtype(dtype) and not isinstance(dtype, _categorical()):
        return "bool" if series.notna().any() else "empty"
    if types.is_complex_dtype(dtype):
        return "nested"
    if types.is_numeric_dtype(dtype):
        return "number" if series.notna().any() else "empty"
    if not series.notna().any():
        return "empty"
    if isinstance(dtype, _categorical()):
        return kind(series.cat.categories.to_series())
    inferred = types.infer_dtype(series, skipna=True)
    if inferred in _DATES:
        return "date"
    if inferred == "boolean":
        return "bool"
    if inferred in ("integer", "floating", "mixed-integer-float", "decimal"):
        return "number"
    if inferred in ("bytes", "complex"):
        return "nested"
    if inferred in ("mixed", "mixed-integer"):
        plain = str | int | float
        return "text" if all(isinstance(v, plain) for v in series.dropna()) else "nested"
    return "text"


def numbers(series: Series) -> Series:
    """A number or bool column in a numpy type: integers stay integers, missing values are NaN."""
    pandas = libraries.need("pandas", "pandas")
    numpy = libraries.need("numpy", "numpy")
    types = libraries.need("pandas.api.types", "pandas")
    dtype = series.dtype
    if isinstance(dtype, numpy.dtype) and dtype.kind in "iuf":
        return series
    if isinstance(dtype, numpy.dtype) and dtype.kind == "b":
        return series.astype("int64")
    if isinstance(dtype, _categorical()):
        series = series.astype(series.cat.categories.dtype)
        return numbers(series) if not isinstance(series.dtype, _categorical()) else series
    missing = series.isna()
    if missing.any() or types.is_object_dtype(dtype):
        values = series.astype(object).where(~missing, float("nan"))
        return pandas.Series(
            values.to_numpy().astype("float64"), index=series.index, name=series.name
        )
    plain = "int64" if kind(series) == "bool" else getattr(dtype, "numpy_dtype", "float64")
    return series.astype(plain)


def as_text(series: Series) -> Series:
    """Every value as text, missing ones still missing, in the type that pandas gives to text."""
    # astype(str) would make the text "nan" of a missing value before pandas 3.
    return series.astype(object).map(str, na_action="ignore").infer_objects()


def type_name(series: Series) -> str:
    """The type that a schema remembers."""
    what = kind(series)
    if what in ("text", "bool"):
        return "str" if what == "text" else "bool"
    if isinstance(series.dtype, _categorical()):
        return str(series.cat.categories.dtype)
    return str(series.dtype)


def examples(series: Series, count: int = 3) -> str:
    """The first distinct values, for a message."""
    values = series.dropna().astype(object).drop_duplicates().head(count)
    return ", ".join(
        repr(value) if len(repr(value)) <= 30 else f"{value!r:.27}…" for value in values
    )


def mixed(table: Table, series: Series) -> tuple[errors.DataLoadingError | None, int]:
    """For a text column: the error if it is numbers with some text among them, and how many.

    Returns:
        ``(error, count)``, or ``(None, 0)`` for a column of text.
    """
    pandas = libraries.need("pandas", "pandas")
    filled = series.loc[series.notna()]
    as_numbers = pandas.to_numeric(filled.astype(object), errors="coerce")
    bad = filled.loc[as_numbers.isna()]
    if len(bad) == 0 or len(bad) > (1 - _MIXED_SHARE) * len(filled):
        return None, 0
    words, place = table.locate(int(bad.index[0]))
    value = bad.iloc[0]
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
    hint = ""
    if isinstance(value, str) and "," in value:
        hint = " If that is a decimal comma, write a point."
    return (
        fault(
            table.path,
            f"column '{series.name}' of '{table.path}' holds numbers, and {len(bad)} of its "
            f"{len(filled)} values are not: the first is {shown} in {words}",
            solution="Mend these values or leave them empty (a missing value), leave the column "
            f"out of featureColumns, or declare it in categorical.{hint}",
            column=series.name,
            value=str(value)[:100],
            count=len(bad),
            **place,
        ),
        len(bad),
    )


def refuse_missing(table: Table, series: Series, role: str, solution: str) -> None:
    """Refuses missing values.

    Raises:
        DataLoadingError: how many, and the first row.
    """
    missing = series.isna()
    if not missing.any():
        return
    count = int(missing.sum())
    words, place = table.locate(int(missing.to_numpy().argmax()))
    rows = f"{count} of {len(series)} rows"
    raise fault(
        table.path,
        f"{role} '{series.name}' of '{table.path}' is missing in {rows}, first in {words}",
        solution=solution,
        column=series.name,
        count=count,
        **place,
    )


def refuse_nested(table: Table, series: Series) -> None:
    """Refuses cells that are lists, objects or bytes. Raises ``DataLoadingError``."""
    if kind(series) != "nested":
        return
    value = series.dropna().iloc[0]
    raise fault(
        table.path,
        f"column '{series.name}' of '{table.path}' holds values of type {type(value).__name__}, "
        f"such as {str(value)[:60]}; a table's cells are numbers, text, booleans or dates",
        solution="Spread them over columns of their own, or leave the column out.",
        column=series.name,
    )


def _categorical() -> Any:
    return libraries.need("pandas", "pandas").CategoricalDtype
