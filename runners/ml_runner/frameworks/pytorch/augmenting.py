"""Augmentation of a training's images: what a call asks for, read batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import errors
from ml_runner.data import augmentation
from ml_runner.data.samples import Samples
from ml_runner.frameworks.pytorch.reading import Batches
from ml_runner.frameworks.pytorch.targets import CLASSES, NUMBERS

if TYPE_CHECKING:
    from ml_runner.frameworks.pytorch.loss import Loss


@dataclass(frozen=True)
class Augmenting:
    """What is done at random to the samples of a training.

    Attributes:
        augmentation: the operations.
        classes: where they mix targets that are indices of so many classes.
    """

    augmentation: augmentation.Augmentation
    classes: int | None


class AugmentedBatches(Batches):
    """Images with encoded targets, augmented as the seed of each batch has it.

    Args:
        samples: the images.
        targets: (n, …) as a loss takes them.
        how: what is done to them.
    """

    def __init__(self, samples: Any, targets: np.ndarray, how: Augmenting) -> None:
        super().__init__(samples, targets)
        self._how = how

    def __getitems__(self, positions: list[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Inputs and targets of a batch."""
        assert self.targets is not None
        # The feed has seeded this generator for the batch.
        seed = np.random.randint(0, 1 << 32, 4, dtype=np.uint32)
        return augmentation.augmented_batch(
            self.samples,  # pyright: ignore[reportArgumentType]
            self.targets,
            positions,
            self._how.augmentation,
            seed,
            self._how.classes,
        )


def augmenting(
    config: Mapping[str, Any], samples: Samples | None, loss: Loss, *, own_step: bool
) -> Augmenting | None:
    """What the call's ``augment`` does to its training data; None where it says nothing.

    Args:
        config: the call's.
        samples: those of the training; None where the script brings its own.
        loss: of the training, which must take mixed targets where they are mixed.
        own_step: the script has a step of its own, which takes the place of the loss.

    Raises:
        InvalidConfiguration: an operation or argument that there is not, or that does not go with
            the data or the loss.
    """
    entries = config.get("augment")
    if not entries:
        return None
    if samples is None or samples.kind != "images":
        raise errors.InvalidConfiguration(
            "augment is for images"
            + (", and the script brings its own data sets" if samples is None else ""),
            solution="Let the data set augment its items: what it draws is seeded for each batch."
            " Or leave build_datasets out and send dataPath.",
            metadata={"key": augmentation.KEY, "sent": entries},
        )
    colours = samples.spec["colorMode"] != "grayscale"
    found = augmentation.Augmentation.from_config(entries, colours=colours)
    if not found.mixes:
        return Augmenting(found, None)
    target, known = loss.target, loss.name in ("CrossEntropyLoss", "BCEWithLogitsLoss")
    numbers = target.kind == NUMBERS and loss.kind is not None and not loss.kind.signs
    if own_step or loss.kind is None or not (known or numbers):
        name = "training_step" if own_step else loss.name
        raise errors.InvalidConfiguration(
            f"mixup and cutmix mix the targets too, and {name} does not take mixed ones",
            solution="Use lossFunction: cross_entropy or bce_with_logits (for numbers mse, l1, …),"
            " or leave them out.",
            metadata={"key": augmentation.KEY, "sent": entries, "lossFunction": name},
        )
    of_classes = target.kind == CLASSES and loss.name == "CrossEntropyLoss"
    return Augmenting(found, len(target.classes or ()) if of_classes else None)
