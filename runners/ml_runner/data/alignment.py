"""From a later table to what a trained model expects: columns by name, categories by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ml_runner import errors, libraries
from ml_runner.data import columns, features, roles
from ml_runner.data.choose import near
from ml_runner.data.schema import Schema, TableData
from ml_runner.data.source import fault, some
from ml_runner.data.table import Table

if TYPE_CHECKING:
    from pandas import Series

Warn = Callable[[str], None]


def align(
    table: Table,
    schema: Schema,
    *,
    with_target: bool,
    accepts_missing: bool = True,
    warn: Warn,
) -> TableData:
    """A validation, test or prediction table in the form that the model was trained on.

    Columns are matched by name, in any order; further ones are left out. A column
    that was text in training is text here too, even if this file holds nothing but digits in it
    (``"007"`` stays so). Categories that training did not see become missing, with a warning.

    Args:
        table: as read.
        schema: of the training table.
        with_target: the target must be there, without missing values; otherwise ``y`` is ``None``.
        accepts_missing: the algorithm takes missing values; otherwise they are refused.
        warn: gets what the caller may not expect.

    Returns:
        ``X`` with exactly ``schema.features``, in that order. ``weight`` and ``groups`` where the
        table has them and ``with_target`` is true, else ``None``.

    Raises:
        DataLoadingError: missing columns (with what is there and near matches), text or infinities
            where training had numbers, missing values in the target.
        InvalidConfiguration: ``with_target`` for a model that was trained without one.
    """
    known = list(table.frame.columns)
    wanted = list(schema.features)
    if with_target:
        if schema.target is None:
            raise errors.InvalidConfiguration(
                "this model was trained without a target, so there is nothing to compare with",
                solution="Use predict.",
                metadata={"key": "targetColumn"},
            )
        wanted.append(schema.target)
    _refuse_absent(table, known, wanted, schema)
    ready = features.plain(table, schema.features)
    converted: dict[str, Series] = {}
    for name in schema.features:
        trained_as = schema.dtypes.get(name, "float64")
        if name in schema.categorical:
            converted[name] = _category(
                table,
                table.frame[name],
                schema.categorical[name],
                accepts_missing=accepts_missing,
                warn=warn,
            )
        elif name not in ready or trained_as == "str":
            converted[name] = _feature(table, table.frame[name], trained_as)
    x = features.assemble(table, schema.features, converted)
    features.check(table, x, accepts_missing=accepts_missing, warn=warn)
    y = weight = groups = None
    if with_target and schema.target is not None:
        y = _target(table, schema.target, schema.dtypes.get(schema.target))
        if schema.weight is not None and schema.weight in known:
            weight = roles.weights(table, schema.weight)
        elif schema.weight is not None:
            warn(f"'{table.path}' has no column '{schema.weight}': its rows weigh the same")
        if schema.group is not None and schema.group in known:
            groups = roles.groups(table, schema.group)
    return TableData(X=x, y=y, weight=weight, groups=groups, schema=schema, table=table)


def _feature(table: Table, series: Series, trained_as: str) -> Series:
    what = columns.kind(series)
    if trained_as == "str":
        return _as_text(table, series)
    if what == "nested":
        raise _wrong_type(table, series, "numbers")
    if what in ("text", "date"):
        if trained_as.startswith(("datetime", "timedelta", "object", "period")):
            return series
        error, _ = columns.mixed(table, series) if what == "text" else (None, 0)
        raise error or _wrong_type(table, series, "numbers")
    return columns.numbers(series)


def _category(
    table: Table, series: Series, categories: Sequence[Any], *, accepts_missing: bool, warn: Warn
) -> Series:
    pandas = libraries.need("pandas", "pandas")
    dtype = pandas.CategoricalDtype(list(categories))
    values = features.plain_categories(table, series)
    if all(isinstance(value, str) for value in categories):
        values = _as_text(table, values if columns.kind(series) == "date" else series)
    elif columns.kind(series) == "text":
        values = pandas.to_numeric(values.astype(object), errors="coerce")
    codes = dtype.categories.get_indexer(values)
    unseen = (codes < 0) & series.notna().to_numpy()
    result = pandas.Series(
        pandas.Categorical.from_codes(codes, dtype=dtype), index=series.index, name=series.name
    )
    if not unseen.any():
        return result
    strange = series.loc[unseen]
    shown = f"{columns.examples(strange)}{', …' if strange.nunique() > 3 else ''}"
    what = (
        f"{len(strange)} of {len(series)} rows of '{table.path}' have a category in "
        f"'{series.name}' that training did not see ({shown})"
    )
    if not accepts_missing:
        words, place = table.locate(int(unseen.argmax()))
        raise fault(
            table.path,
            f"{what}, first in {words}",
            solution="Leave these rows out, or train on data that has these categories.",
            column=series.name,
            count=len(strange),
            **place,
        )
    warn(f"{what}: taken as missing")
    return result


def _as_text(table: Table, series: Series) -> Series:
    """A column that training had as text: read again from the file where it looks otherwise now."""
    if columns.kind(series) == "text":
        return columns.as_text(series)
    if columns.kind(series) == "nested":
        raise _wrong_type(table, series, "text")
    return table.text_of(str(series.name))


def _target(table: Table, name: str, trained_as: str | None) -> Series:
    series = roles.target(table, name)
    if trained_as == "str":
        return _as_text(table, series)
    return series


def _refuse_absent(
    table: Table, known: Sequence[str], wanted: Sequence[str], schema: Schema
) -> None:
    present = set(known)
    absent = [name for name in wanted if name not in present]
    if not absent:
        return
    guesses = {name: meant for name in absent if (meant := near(name, known)) is not None}
    hints = [f"'{meant}' is there; '{name}' is expected." for name, meant in guesses.items()][:3]
    if not table.header:
        hints.append("The table was read without a header line (header: false).")
    what = "target" if absent == [schema.target] else "columns"
    raise fault(
        table.path,
        f"'{table.path}' lacks {what} that the model was trained with: {some(absent, 20)}; "
        f"it has {some(list(known), 30)}",
        solution=" ".join(["Add them, by these names, in any order.", *hints]),
        columns=absent[:50],
        found=list(known)[:50],
        **({"nearest": dict(list(guesses.items())[:20])} if guesses else {}),
    )


def _wrong_type(table: Table, series: Series, expected: str) -> errors.DataLoadingError:
    row = int(series.notna().to_numpy().argmax())
    words, place = table.locate(row)
    return fault(
        table.path,
        f"column '{series.name}' of '{table.path}' held {expected} in training and does not here: "
        f"{columns.examples(series)}, first in {words}",
        solution=f"Mend the column: the model takes {expected} there.",
        column=series.name,
        **place,
    )
