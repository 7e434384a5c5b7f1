"""Where the pixels of an image go: flips, turns, crops. Images are (height, width, channels)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_runner.data.augmentation.arguments import argument
from ml_runner.data.samples import decoding

Span = tuple[float, float]


@dataclass(frozen=True)
class HorizontalFlip:
    """Left becomes right."""

    probability: float = argument(0.5, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, mirrored."""
        return pixels[:, ::-1]


@dataclass(frozen=True)
class VerticalFlip:
    """Above becomes below."""

    probability: float = argument(0.5, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, mirrored."""
        return pixels[::-1]


@dataclass(frozen=True)
class Rotate:
    """Turned about its centre; what comes in from outside is ``fill``.

    Attributes:
        degrees: counter-clockwise.
    """

    degrees: Span = argument((-15.0, 15.0), -360, 360, span=True)
    fill: float = argument(0, 0, 255)
    probability: float = argument(1.0, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, turned by an angle drawn from ``degrees``."""
        return _moved(pixels, draw.uniform(*self.degrees), fill=self.fill)


@dataclass(frozen=True)
class Affine:
    """Turned, moved, scaled and sheared about its centre.

    Attributes:
        degrees: counter-clockwise.
        translate: most that it moves, as a share of its width and height.
        scale: factor of its size.
        shear: degrees of the angle by which vertical lines lean.
    """

    degrees: Span = argument((-10.0, 10.0), -360, 360, span=True)
    translate: float = argument(0.1, 0, 1)
    scale: Span = argument((0.9, 1.1), 0.05, 20, span=True)
    shear: Span = argument((0.0, 0.0), -89, 89, span=True)
    fill: float = argument(0, 0, 255)
    probability: float = argument(1.0, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, moved by values drawn from each span."""
        height, width = pixels.shape[:2]
        angle = draw.uniform(*self.degrees)
        across, down = draw.uniform(-self.translate, self.translate, 2)
        scale, shear = draw.uniform(*self.scale), draw.uniform(*self.shear)
        return _moved(
            pixels, angle, scale=scale, shear=shear, move=(across * width, down * height),
            fill=self.fill,
        )  # fmt: skip


@dataclass(frozen=True)
class Crop:
    """A part of the image, brought to its whole size.

    Attributes:
        scale: share of its area.
        ratio: width to height of the part, in terms of the image's own.
        padding: where it is above 0: instead of that, the image with so many pixels of ``fill``
            around it, of which a part of its own size is cut.
    """

    scale: Span = argument((0.8, 1.0), 0.01, 1, span=True)
    ratio: Span = argument((0.75, 4 / 3), 0.1, 10, span=True)
    padding: int = argument(0, 0, 4096)
    fill: float = argument(0, 0, 255)
    probability: float = argument(1.0, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, cropped."""
        height, width = pixels.shape[:2]
        if self.padding:
            pad = int(self.padding)
            around = ((pad, pad), (pad, pad), (0, 0))
            padded = np.pad(pixels, around, constant_values=self.fill)
            top, left = draw.integers(0, 2 * pad, 2, endpoint=True)
            return padded[top : top + height, left : left + width]
        area = draw.uniform(*self.scale)
        ratio = math.exp(draw.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
        across = min(1.0, math.sqrt(area * ratio)) * width
        down = min(1.0, math.sqrt(area / ratio)) * height
        left, top = draw.uniform(0, width - across), draw.uniform(0, height - down)
        box = (left, top, left + across, top + down)
        resampling = decoding.pillow().Resampling.BILINEAR
        return _each(pixels, lambda image: image.resize((width, height), resampling, box=box))


def _moved(
    pixels: np.ndarray,
    degrees: float,
    *,
    scale: float = 1.0,
    shear: float = 0.0,
    move: tuple[float, float] = (0.0, 0.0),
    fill: float,
) -> np.ndarray:
    """Turned, sheared and scaled about the centre, then moved (pixels to the right, downwards)."""
    height, width = pixels.shape[:2]
    # Where each pixel of the result comes from: the inverse of the way there.
    turn, lean = math.radians(degrees), math.tan(math.radians(shear))
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
    a, b = cos - lean * sin, -sin - lean * cos
    d, e = sin, cos
    x, y = (width - 1) / 2 + 0.5, (height - 1) / 2 + 0.5
    c = x - a * (x + move[0]) - b * (y + move[1])
    f = y - d * (x + move[0]) - e * (y + move[1])
    pillow = decoding.pillow()

    def transformed(image: Any) -> Any:
        bands = len(image.getbands())
        value = fill if image.mode == "F" else round(fill)
        return image.transform(
            (width, height),
            pillow.Transform.AFFINE,
            (a, b, c, d, e, f),
            resample=pillow.Resampling.BILINEAR,
            fillcolor=value if bands == 1 else (value,) * bands,
        )

    return _each(pixels, transformed)


def _each(pixels: np.ndarray, change: Any) -> np.ndarray:
    """A change of Pillow's images, of one of 8 bits at once and of others channel by channel."""
    pillow = decoding.pillow()
    pixels = np.ascontiguousarray(pixels)
    channels = pixels.shape[2]
    if pixels.dtype == np.uint8 and channels in (1, 3):
        image = pillow.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        return np.asarray(change(image)).reshape(pixels.shape)
    bands = [
        np.asarray(change(pillow.fromarray(pixels[:, :, band].astype(np.float32))))
        for band in range(channels)
    ]
    return np.stack(bands, axis=2)
