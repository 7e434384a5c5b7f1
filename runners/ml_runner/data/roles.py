"""Target, weights and groups: single columns with a part of their own, each checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_runner.data import columns, features
from ml_runner.data.source import fault
from ml_runner.data.table import Table

if TYPE_CHECKING:
    from pandas import Series


def target(table: Table, name: str) -> Series:
    """The target as it is in the table.

    Raises:
        DataLoadingError: missing or infinite values (count and first row), or lists and objects.
    """
    series = table.frame[name]
    columns.refuse_nested(table, series)
    columns.refuse_missing(
        table,
        series,
        "target",
        "Drop these rows or fill in the target; a model cannot be trained or judged without it.",
    )
    if columns.kind(series) == "number":
        features.refuse_infinite(table, columns.numbers(series).to_frame(), "target")
    return series


def weights(table: Table, name: str) -> Series:
    """Sample weights as floats.

    Raises:
        DataLoadingError: text, missing, infinite or negative values, or all zero.
    """
    series = table.frame[name]
    if columns.kind(series) not in ("number", "bool"):
        error, _ = columns.mixed(table, series) if columns.kind(series) == "text" else (None, 0)
        raise error or fault(
            table.path,
            f"sampleWeightColumn '{name}' of '{table.path}' does not hold numbers: "
            f"{columns.examples(series)}",
            solution="Name a column of numbers.",
            column=name,
        )
    columns.refuse_missing(table, series, "sample weight", "Fill in these weights.")
    values = columns.numbers(series).astype("float64")
    features.refuse_infinite(table, values.to_frame(), "sample weight")
    negative = (values < 0).to_numpy()
    if negative.any():
        words, place = table.locate(int(negative.argmax()))
        raise fault(
            table.path,
            f"sample weight '{name}' of '{table.path}' is negative in {words}: "
            f"{values[negative].iloc[0]}",
            solution="Weights are zero or more; mend these rows.",
            column=name,
            count=int(negative.sum()),
            **place,
        )
    if not values.any():
        raise fault(
            table.path,
            f"sample weight '{name}' of '{table.path}' is zero in every row",
            solution="Name a column of weights, or leave sampleWeightColumn out.",
            column=name,
        )
    return values


def groups(table: Table, name: str) -> Series:
    """Groups as they are in the table. Raises ``DataLoadingError`` for missing ones."""
    series = table.frame[name]
    columns.refuse_missing(table, series, "group", "Fill in these groups, or drop the rows.")
    return series
