"""What a table looks like to a model: its columns, their types, their categories."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from ml_runner.data.table import Table


@dataclass(frozen=True)
class Schema:
    """What a saved model remembers of the table that it was trained on.

    Attributes:
        features: columns of X, in order.
        dtypes: the type in the file of each feature and of the target, by column: ``"int64"``,
            ``"float64"``, ``"bool"`` (0/1 in X), ``"str"``, …; of a categorical column, the type of
            its categories.
        categorical: the sorted categories seen in training, by column.
        target: column of y, or ``None``.
        weight: column of the sample weights, or ``None``.
        group: column of the groups for cross-validation, or ``None``.
    """

    features: list[str]
    dtypes: dict[str, str]
    categorical: dict[str, list[Any]] = field(default_factory=dict)
    target: str | None = None
    weight: str | None = None
    group: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "features": list(self.features),
            "dtypes": dict(self.dtypes),
            "categorical": {name: list(values) for name, values in self.categorical.items()},
            "target": self.target,
            "weight": self.weight,
            "group": self.group,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Schema:
        """The inverse of ``to_json``. Raises ``KeyError`` where a part is missing."""
        return cls(
            features=list(value["features"]),
            dtypes=dict(value["dtypes"]),
            categorical={name: list(values) for name, values in value["categorical"].items()},
            target=value["target"],
            weight=value["weight"],
            group=value["group"],
        )


@dataclass
class TableData:
    """A table as an algorithm takes it.

    Attributes:
        X: shape (rows, features); numbers, pandas categories, or (where the caller takes strings)
            text. Indexed 0 to rows-1.
        y: the original labels or numbers, shape (rows,); ``None`` without a target.
        weight: sample weights, finite and not negative, shape (rows,); or ``None``.
        groups: shape (rows,); or ``None``.
        schema: what to remember for later tables.
        table: where it came from.
    """

    X: DataFrame
    y: Series | None
    weight: Series | None
    groups: Series | None
    schema: Schema
    table: Table
