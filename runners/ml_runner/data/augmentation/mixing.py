"""Samples of a batch mixed with one another; channels before or behind height and width."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml_runner.data.augmentation.arguments import argument


@dataclass(frozen=True)
class Mixup:
    """Each sample is a weighted mean of itself and another one, and so is its target.

    Attributes:
        alpha: of the beta distribution that the weight is drawn from.
    """

    alpha: float = argument(0.2, 0.001, 1000)
    probability: float = argument(1.0, 0, 1)

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, draw: np.random.Generator, axes: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """The batch, mixed; targets are floats already."""
        share = np.float32(draw.beta(self.alpha, self.alpha))
        other = draw.permutation(len(inputs))
        return _mean(inputs, inputs[other], share), _mean(targets, targets[other], share)


@dataclass(frozen=True)
class Cutmix:
    """A rectangle of each sample comes from another one; targets are mixed by its area.

    Attributes:
        alpha: of the beta distribution that the area is drawn from.
    """

    alpha: float = argument(1.0, 0.001, 1000)
    probability: float = argument(1.0, 0, 1)

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, draw: np.random.Generator, axes: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """The batch, mixed; ``axes`` are those of height and width."""
        height, width = inputs.shape[axes]
        side = math.sqrt(1 - draw.beta(self.alpha, self.alpha))
        middle = draw.integers(0, height), draw.integers(0, width)
        down, across = (
            slice(max(0, round(at - side * most / 2)), min(most, round(at + side * most / 2)))
            for at, most in zip(middle, (height, width), strict=True)
        )
        other = draw.permutation(len(inputs))
        place = (slice(None),) * (axes.start or 0) + (down, across)
        result = inputs.copy()
        result[place] = inputs[other][place]
        cut = (down.stop - down.start) * (across.stop - across.start) / (height * width)
        return result, _mean(targets, targets[other], np.float32(1 - cut))


def _mean(first: np.ndarray, second: np.ndarray, share: np.float32) -> np.ndarray:
    return first * share + second * (np.float32(1) - share)
