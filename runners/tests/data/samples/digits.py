"""Writes scikit-learn's handwritten digits as a folder of images: ``python digits.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_digits(folder: Path, *, first: int = 0, count: int = 1797) -> None:
    """``FOLDER/<class>/<number>.png``, 8 x 8 grey images of 8 bits, of the digits in that range."""
    data = load_digits()
    for number in range(first, first + count):
        target = folder / f"digit_{data.target[number]}"
        target.mkdir(parents=True, exist_ok=True)
        pixels = np.round(data.images[number] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(target / f"{number:04d}.png")


if __name__ == "__main__":
    write_digits(Path(sys.argv[1]))
