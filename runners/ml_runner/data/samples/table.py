"""The rows of a table as samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import errors, files
from ml_runner.data.samples.array_checks import refuse_not_finite
from ml_runner.data.samples.arrays import ArrayOptions, ArraySamples
from ml_runner.data.samples.base import Positions, digest
from ml_runner.data.samples.scaling import Scaling
from ml_runner.data.source import some

if TYPE_CHECKING:
    from pandas import Series

    from ml_runner.data import Schema, TableData

FOR_TEXT = (
    "Leave them out of config.featureColumns, or turn them into numbers first: a network takes"
    " numbers alone."
)
FOR_MISSING = (
    "Fill them in, drop the rows, or leave these columns out of config.featureColumns: a network"
    " takes no missing values."
)


class TableSamples(ArraySamples):
    """A table's rows as ``Samples``: (features,) float32 each.

    Args:
        matrix: (rows, features) finite: float64 as long as it may still be scaled, else float32.
        data: where it came from; target and weights are taken from it.
        scaling: what ``matrix`` was scaled with.

    Attributes:
        schema: of the columns, for later tables.
        weights: (n,) float32 sample weights, or None.
    """

    kind = "table"

    def __init__(self, matrix: np.ndarray, data: TableData, scaling: Scaling | None) -> None:
        super().__init__(
            matrix,
            None if data.y is None else plain_array(data.y),
            source=data.table.path,
            key="table",
            options=ArrayOptions("float32"),
            checked=True,
        )
        self.schema: Schema = data.schema
        self.scaling = scaling
        self.weights: np.ndarray | None = (
            None if data.weight is None else data.weight.to_numpy().astype(np.float32)
        )

    @classmethod
    def of(cls, data: TableData, *, scaling: Scaling | None = None, double: bool = False) -> Any:
        """Samples of a table, scaled as was learned from another one.

        Args:
            data: as ``data.select`` or ``data.align`` give it.
            scaling: to apply.
            double: keep float64, for ``scaled`` to learn from.

        Raises:
            InvalidConfiguration: columns of categories.
            DataLoadingError: missing values, or too large ones for float32.
        """
        categories = [
            str(name) for name, dtype in data.X.dtypes.items() if str(dtype) == "category"
        ]
        if categories:
            raise errors.InvalidConfiguration(
                f"categorical names {some(categories, 5)}: a network takes numbers alone",
                solution="Leave config.categorical out and turn the columns into numbers first,"
                " such as one column of 0 and 1 for each category.",
                metadata={"key": "config.categorical", "sent": categories[:50]},
            )
        matrix = data.X.to_numpy(dtype=np.float64)
        if scaling is not None:
            matrix = scaling.apply(matrix)
        _check(matrix, data)
        if scaling is not None or not double:
            matrix = np.ascontiguousarray(matrix, dtype=np.float32)
        return cls(matrix, data, scaling)

    @property
    def spec(self) -> dict[str, Any]:  # noqa: D102
        return {
            "kind": self.kind,
            "schema": self.schema.to_json(),
            "scaling": None if self.scaling is None else self.scaling.to_json(),
        }

    def take(self, positions: Positions) -> TableSamples:
        """Those rows alone, in that order."""
        taken = super().take(positions)
        assert isinstance(taken, TableSamples)
        chosen = np.asarray(positions, dtype=np.intp)
        taken.weights = None if self.weights is None else self.weights[chosen]
        return taken

    def fit_scaling(self, method: str) -> Scaling:
        """Learns a scaling from these rows. Needs samples made with ``double``."""
        assert self._inputs.dtype == np.float64
        return Scaling.fit(method, self._rows_of_matrix())

    def scaled(self, scaling: Scaling) -> TableSamples:
        """The same rows, scaled. Needs samples made with ``double``."""
        assert self._inputs.dtype == np.float64
        result = self.take(np.arange(len(self)))
        values = scaling.apply(self._rows_of_matrix())
        result._inputs = np.ascontiguousarray(values, dtype=np.float32)
        result._rows = None
        result._origin = self._origin_rows()
        result.scaling = scaling
        refuse_not_finite(result._inputs, self.source, self._key)
        return result

    def fingerprint(self) -> str:
        """Of the file (its size, beginning and end), the columns, the scaling and the rows."""
        return digest(
            files.fingerprint(self.source), repr(self.spec), self._origin_rows().astype(np.int64)
        )

    # Positions in the table of the rows of a matrix that no longer has all of them.
    _origin: np.ndarray | None = None

    def _origin_rows(self) -> np.ndarray:
        rows = np.arange(len(self._inputs)) if self._rows is None else self._rows
        return rows if self._origin is None else self._origin[rows]

    def _rows_of_matrix(self) -> np.ndarray:
        return self._inputs if self._rows is None else self._inputs[self._rows]


def refuse_categories(config: Mapping[str, Any]) -> None:
    """Raises ``InvalidConfiguration`` where ``categorical`` is sent."""
    if config.get("categorical"):
        raise errors.InvalidConfiguration(
            "a network takes no columns of categories",
            solution="Leave config.categorical out and turn the columns into numbers first, such as"
            " one column of 0 and 1 for each category.",
            metadata={"key": "config.categorical", "sent": config["categorical"]},
        )


def plain_array(series: Series) -> np.ndarray:
    """(n,) the values in a NumPy type: text as fixed-width text, which compares fast."""
    values = series.to_numpy()
    return np.asarray(values.tolist()) if values.dtype == object else values


def _check(matrix: np.ndarray, data: TableData) -> None:
    """Names the column of a value that is missing or too large."""
    with np.errstate(all="ignore"):
        single = matrix.astype(np.float32)
        if np.isfinite(single.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(single)
    if not bad.any():
        return
    row, column = (int(place) for place in np.argwhere(bad)[0])
    words, place = data.table.locate(row)
    name = str(data.X.columns[column])
    value = matrix[row, column]
    missing = bool(np.isnan(value))
    raise errors.DataLoadingError(
        f"column '{name}' of '{data.table.path}' "
        + (
            f"is missing in {words}"
            if missing
            else f"is too large for float32 in {words}: {value:g}"
        ),
        solution=FOR_MISSING
        if missing
        else "Scale the column (featureScaling), or mend the value.",
        metadata={"file": str(data.table.path), "column": name, **place},
    )
