"""Whether a target can be learned: labels or numbers, and enough of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import errors

if TYPE_CHECKING:
    import pandas as pd

    from ml_runner.data import TableData

# More distinct whole numbers than this, and more than a tenth of the rows, are hardly classes.
_MOST_CLASSES = 100


def labels(data: TableData, algorithm: str) -> list[Any]:
    """The distinct labels of the target, sorted, as plain Python values.

    Raises:
        InvalidConfiguration: the target holds numbers with fractions.
        DataLoadingError: it holds one class only.
    """
    assert data.y is not None
    values = data.y.to_numpy()
    name = str(data.y.name)
    if np.issubdtype(values.dtype, np.floating) and not np.all(values == np.floor(values)):
        sample = [float(value) for value in values[values != np.floor(values)][:3]]
        raise errors.InvalidConfiguration(
            f"{algorithm} predicts classes, and the target '{name}' holds numbers such as"
            f" {', '.join(f'{value:g}' for value in sample)}",
            solution="Use a regressor, or another targetColumn.",
            metadata={"key": "config.algorithm", "sent": algorithm, "targetColumn": name},
        )
    if values.dtype == object:
        values = np.asarray(values.tolist())
    found = np.unique(values).tolist()
    if len(found) < 2:
        raise errors.DataLoadingError(
            f"The target '{name}' of '{data.table.path}' holds one class only: {found[0]!r} in all"
            f" {len(values)} rows",
            solution="Give data with at least two classes, or another targetColumn.",
            metadata={
                "file": str(data.table.path),
                "column": name,
                "classes": found,
                "rows": len(values),
            },
        )
    return found


def is_many_valued(target: pd.Series, classes: list[Any]) -> bool:
    """Whether whole numbers look like amounts rather than classes."""
    numeric = np.issubdtype(target.to_numpy().dtype, np.number)
    return numeric and len(classes) > _MOST_CLASSES and len(classes) * 10 > len(target)


def holds_labels(target: pd.Series) -> bool:
    """Whether the target's values are strings or booleans."""
    values = target.to_numpy()
    return not np.issubdtype(values.dtype, np.number)


def require_numbers(target: pd.Series, algorithm: str) -> None:
    """Raises ``InvalidConfiguration`` where the target of a regression holds labels."""
    if not holds_labels(target):
        return
    sample = ", ".join(repr(value) for value in list(dict.fromkeys(target.tolist()))[:3])
    raise errors.InvalidConfiguration(
        f"{algorithm} predicts numbers, and the target '{target.name}' holds labels: {sample}, …",
        solution="Use a classifier, or another targetColumn.",
        metadata={
            "key": "config.algorithm",
            "sent": algorithm,
            "targetColumn": str(target.name),
        },
    )


def refuse_unseen(found: list[Any], known: list[Any], column: str, where: str) -> None:
    """Raises ``DataLoadingError`` where ``found`` holds labels that are not in ``known``."""
    unseen = [label for label in found if label not in set(known)]
    if not unseen:
        return
    raise errors.DataLoadingError(
        f"The target '{column}' of {where} holds labels that the model does not know:"
        f" {', '.join(map(repr, unseen[:10]))}",
        solution=f"It knows {', '.join(map(repr, known[:20]))}. Leave those rows out, mend the"
        " labels, or train on data that has them.",
        metadata={"column": column, "unknown": unseen[:50], "classes": known[:50]},
    )
