"""What a call asks to be done at random to its samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_runner import errors
from ml_runner.data.augmentation import colour, geometry, mixing
from ml_runner.data.augmentation.arguments import checked
from ml_runner.nearest import nearest

KEY = "config.augment"

OF_IMAGES: dict[str, type] = {
    "horizontal-flip": geometry.HorizontalFlip,
    "vertical-flip": geometry.VerticalFlip,
    "rotate": geometry.Rotate,
    "crop": geometry.Crop,
    "affine": geometry.Affine,
    "colour": colour.Colour,
    "brightness": colour.Brightness,
    "contrast": colour.Contrast,
    "saturation": colour.Saturation,
    "noise": colour.Noise,
    "blur": colour.Blur,
    "erasing": colour.Erasing,
}
OF_BATCHES: dict[str, type] = {"mixup": mixing.Mixup, "cutmix": mixing.Cutmix}
_ALSO = {"flip": "horizontal-flip", "color": "colour"}
_NAMES = [*OF_IMAGES, *OF_BATCHES]


@dataclass(frozen=True)
class Augmentation:
    """Operations, in the order in which they are made.

    Attributes:
        of_images: (pixels, generator) → pixels, each with the ``probability`` that it is made.
        of_batches: of whole batches; where there are several, one of them is drawn for each batch.
        names: all of them, as the call has them.
    """

    of_images: tuple[Callable[..., np.ndarray], ...]
    of_batches: tuple[Callable[..., tuple[np.ndarray, np.ndarray]], ...]
    names: tuple[str, ...]

    @classmethod
    def from_config(cls, entries: Sequence[Any], *, colours: bool) -> Augmentation:
        """Reads ``augment``: names, or objects with a ``type`` and arguments.

        Args:
            entries: of the call.
            colours: the images are in colours.

        Raises:
            InvalidConfiguration: a name, an argument or a value that there is not, one operation
                twice, or one that grey images have nothing of.
        """
        images, batches, names = [], [], list[str]()
        for place, entry in enumerate(entries):
            key = f"{KEY}[{place}]"
            sent = {"type": entry} if isinstance(entry, str) else dict(entry)
            name = _name(sent.pop("type", None), key)
            kind = OF_IMAGES.get(name) or OF_BATCHES[name]
            values = checked(kind, name, sent, key)
            if name == "colour" and not colours:
                values.setdefault("saturation", 0)
            made = kind(**values)
            if getattr(made, "needs_colours", False) and not colours:
                raise errors.InvalidConfiguration(
                    f"'{name}' changes the saturation, and the images are read as grey",
                    solution="Leave it out, or send colorMode: rgb.",
                    metadata={"key": key, "sent": entry},
                )
            if name in names:
                raise errors.InvalidConfiguration(
                    f"augment has '{name}' twice",
                    solution="Send each operation once.",
                    metadata={"key": key, "sent": entry},
                )
            names.append(name)
            (images if name in OF_IMAGES else batches).append(made)
        return cls(tuple(images), tuple(batches), tuple(names))

    def image(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """An image, (height, width, channels) from 0 to 255, after the operations of images."""
        for operation in self.of_images:
            if draw.random() < operation.probability:  # pyright: ignore[reportFunctionMemberAccess]
                pixels = operation(pixels, draw)
        return pixels

    def batch(
        self, inputs: np.ndarray, targets: np.ndarray, draw: np.random.Generator, axes: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """A batch after one of the operations of batches.

        Args:
            inputs: (n, …).
            targets: (n, …) floats.
            draw: a generator.
            axes: those of height and width in ``inputs``.
        """
        if not self.of_batches:
            return inputs, targets
        operation = self.of_batches[draw.integers(len(self.of_batches))]
        if draw.random() >= operation.probability:  # pyright: ignore[reportFunctionMemberAccess]
            return inputs, targets
        return operation(inputs, targets, draw, axes)

    @property
    def mixes(self) -> bool:
        """Whether targets are mixed too."""
        return bool(self.of_batches)


def _name(sent: Any, key: str) -> str:
    name = _ALSO.get(str(sent), sent)
    if name in _NAMES:
        return str(name)
    near = None if sent is None else nearest(str(sent), [*_NAMES, *_ALSO])
    raise errors.InvalidConfiguration(
        "An entry of augment has no type" if sent is None else f"augment has no '{sent}'",
        solution=(f"Did you mean '{near}'? " if near else "")
        + f"There are: {', '.join(_NAMES)}; by name, or as an object with its type and arguments.",
        metadata={
            "key": key, "sent": sent, "allowed": _NAMES, **({"nearest": near} if near else {})
        },
    )  # fmt: skip
