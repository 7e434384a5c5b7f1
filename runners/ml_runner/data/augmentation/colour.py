"""What the pixels of an image are: brightness, contrast, saturation, noise, blur, erasing.

Values go from 0 to 255, whatever their type; what is computed of them are 32-bit floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml_runner.data.augmentation.arguments import argument

Span = tuple[float, float]
WHITE = 255.0
# Of ITU-R 601, as Pillow makes grey of colours.
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Brightness:
    """All values times a factor from 1 - strength to 1 + strength."""

    strength: float = argument(0.2, 0, 1)
    probability: float = argument(1.0, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, lighter or darker."""
        return _bright(pixels, _factor(self.strength, draw))


@dataclass(frozen=True)
class Contrast:
    """Distances from the mean of the grey values times a factor of 1 ± strength."""

    strength: float = argument(0.2, 0, 1)
    probability: float = argument(1.0, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, with more or less contrast."""
        return _contrasting(pixels, _factor(self.strength, draw))


@dataclass(frozen=True)
class Saturation:
    """Distances from grey times a factor of 1 ± strength; for images in colours."""

    strength: float = argument(0.2, 0, 1)
    probability: float = argument(1.0, 0, 1)
    needs_colours = True

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, with more or less colour."""
        return _saturated(pixels, _factor(self.strength, draw))


@dataclass(frozen=True)
class Colour:
    """Brightness, contrast and saturation, in this order."""

    brightness: float = argument(0.2, 0, 1)
    contrast: float = argument(0.2, 0, 1)
    saturation: float = argument(0.2, 0, 1)
    probability: float = argument(1.0, 0, 1)

    @property
    def needs_colours(self) -> bool:
        """Whether it does anything that grey images do not have."""
        return self.saturation > 0

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, in other colours."""
        bright, contrast, colour = (
            _factor(strength, draw)
            for strength in (self.brightness, self.contrast, self.saturation)
        )
        return _saturated(_contrasting(_bright(pixels, bright), contrast), colour)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise.

    Attributes:
        std: its standard deviation, as a share of white.
    """

    std: float = argument(0.05, 0, 1)
    probability: float = argument(1.0, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image with noise of its own in each value."""
        noise = draw.standard_normal(pixels.shape, dtype=np.float32)
        return _bounded(pixels + noise * np.float32(self.std * WHITE))


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur.

    Attributes:
        sigma: its standard deviation in pixels.
    """

    sigma: Span = argument((0.1, 2.0), 0.01, 100, span=True)
    probability: float = argument(0.5, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image, blurred; edges are mirrored."""
        sigma = draw.uniform(*self.sigma)
        reach = min(math.ceil(3 * sigma), *(side - 1 for side in pixels.shape[:2]))
        weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
        weights = (weights / weights.sum()).astype(np.float32)
        values = pixels.astype(np.float32)
        for axis in (0, 1):
            around = [(0, 0)] * 3
            around[axis] = (reach, reach)
            padded = np.pad(values, around, mode="reflect")
            length = values.shape[axis]
            values = np.zeros_like(values)
            for start, weight in enumerate(weights):
                values += weight * np.take(padded, range(start, start + length), axis)
        return values


@dataclass(frozen=True)
class Erasing:
    """A rectangle of one value over a part of the image.

    Attributes:
        scale: share of its area.
        ratio: width to height of the rectangle.
        fill: its value.
    """

    scale: Span = argument((0.02, 0.33), 0.001, 1, span=True)
    ratio: Span = argument((0.3, 3.3), 0.05, 20, span=True)
    fill: float = argument(0, 0, 255)
    probability: float = argument(0.5, 0, 1)

    def __call__(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The image with a rectangle erased."""
        height, width = pixels.shape[:2]
        area = draw.uniform(*self.scale) * height * width
        ratio = math.exp(draw.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
        across = min(width, max(1, round(math.sqrt(area * ratio))))
        down = min(height, max(1, round(math.sqrt(area / ratio))))
        top = draw.integers(0, height - down, endpoint=True)
        left = draw.integers(0, width - across, endpoint=True)
        result = pixels.copy()
        result[top : top + down, left : left + across] = self.fill
        return result


def _factor(strength: float, draw: np.random.Generator) -> np.float32:
    return np.float32(draw.uniform(1 - strength, 1 + strength))


def _bright(pixels: np.ndarray, factor: np.float32) -> np.ndarray:
    return _bounded(pixels * factor)


def _contrasting(pixels: np.ndarray, factor: np.float32) -> np.ndarray:
    mean = _grey(pixels).mean(dtype=np.float32)
    return _bounded((pixels - mean) * factor + mean)


def _saturated(pixels: np.ndarray, factor: np.float32) -> np.ndarray:
    if pixels.shape[2] == 1:
        return pixels
    grey = _grey(pixels)[:, :, None]
    return _bounded((pixels - grey) * factor + grey)


def _grey(pixels: np.ndarray) -> np.ndarray:
    values = pixels.astype(np.float32)
    return values @ _GREY if pixels.shape[2] == 3 else values.mean(axis=2)


def _bounded(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, WHITE).astype(np.float32)
