"""Scaling of a table's features, equal to scikit-learn's scalers, without needing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# A spread below this is that of a constant column, as scikit-learn has it.
_NO_SPREAD = 10 * float(np.finfo(np.float64).eps)

METHODS = ("standard", "minmax", "robust", "maxabs")


@dataclass(frozen=True)
class Scaling:
    """(x - offset) / scale, by column.

    Attributes:
        method: ``"standard"`` (mean, population standard deviation), ``"minmax"`` (to 0..1),
            ``"robust"`` (median, interquartile range) or ``"maxabs"``.
        offset: (features,) float64.
        scale: (features,) float64; 1 for a constant column.
    """

    method: str
    offset: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, method: str, x: np.ndarray) -> Scaling:
        """Learns offset and scale of the training rows.

        Args:
            method: one of ``METHODS``.
            x: (rows, features) finite float64.
        """
        if method == "standard":
            offset, scale = _standard(x)
        elif method == "minmax":
            offset = x.min(axis=0)
            scale = _or_one(x.max(axis=0) - offset)
        elif method == "robust":
            offset = np.median(x, axis=0)
            low, high = np.percentile(x, (25.0, 75.0), axis=0)
            scale = _or_one(high - low)
        elif method == "maxabs":
            offset = np.zeros(x.shape[1])
            scale = _or_one(np.abs(x).max(axis=0))
        else:
            raise ValueError(f"no scaling method {method!r}")
        return cls(method, offset, scale)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """(rows, features) scaled, float64."""
        return (x - self.offset) / self.scale

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, exact."""
        return {
            "method": self.method,
            "offset": self.offset.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Scaling:
        """The inverse of ``to_json``. Raises ``KeyError`` where a part is missing."""
        return cls(
            value["method"],
            np.asarray(value["offset"], dtype=np.float64),
            np.asarray(value["scale"], dtype=np.float64),
        )


def _standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = x.mean(axis=0)
    variance = x.var(axis=0)
    # What rounding leaves of a constant column is no spread.
    eps = float(np.finfo(np.float64).eps)
    bound = len(x) * eps * variance + (len(x) * mean * eps) ** 2
    return mean, np.where(variance <= bound, 1.0, np.sqrt(variance))


def _or_one(spread: np.ndarray) -> np.ndarray:
    return np.where(spread < _NO_SPREAD, 1.0, spread)
