"""From a table to features, target, weights and groups for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ml_runner import errors
from ml_runner.data import columns, features, roles
from ml_runner.data.choose import check_named
from ml_runner.data.schema import Schema, TableData
from ml_runner.data.source import some
from ml_runner.data.table import Table

if TYPE_CHECKING:
    from pandas import Series

Warn = Callable[[str], None]


def select(
    table: Table,
    *,
    target_column: str | None,
    feature_columns: list[str] | None,
    weight_column: str | None = None,
    group_column: str | None = None,
    categorical: list[str] | None = None,
    accepts_strings: bool = False,
    accepts_missing: bool = True,
    for_text: str = "Leave them out of featureColumns, or name them in categorical.",
    for_missing: str = "Fill them in, or leave these columns out of featureColumns.",
    warn: Warn,
) -> TableData:
    """Takes the columns that a training needs out of a table, each checked.

    Number columns keep pandas' type. Booleans become 0 and 1 (missing ones NaN). Columns in
    ``categorical`` become pandas categories, sorted. Text is refused otherwise, and so are dates,
    unless ``accepts_strings``; nothing is turned into numbers in silence. No row is dropped.

    Args:
        table: as read.
        target_column: column of y, kept as it is; ``None`` where there is none.
        feature_columns: ``None`` for every column but target, weight and group, in file order.
        weight_column: sample weights.
        group_column: groups for cross-validation.
        categorical: columns to be taken as categories, numbers or text.
        accepts_strings: the algorithm takes text columns itself.
        for_text: what can be done about text that it does not take.
        for_missing: what can be done about missing values that it does not take.
        accepts_missing: the algorithm takes missing values; otherwise they are refused.
        warn: gets what the caller may not expect.

    Raises:
        InvalidConfiguration: a column that is not there, the target among the features, no
            feature, a text column that is not declared.
        DataLoadingError: numbers mixed with text, infinities, missing values in target, weights or
            groups, negative weights; names file, row and column.
    """
    declared = list(categorical or [])
    names = check_named(
        table.path,
        list(table.frame.columns),
        target=target_column,
        features=feature_columns,
        weight=weight_column,
        group=group_column,
        categorical=declared,
    )
    _warn_of_roles(table, names, feature_columns, weight_column, group_column, warn)
    y = None if target_column is None else roles.target(table, target_column)
    for name in names:
        columns.refuse_nested(table, table.frame[name])
    if not accepts_strings:
        _refuse_text(table, names, declared, for_text)
    ready = features.plain(table, names)
    converted: dict[str, Series] = {}
    dtypes: dict[str, str] = {}
    categories: dict[str, list[Any]] = {}
    for name in names:
        series = table.frame[name]
        dtypes[name] = columns.type_name(series)
        if name in declared:
            converted[name] = features.as_category(table, series)
            categories[name] = converted[name].cat.categories.tolist()
            if isinstance(categories[name][0], str):
                dtypes[name] = "str"
        elif name not in ready:
            converted[name] = _feature(table, series, accepts_strings=accepts_strings, warn=warn)
    x = features.assemble(table, names, converted)
    features.check(table, x, accepts_missing=accepts_missing, warn=warn, solution=for_missing)
    if target_column is not None:
        dtypes[target_column] = columns.type_name(table.frame[target_column])
    return TableData(
        X=x,
        y=y,
        weight=None if weight_column is None else roles.weights(table, weight_column),
        groups=None if group_column is None else roles.groups(table, group_column),
        schema=Schema(names, dtypes, categories, target_column, weight_column, group_column),
        table=table,
    )


def _feature(table: Table, series: Series, *, accepts_strings: bool, warn: Warn) -> Series:
    """A feature that is neither categorical nor plain numbers, as the algorithm gets it."""
    what = columns.kind(series)
    if what in ("text", "date") and accepts_strings:
        error, count = columns.mixed(table, series) if what == "text" else (None, 0)
        if error is not None:
            warn(
                f"column '{series.name}' of '{table.path}' holds numbers and {count} other values; "
                "it was taken as text"
            )
        return series
    return series if what == "empty" and accepts_strings else columns.numbers(series)


def _refuse_text(
    table: Table, names: Sequence[str], declared: Sequence[str], solution: str
) -> None:
    text: list[str] = []
    ready = features.plain(table, names)
    for name in names:
        if name in ready:
            continue
        series = table.frame[name]
        what = columns.kind(series)
        if name in declared or what not in ("text", "date"):
            continue
        if what == "text":
            error, _ = columns.mixed(table, series)
            if error is not None:
                raise error
        text.append(name)
    if not text:
        return
    shown = "; ".join(f"'{n}' ({columns.examples(table.frame[n])})" for n in text[:8])
    more = f"; and {len(text) - 8} more" if len(text) > 8 else ""
    raise errors.InvalidConfiguration(
        f"{'a feature column' if len(text) == 1 else f'{len(text)} feature columns'} of "
        f"'{table.path}' {'holds' if len(text) == 1 else 'hold'} text, not numbers: {shown}{more}",
        solution=solution,
        metadata={
            "key": "featureColumns",
            "file": str(table.path),
            "columns": text[:50],
            "count": len(text),
        },
    )


def _warn_of_roles(
    table: Table,
    names: Sequence[str],
    chosen: Sequence[str] | None,
    weight: str | None,
    group: str | None,
    warn: Warn,
) -> None:
    for key, name in (("sampleWeightColumn", weight), ("groupColumn", group)):
        if name is not None and name in names:
            warn(f"'{name}' is a feature and {key}, as was asked")
    if chosen is None:
        unnamed = [name for name in names if name.startswith("Unnamed: ")]
        if unnamed:
            warn(
                f"column {some(unnamed, 3)} of '{table.path}' has no name in the header (often row "
                "numbers); it is used as a feature. Send featureColumns to leave it out."
            )
