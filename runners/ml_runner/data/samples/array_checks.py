"""Whether arrays can be samples and targets; each fault named with file, array, shape and place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml_runner.data.source import fault

# Infinities are looked for in pieces of so many values, so that no copy of a large array is made.
_PIECE_VALUES = 1 << 22


def check_arrays(inputs: np.ndarray, targets: np.ndarray | None, source: Path, key: str) -> None:
    """Raises ``DataLoadingError`` for arrays that cannot be samples and their targets."""
    form = f"array '{key}' of '{source}' has shape {inputs.shape} and type {inputs.dtype}"
    facts = {"array": key, "shape": list(inputs.shape), "dtype": str(inputs.dtype)}
    if inputs.dtype.kind not in "iufb":
        raise fault(
            source,
            f"{form}; a network takes numbers",
            solution="Save it as numbers: array.astype('float32').",
            **facts,
        )
    if inputs.ndim < 2:
        raise fault(
            source,
            f"{form}; inputs have the samples in the first dimension and one more at least",
            solution="Reshape it to (samples, features).",
            **facts,
        )
    if 0 in inputs.shape:
        raise fault(source, f"{form}: it is empty", solution="Write samples into it.", **facts)
    if inputs.dtype == np.uint64 and int(inputs.max()) > np.iinfo(np.int64).max:
        raise fault(
            source,
            f"{form} and holds {int(inputs.max())}, too large for int64",
            solution="Save it as float32, or smaller numbers.",
            **facts,
        )
    if targets is None:
        return
    if targets.ndim not in (1, 2) or len(targets) != len(inputs):
        raise fault(
            source,
            f"{form}, and its targets have shape {targets.shape}: one row for each of the"
            f" {len(inputs)} samples is expected",
            solution="Save inputs and targets of the same samples; targets are (n,) or (n, k).",
            **facts,
            targetShape=list(targets.shape),
        )


def refuse_not_finite(
    inputs: np.ndarray, source: Path, key: str, *, rows: np.ndarray | None = None
) -> None:
    """Refuses NaN, infinities, and values too large for float32.

    Raises:
        DataLoadingError: names the first position.
    """
    if inputs.dtype.kind != "f":
        return
    count = len(inputs) if rows is None else len(rows)
    step = max(1, _PIECE_VALUES // max(1, int(np.prod(inputs.shape[1:]))))
    for start in range(0, count, step):
        chosen = slice(start, start + step) if rows is None else rows[start : start + step]
        values = np.asarray(inputs[chosen])
        with np.errstate(over="ignore"):
            single = values.astype(np.float32, copy=False)
        if sums_finite(single):
            continue
        bad = ~np.isfinite(single)
        if not bad.any():
            continue
        first = [int(place) for place in np.argwhere(bad)[0]]
        value = values[tuple(first)]
        position = [start + first[0] if rows is None else int(rows[start + first[0]]), *first[1:]]
        what = "NaN" if np.isnan(value) else "infinite" if np.isinf(value) else f"{value:g}"
        raise fault(
            source,
            f"array '{key}' of '{source}' has shape {inputs.shape} and is {what} at"
            f" {position}" + (", too large for float32" if np.isfinite(value) else ""),
            solution="Put finite numbers there, or leave these samples out.",
            array=key,
            position=position,
            shape=list(inputs.shape),
        )


def sums_finite(values: np.ndarray) -> bool:
    """Whether all values are finite; False may also mean that their sum overflows."""
    # A sum is finite unless a value is not (or it overflows, which a second look tells).
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum(dtype=np.float64)))
