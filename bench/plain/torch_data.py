"""Writes the data of the PyTorch cases: ``torch_data.py DIRECTORY``.

``rows.npz`` and ``pictures.npz``: scikit-learn's digits as 64 numbers and as 28 x 28 pictures, repeated;
``photos/``: JPEG cuttings, 160 x 160, of its two photographs.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

out = Path(sys.argv[1])
digits = load_digits()
X, y = (digits.data / 16).astype(np.float32), digits.target.astype(np.int64)
many = np.arange(16_000) % len(X)
np.savez(out / "rows.npz", X=X[many], y=y[many])
few = many[:3200]
pictures = np.pad(np.kron(digits.images / 16, np.ones((3, 3)))[few], ((0, 0), (2, 2), (2, 2)))
np.savez(out / "pictures.npz", X=pictures[:, None].astype(np.float32), y=y[few])

random = np.random.default_rng(0)
for name in ("china", "flower"):
    photo = load_sample_image(f"{name}.jpg")
    folder = out / "photos" / name
    folder.mkdir(parents=True)
    for number in range(1280):
        top, left = (random.integers(0, side - 160) for side in photo.shape[:2])
        cutting = photo[top : top + 160, left : left + 160]
        Image.fromarray(cutting).save(folder / f"{number:04d}.jpg", quality=90)
