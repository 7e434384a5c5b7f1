"""Pixel values as a network wants them: ``config.normalize``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_runner import errors

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NAMES = ("unit", "raw", "imagenet")
DEFAULT = "unit"


@dataclass(frozen=True)
class Normalisation:
    """What is done to pixel values after decoding.

    Attributes:
        name: ``"raw"`` (0 to 255 stay), ``"unit"`` (0 to 1), ``"imagenet"`` or ``"custom"``: to
            0 to 1, then ``(x - mean) / std`` by channel.
        mean: by channel, or None.
        std: by channel, or None.
    """

    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @classmethod
    def from_config(cls, value: str | Mapping[str, Any]) -> Normalisation:
        """Reads ``normalize``: a name or ``{"mean": […], "std": […]}``.

        Raises:
            InvalidConfiguration: another name, lists of different lengths, a std that is not
                above 0.
        """
        if isinstance(value, str):
            if value == "imagenet":
                return cls("imagenet", *_IMAGENET)
            if value not in NAMES:
                raise _refused(
                    f"normalize '{value}' is none of {', '.join(NAMES)}",
                    value,
                    f"Send one of {', '.join(NAMES)}, or {{mean: […], std: […]}}.",
                )
            return cls(value)
        mean, std = (tuple(map(float, value.get(key) or ())) for key in ("mean", "std"))
        if not mean or len(mean) != len(std):
            raise _refused(
                f"normalize has {len(mean)} means and {len(std)} standard deviations",
                dict(value),
                "Send one mean and one std for each channel.",
            )
        if not all(0 < one < float("inf") for one in std) or not np.isfinite(mean).all():
            raise _refused(
                f"normalize.std {list(std)} holds a value that is not above 0, or a mean is not"
                " finite",
                dict(value),
                "Send standard deviations above 0 and finite means, of pixel values from 0 to 1.",
            )
        return cls("custom", mean, std)

    def require_channels(self, channels: int, because: str) -> None:
        """Raises ``InvalidConfiguration`` where mean and std are for other channels than these."""
        if self.mean is not None and len(self.mean) != channels:
            raise _refused(
                f"normalize has {len(self.mean)} means, and the samples have {channels}"
                f" channel{'' if channels == 1 else 's'} ({because})",
                self.to_json(),
                f"Send {channels} mean and std values, or normalize: '{DEFAULT}'.",
            )

    def apply(self, pixels: np.ndarray, axis: int, white: float | None = 255.0) -> np.ndarray:
        """Pixels as float32, in steps and rounding those of the usual plain code.

        Args:
            pixels: any shape, with the channels in ``axis``.
            axis: of the channels.
            white: the greatest value a pixel can have, or None where values are 0 to 1 already.
        """
        values = pixels.astype(np.float32)
        if self.name == "raw":
            return values
        if white is not None:
            values /= np.float32(white)
        if self.mean is not None:
            shape = [1] * values.ndim
            shape[axis] = len(self.mean)
            values -= np.asarray(self.mean, dtype=np.float32).reshape(shape)
            values /= np.asarray(self.std, dtype=np.float32).reshape(shape)
        return values

    def to_json(self) -> str | dict[str, list[float]]:
        """As ``from_config`` takes it."""
        if self.name != "custom" or self.mean is None or self.std is None:
            return self.name
        return {"mean": list(self.mean), "std": list(self.std)}


def _refused(message: str, sent: Any, solution: str) -> errors.InvalidConfiguration:
    return errors.InvalidConfiguration(
        message,
        solution=solution,
        metadata={"key": "config.normalize", "sent": sent, "allowed": [*NAMES, "{mean, std}"]},
    )
