"""Batches of images, augmented between decoding and normalising."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_runner.data.augmentation.augmentation import Augmentation
from ml_runner.data.samples.images import ImageSamples


def augmented_batch(
    samples: ImageSamples,
    targets: np.ndarray,
    positions: Sequence[int],
    augmentation: Augmentation,
    seed: Any,
    classes: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A batch of a training: the same for the same seed, whoever reads it.

    Args:
        samples: the images.
        targets: (n, …) of all samples, as a loss takes them.
        positions: (b,) those of the batch.
        augmentation: what is done to them.
        seed: whatever ``numpy.random.default_rng`` takes.
        classes: where the targets are indices of so many classes and are to be mixed: they become
            shares of the classes, (b, classes) float32.

    Returns:
        Inputs (b, *inputs_shape) float32, and their targets.

    Raises:
        DataLoadingError: an image that cannot be read; names the file.
    """
    draw = np.random.default_rng(seed)
    inputs = np.empty((len(positions), *samples.inputs_shape), dtype=np.float32)
    for place, position in enumerate(positions):
        inputs[place] = samples.finish(augmentation.image(samples.pixels(int(position)), draw))
    chosen = targets[np.asarray(positions)]
    if not augmentation.mixes:
        return inputs, chosen
    if classes is not None:
        chosen = np.eye(classes, dtype=np.float32)[chosen]
    axes = slice(2, 4) if samples.options.channels_first else slice(1, 3)
    mixed, shares = augmentation.batch(inputs, chosen.astype(np.float32), draw, axes)
    return np.ascontiguousarray(mixed), shares
