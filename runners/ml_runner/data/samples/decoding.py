"""One image file as pixels, as a plain Pillow script would read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import bounds, errors, libraries
from ml_runner.data.source import fault

if TYPE_CHECKING:
    from PIL.Image import Image

# Pillow's own bound for images that are likelier to be an attack on memory than data.
MOST_PIXELS = 89_478_485

MODES = {"rgb": ("RGB", 3), "grayscale": ("L", 1)}

# EXIF orientations that turn the image on its side.
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True)
class Header:
    """What an image file says of itself before its pixels are read.

    Attributes:
        format: ``"PNG"``, ``"JPEG"``, …
        mode: Pillow's: ``"RGB"``, ``"L"``, ``"P"``, ``"I;16"``, …
        size: (height, width) as it is to be shown: turned as its EXIF orientation says.
        alpha: there is transparency.
    """

    format: str
    mode: str
    size: tuple[int, int]
    alpha: bool


def pillow() -> ModuleType:
    """``PIL.Image``. Raises ``FrameworkNotFound`` with the command that installs it."""
    return libraries.need("PIL.Image", "pillow")


def header(path: Path) -> Header:
    """Reads an image's header alone.

    Raises:
        DataLoadingError: no image, an empty or unreadable file, or one of too many pixels.
    """
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
            width, height = height, width
        alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
        return Header(image.format or "unknown", image.mode, (height, width), alpha)


def pixels(path: Path, mode: str, size: tuple[int, int] | None) -> np.ndarray:
    """(height, width, channels) of one image: uint8, or float32 from 0 to 255 for 16-bit images.

    Steps: turned upright as EXIF says; the first frame of several; ``Image.convert`` to RGB or L
    (transparency is dropped, palettes and CMYK become colours), ``Image.resize`` with
    ``BILINEAR``, which smooths when it shrinks and keeps no aspect ratio.

    Grey images of 16 bits keep their precision, 65535 being white (Pillow's ``convert`` would cut
    all above 255 off); colour images of 16 bits are read by Pillow with 8.

    Args:
        path: absolute.
        mode: ``"rgb"`` or ``"grayscale"``.
        size: (height, width), or None to keep the image's own.

    Raises:
        DataLoadingError: the file is no image, empty, cut off, damaged, too large, or holds
            values without a known range (32 bits).
    """
    Image = pillow()
    ops = libraries.need("PIL.ImageOps", "pillow")
    with _opened(path) as opened:
        image: Image = ops.exif_transpose(opened)
        if image.mode.startswith("I;16") or (image.mode == "I" and opened.format in ("PNG", "PPM")):
            # In the mode of floats, so that resizing rounds nothing.
            values = np.asarray(image).astype(np.float32) / np.float32(257.0)
            image = Image.fromarray(values)
        elif image.mode in ("I", "F"):
            raise fault(
                path,
                f"image '{path}' holds values of 32 bits ({image.mode}), whose range is not known",
                solution="Save it with 8 or 16 bits, or send the values as an NPY or NPZ array.",
                mode=image.mode,
            )
        else:
            if image.mode == "P" and "transparency" in image.info:
                # The same colours; straight to RGB, Pillow warns of the transparency.
                image = image.convert("RGBA")
            image = image.convert(MODES[mode][0])
        if size is not None and image.size != (size[1], size[0]):
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    channels = MODES[mode][1]
    return array if array.shape[2] == channels else np.repeat(array, channels, axis=2)


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """An image whose header has been read; whatever goes wrong with it names the file."""
    Image = pillow()
    try:
        with bounds.open_regular(path) as file, Image.open(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise _too_large(path, f"{image.width} x {image.height} pixels")
            yield image
    except (errors.ExecutorError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more pixels than Pillow opens") from error
    except FileNotFoundError as error:
        raise fault(
            path,
            f"image '{path}' does not exist (any more)",
            solution="Check the path, and leave the files in place while a job reads them.",
        ) from error
    except PermissionError as error:
        raise fault(
            path, f"image '{path}' cannot be read: {error.strerror}", solution="Make it readable."
        ) from error
    except Exception as error:
        raise _broken(path, error) from error


def _too_large(path: Path, what: str) -> errors.DataLoadingError:
    return fault(
        path,
        f"image '{path}' has {what}; at most {MOST_PIXELS:,} are read",
        solution="Shrink it, cut it into tiles, or leave it out.",
    )


def _broken(path: Path, error: Exception) -> errors.DataLoadingError:
    empty = _size(path) == 0
    unknown = type(error).__name__ == "UnidentifiedImageError"
    if empty:
        message = f"image '{path}' is empty (0 bytes)"
    elif unknown:
        message = f"'{path}' is not an image that Pillow can read: it begins with {_start(path)!r}"
    else:
        message = f"image '{path}' is cut off or damaged: {str(error)[:200]}"
    facts: dict[str, Any] = {} if empty else {"reason": str(error)[:200]}
    return fault(
        path,
        message,
        solution="Copy or download it again, or take it out of the folder.",
        **facts,
    )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _start(path: Path) -> bytes:
    try:
        with bounds.open_regular(path) as file:
            return file.read(16)
    except OSError:
        return b""
