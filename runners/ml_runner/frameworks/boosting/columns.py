"""Tables as the boosting libraries take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml_runner.training import targets


def encode(target: Any, classes: list[Any]) -> np.ndarray:
    """(n,) positions of the labels among ``classes``, as floats.

    Raises:
        DataLoadingError: a label that is not among them.
    """
    values = target.to_numpy()
    if values.dtype == object:
        values = np.asarray(values.tolist())
    targets.refuse_unseen(np.unique(values).tolist(), classes, str(target.name), "these rows")
    return np.searchsorted(np.asarray(classes), values).astype(np.float32)


def safe_names(X: Any, forbidden: str) -> tuple[Any, dict[str, str]]:
    """X with column names that the library takes, and which were changed (old → new).

    Args:
        X: DataFrame.
        forbidden: characters that a name must not have; each becomes ``_``.
    """
    if not any(character in str(name) for name in X.columns for character in forbidden):
        return X, {}
    table = str.maketrans(dict.fromkeys(forbidden, "_"))
    taken: set[str] = set()
    names: list[str] = []
    for name in map(str, X.columns):
        new, number = name.translate(table), 2
        while new in taken:
            new, number = f"{name.translate(table)}_{number}", number + 1
        taken.add(new)
        names.append(new)
    changed = {str(old): new for old, new in zip(X.columns, names, strict=True) if str(old) != new}
    return X.set_axis(names, axis=1), changed
