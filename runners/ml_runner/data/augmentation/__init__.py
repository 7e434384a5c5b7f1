"""Augmentation: samples changed at random, so that a model sees more than there are.

Nothing here draws from a shared generator: the same seed gives the same change, whoever asks.
"""

from ml_runner.data.augmentation.augmentation import KEY, Augmentation
from ml_runner.data.augmentation.images import augmented_batch

__all__ = ["KEY", "Augmentation", "augmented_batch"]
