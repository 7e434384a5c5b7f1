"""Images as samples: files decoded when a batch is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml_runner import errors
from ml_runner.data.samples import decoding
from ml_runner.data.samples.base import NoteDefault, Positions, Warn, digest
from ml_runner.data.samples.normalisation import DEFAULT, Normalisation
from ml_runner.data.source import fault, some

# So many headers are read before a training to learn the images' size.
_LOOKED_AT = 256
_LARGEST_SIDE = 16_384


@dataclass(frozen=True)
class ImageOptions:
    """How images become arrays.

    Attributes:
        size: (height, width) of every sample.
        color_mode: ``"rgb"`` or ``"grayscale"``.
        normalisation: of the pixel values.
        channels_first: (channels, height, width), else (height, width, channels).
        exact: nobody asked for this size: an image of another one is refused, not resized.
    """

    size: tuple[int, int]
    color_mode: str
    normalisation: Normalisation
    channels_first: bool
    exact: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one sample."""
        channels = decoding.MODES[self.color_mode][1]
        return (channels, *self.size) if self.channels_first else (*self.size, channels)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, by the names of the configuration."""
        return {
            "imageSize": list(self.size),
            "colorMode": self.color_mode,
            "normalize": self.normalisation.to_json(),
            "channels": "first" if self.channels_first else "last",
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ImageOptions:
        """The inverse of ``to_json``. Raises ``KeyError`` where a part is missing."""
        return cls(
            (int(value["imageSize"][0]), int(value["imageSize"][1])),
            value["colorMode"],
            Normalisation.from_config(value["normalize"]),
            value["channels"] == "first",
        )


class ImageSamples:
    """Image files as ``Samples``; see there.

    Args:
        root: absolute directory that ``names`` are relative to.
        names: (n,) files.
        targets: (n,) labels, numbers, or None.
        options: how they are decoded.
        source: what the caller named; ``root`` where left out.
    """

    kind = "images"
    in_memory = False

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        targets: np.ndarray | None,
        options: ImageOptions,
        *,
        source: Path | None = None,
    ) -> None:
        self.root = root
        self.names: Sequence[str] = names
        self.targets = targets
        self.options = options
        self.source = root if source is None else source
        self.inputs_shape: tuple[int, ...] = options.shape

    def __len__(self) -> int:
        return len(self.names)

    @property
    def spec(self) -> dict[str, Any]:  # noqa: D102
        return {"kind": self.kind, **self.options.to_json()}

    def read(self, position: int) -> np.ndarray:
        """One image, ``inputs_shape``, float32. Raises ``DataLoadingError`` naming the file."""
        return np.ascontiguousarray(self._decoded(position))

    def _decoded(self, position: int) -> np.ndarray:
        """One image in whatever memory order decoding left it: a batch copies it anyway."""
        return self.finish(self.pixels(position))

    def pixels(self, position: int) -> np.ndarray:
        """One image as it was decoded, (height, width, channels) from 0 to 255; as ``read``."""
        options = self.options
        path = self.root / self.names[position]
        values = decoding.pixels(path, options.color_mode, None if options.exact else options.size)
        if values.shape[:2] != options.size:
            height, width = values.shape[:2]
            raise _other_size(path, (height, width), options.size)
        return values

    def finish(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels as a model takes them: normalised, with their axes in its order."""
        options = self.options
        if options.channels_first:
            pixels = pixels.transpose(2, 0, 1)
        return options.normalisation.apply(pixels, 0 if options.channels_first else 2)

    def batch(self, positions: Positions) -> np.ndarray:
        """(b, *inputs_shape) float32. Raises as ``read``."""
        images = np.empty((len(positions), *self.inputs_shape), dtype=np.float32)
        for place, position in enumerate(positions):
            images[place] = self._decoded(int(position))
        return images

    def take(self, positions: Positions) -> ImageSamples:
        """Those images alone, in that order."""
        chosen = np.asarray(positions, dtype=np.intp)
        return ImageSamples(
            self.root,
            [self.names[int(position)] for position in chosen],
            None if self.targets is None else self.targets[chosen],
            self.options,
            source=self.source,
        )

    def facts(self) -> dict[str, Any]:
        """``inputShape``: of each image."""
        return {"inputShape": list(self.inputs_shape)}

    def warn_of_resizing(self, warn: Warn) -> None:
        """Tells where images are of another size than the model takes (a few are looked at)."""
        for place in spread(len(self), 8):
            found = decoding.header(self.root / self.names[place]).size
            if found != self.options.size:
                warn(
                    f"'{self.source}': images of {_words(found)}, such as '{self.names[place]}',"
                    f" are resized to the model's {_words(self.options.size)}"
                )
                return

    def fingerprint(self) -> str:
        """Of the files' names, sizes and times. Raises ``DataLoadingError`` where one is gone."""
        facts: list[str] = []
        for name in self.names:
            path = self.root / name
            try:
                status = os.stat(path)
            except OSError:
                # Its header's reader says what is wrong.
                decoding.header(path)
                raise
            facts.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}")
        return digest("\0\0".join(facts))


def options_for(
    root: Path,
    names: Sequence[str],
    config: Mapping[str, Any],
    *,
    channels_first: bool,
    warn: Warn,
    default: NoteDefault,
) -> ImageOptions:
    """Reads ``imageSize``, ``colorMode`` and ``normalize``; looks at headers for what is left open.

    Raises:
        InvalidConfiguration: a wrong value, or images of several sizes without ``imageSize``.
        DataLoadingError: an image among those looked at that cannot be read.
    """
    color_mode = _or_default(config, "colorMode", "rgb", default)
    if color_mode not in decoding.MODES:
        allowed = list(decoding.MODES)
        raise errors.InvalidConfiguration(
            f"colorMode '{color_mode}' is none of {', '.join(allowed)}",
            solution=f"Send one of {', '.join(allowed)}.",
            metadata={"key": "config.colorMode", "sent": color_mode, "allowed": allowed},
        )
    normalisation = Normalisation.from_config(_or_default(config, "normalize", DEFAULT, default))
    normalisation.require_channels(decoding.MODES[color_mode][1], f"colorMode: {color_mode}")
    size = _size_asked(config.get("imageSize"))
    looked_at = [names[place] for place in spread(len(names), _LOOKED_AT)]
    headers = {name: decoding.header(root / name) for name in looked_at}
    transparent = [name for name, header in headers.items() if header.alpha]
    if transparent:
        warn(
            f"'{root}': images with transparency, such as '{transparent[0]}': it is dropped, as"
            " Image.convert does, and the colours below it are seen"
        )
    exact = size is None
    return ImageOptions(
        size or _common_size(root, headers, default),
        color_mode,
        normalisation,
        channels_first,
        exact,
    )


def spread(n: int, count: int) -> list[int]:
    """At most ``count`` positions of n, evenly spread."""
    return sorted(set(np.linspace(0, n - 1, min(n, count)).astype(int).tolist()))


def _or_default(config: Mapping[str, Any], key: str, value: Any, default: NoteDefault) -> Any:
    if config.get(key) is not None:
        return config[key]
    default(key, value)
    return value


def _size_asked(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = [value, value] if isinstance(value, int) else list(value)
    good = len(sides) == 2 and all(
        isinstance(side, int) and not isinstance(side, bool) and 0 < side <= _LARGEST_SIDE
        for side in sides
    )
    if not good:
        raise errors.InvalidConfiguration(
            f"imageSize {value!r} is no size",
            solution="Send a side of a square or [height, width], in pixels from 1 to"
            f" {_LARGEST_SIDE}.",
            metadata={"key": "config.imageSize", "sent": value, "allowed": [1, _LARGEST_SIDE]},
        )
    return sides[0], sides[1]


def _common_size(
    root: Path, headers: Mapping[str, decoding.Header], default: NoteDefault
) -> tuple[int, int]:
    sizes = Counter(header.size for header in headers.values())
    if len(sizes) == 1:
        size = next(iter(sizes))
        default("imageSize", list(size))
        return size
    shown = [f"{_words(size)} ({count})" for size, count in sizes.most_common(5)]
    more = f" and {len(sizes) - 5} more sizes" if len(sizes) > 5 else ""
    raise errors.InvalidConfiguration(
        f"the images in '{root}' have different sizes, and config.imageSize is missing: of"
        f" {len(headers)} looked at, {', '.join(shown)}{more} (height x width)",
        solution="Send config.imageSize, a side or [height, width], to which all are resized"
        " without keeping their proportions.",
        metadata={
            "key": "config.imageSize",
            "file": str(root),
            "sizes": [list(size) for size, _ in sizes.most_common(20)],
            "examples": some(list(headers), 3),
        },
    )


def _other_size(
    path: Path, found: tuple[int, int], expected: tuple[int, int]
) -> errors.DataLoadingError:
    return fault(
        path,
        f"image '{path}' is {_words(found)}, and the others are {_words(expected)}"
        " (height x width)",
        solution="Send config.imageSize, to which all are resized, or take this image out.",
        size=list(found),
        expected=list(expected),
    )


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
