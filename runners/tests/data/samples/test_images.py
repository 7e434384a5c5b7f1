"""Images: bitwise what a plain Pillow script gives, and every fault named with its file."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from ml_runner import errors
from tests.data.samples.digits import write_digits

Noise = Callable[..., np.ndarray]


def plain(
    path: Path, mode: str = "RGB", size: tuple[int, int] | None = None, scale: bool = True
) -> np.ndarray:
    """(channels, height, width) float32, as a script without us would read it."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert(mode)
        if size is not None:
            image = image.resize((size[1], size[0]), Image.BILINEAR)
        array = np.array(image, dtype=np.float32)
    if array.ndim == 2:
        array = array[:, :, None]
    return np.ascontiguousarray(array.transpose(2, 0, 1)) / (np.float32(255) if scale else 1)


def one(root: Path, image: Image.Image, name: str, **save: Any) -> Path:
    """A folder with two classes of that one image."""
    for folder in ("one", "two"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        image.save(root / folder / name, **save)
    return root


def test_a_folder_of_classes(image_folder: Path, reading: Any) -> None:
    train = reading.train(image_folder)
    assert list(train.names) == ["cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png"]
    assert train.targets.tolist() == ["cat", "cat", "dog", "dog"]
    assert (len(train), train.inputs_shape, train.kind) == (4, (3, 10, 12), "images")
    assert not train.in_memory
    batch = train.batch([2, 0])
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert np.array_equal(batch[0], plain(image_folder / "dog/c.png"))
    assert np.array_equal(batch[1], plain(image_folder / "cat/a.png"))
    assert np.array_equal(train.read(2), batch[0])
    assert reading.defaults == {"colorMode": "rgb", "normalize": "unit", "imageSize": [10, 12]}
    assert reading.warned == []


@pytest.mark.parametrize("size", [7, [31, 5], [10, 12]])
@pytest.mark.parametrize("mode", ["rgb", "grayscale"])
def test_resized_as_pillow_does(image_folder: Path, reading: Any, size: Any, mode: str) -> None:
    train = reading.train(image_folder, imageSize=size, colorMode=mode)
    height, width = (size, size) if isinstance(size, int) else size
    expected = plain(
        image_folder / "cat/a.png", {"rgb": "RGB", "grayscale": "L"}[mode], (height, width)
    )
    assert np.array_equal(train.read(0), expected)
    assert "imageSize" not in reading.defaults


def test_normalised_by_channel(image_folder: Path, reading: Any) -> None:
    mean = np.array([0.485, 0.456, 0.406], dtype=np.float32)[:, None, None]
    std = np.array([0.229, 0.224, 0.225], dtype=np.float32)[:, None, None]
    pixels = plain(image_folder / "cat/a.png")
    assert np.array_equal(
        reading.train(image_folder, normalize="imagenet").read(0), (pixels - mean) / std
    )
    own = {"mean": [0.5, 0.25, 0.125], "std": [0.5, 0.5, 2.0]}
    expected = (pixels - np.array(own["mean"], np.float32)[:, None, None]) / np.array(
        own["std"], np.float32
    )[:, None, None]
    assert np.array_equal(reading.train(image_folder, normalize=own).read(0), expected)
    raw = reading.train(image_folder, normalize="raw").read(0)
    assert np.array_equal(raw, plain(image_folder / "cat/a.png", scale=False))
    assert raw.dtype == np.float32


def test_channels_last(image_folder: Path, reading: Any) -> None:
    first = reading.train(image_folder, normalize="imagenet").batch([0, 1])
    last = reading.train(image_folder, normalize="imagenet", first=False)
    assert last.inputs_shape == (10, 12, 3)
    batch = last.batch([0, 1])
    assert batch.flags.c_contiguous
    assert np.array_equal(batch, first.transpose(0, 2, 3, 1))


def test_jpeg_palette_grey_and_cmyk(tmp_path: Path, reading: Any, noise: Noise) -> None:
    pixels = Image.fromarray(noise(9, 13, 3))
    cases = {
        "photo.jpg": (pixels, {"quality": 80}),
        "palette.png": (pixels.quantize(16), {}),
        "palette_clear.png": (pixels.quantize(16), {"transparency": 3}),
        "grey.png": (pixels.convert("L"), {}),
        "bits.png": (pixels.convert("1"), {}),
        "cmyk.jpg": (pixels.convert("CMYK"), {}),
        "cmyk.tif": (pixels.convert("CMYK"), {}),
        "lossless.webp": (pixels, {"lossless": True}),
        "first_of_two.gif": (pixels.quantize(8), {"save_all": True, "append_images": [pixels]}),
        "grey_alpha.png": (pixels.convert("LA"), {}),
    }
    for place, (name, (image, options)) in enumerate(cases.items()):
        root = one(tmp_path / str(place), image, name, **options)
        path = root / "one" / name
        for mode, pillow in (("rgb", "RGB"), ("grayscale", "L")):
            found = reading.train(root, colorMode=mode, imageSize=[6, 5]).read(0)
            # Straight from a palette with transparency, Pillow warns.
            with Image.open(path) as image:
                clear = image.mode == "P" and "transparency" in image.info
                if clear:
                    array = np.array(image.convert("RGBA").convert(pillow).resize((5, 6), 2))
                    expected = np.atleast_3d(array).transpose(2, 0, 1) / np.float32(255)
                else:
                    expected = plain(path, pillow, (6, 5))
            assert np.array_equal(found, expected), (name, mode)


def test_transparency_is_dropped_and_told(tmp_path: Path, reading: Any, noise: Noise) -> None:
    root = one(tmp_path, Image.fromarray(noise(4, 4, 4)), "clear.png")
    train = reading.train(root)
    assert np.array_equal(train.read(0), plain(root / "one/clear.png"))
    assert len(reading.warned) == 1
    assert "transparency" in reading.warned[0]
    assert "one/clear.png" in reading.warned[0]


def test_sixteen_bits_keep_their_precision(tmp_path: Path, reading: Any) -> None:
    values = np.array([[0, 257, 258], [1000, 40000, 65535]], dtype=np.uint16)
    for name in ("grey.png", "grey.tif"):
        root = one(tmp_path / name, Image.fromarray(values), name)
        for mode, channels in (("grayscale", 1), ("rgb", 3)):
            found = reading.train(root, colorMode=mode).read(0)
            expected = values.astype(np.float32) / np.float32(257) / np.float32(255)
            assert np.array_equal(found, np.stack([expected] * channels)), (name, mode)
        resized = reading.train(root, colorMode="grayscale", imageSize=[4, 6]).read(0)
        expected = Image.fromarray(values.astype(np.float32) / np.float32(257)).resize((6, 4), 2)
        assert np.array_equal(resized[0], np.asarray(expected) / np.float32(255))


def test_turned_as_exif_says(tmp_path: Path, reading: Any, noise: Noise) -> None:
    pixels = Image.fromarray(noise(4, 6, 3))
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        root = one(tmp_path / str(orientation), pixels, "turned.png", exif=exif)
        train = reading.train(root)
        shape = (3, 6, 4) if orientation >= 5 else (3, 4, 6)
        assert train.inputs_shape == shape
        assert np.array_equal(train.read(0), plain(root / "one/turned.png"))
    # Not the test's own reading that turns it: 90 degrees, checked by hand.
    exif[0x0112] = 6
    root = one(tmp_path / "right", pixels, "turned.png", exif=exif)
    turned = reading.train(root, normalize="raw", first=False).read(0)
    assert np.array_equal(turned, np.rot90(np.asarray(pixels), -1).astype(np.float32))


def test_images_of_several_sizes(image_folder: Path, reading: Any, noise: Noise) -> None:
    Image.fromarray(noise(8, 8, 3)).save(image_folder / "dog/e.png")
    error = reading.refused(image_folder)
    assert isinstance(error, errors.InvalidConfiguration)
    assert error.metadata["key"] == "config.imageSize"
    assert "10 x 12 (4)" in error.message
    assert "8 x 8 (1)" in error.message
    assert reading.train(image_folder, imageSize=8).batch([0, 4]).shape == (2, 3, 8, 8)


def test_another_size_than_all_looked_at(tmp_path: Path, reading: Any, noise: Noise) -> None:
    for place in range(600):
        folder = tmp_path / ("a" if place < 300 else "b")
        folder.mkdir(exist_ok=True)
        Image.fromarray(noise(2, 2)).save(folder / f"{place:03d}.png")
    train = reading.train(tmp_path)
    # One that is not among the headers that were looked at.
    odd = next(
        place
        for place in range(600)
        if place not in set(np.linspace(0, 599, 256).astype(int).tolist())
    )
    Image.fromarray(noise(3, 2)).save(tmp_path / train.names[odd])
    again = reading.train(tmp_path)
    with pytest.raises(errors.DataLoadingError) as caught:
        again.batch([odd])
    assert train.names[odd] in caught.value.message
    assert "3 x 2" in caught.value.message
    assert "config.imageSize" in caught.value.solution


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"imageSize": 0}, "config.imageSize"),
        ({"imageSize": [4]}, "config.imageSize"),
        ({"imageSize": [4, -1]}, "config.imageSize"),
        ({"colorMode": "bgr"}, "config.colorMode"),
        ({"normalize": "none"}, "config.normalize"),
        ({"normalize": {"mean": [0.5], "std": [0.5]}}, "config.normalize"),
        ({"normalize": {"mean": [0.5] * 3, "std": [0.5] * 2}}, "config.normalize"),
        ({"normalize": {"mean": [0.5] * 3, "std": [0.5, 0.5, 0]}}, "config.normalize"),
        ({"normalize": "imagenet", "colorMode": "grayscale"}, "config.normalize"),
        ({"inputKey": "x"}, "config.inputKey"),
        ({"featureScaling": "standard"}, "config.featureScaling"),
        ({"targetColumn": "label"}, "config.targetColumn"),
    ],
)
def test_wrong_options(image_folder: Path, reading: Any, config: Any, key: str) -> None:
    error = reading.refused(image_folder, **config)
    assert isinstance(error, errors.InvalidConfiguration)
    assert error.metadata["key"] == key


def _png_of_many_pixels(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda png: b"", "is empty (0 bytes)"),
        (lambda png: b"<html>not found</html>", "is not an image"),
        (lambda png: png[: len(png) // 2], "cut off or damaged"),
        (lambda png: png[:20], "cut off or damaged|is not an image"),
        (lambda png: png[:50] + bytes(b ^ 0x55 for b in png[50:]), "cut off or damaged"),
        (lambda png: _png_of_many_pixels(60_000), "more pixels than"),
        (lambda png: _png_of_many_pixels(10_000), "10000 x 10000 pixels"),
    ],
    ids=["empty", "html", "half", "header", "flipped", "bomb", "large"],
)
def test_a_broken_file_is_named(image_folder: Path, reading: Any, content: Any, words: str) -> None:
    path = image_folder / "dog/c.png"
    train = reading.train(image_folder, imageSize=[10, 12])
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(errors.DataLoadingError) as caught:
        train.batch([0, 2])
    assert str(path) in caught.value.message
    assert any(word in caught.value.message for word in words.split("|"))
    assert caught.value.metadata["file"] == str(path)


def test_a_file_that_is_gone(image_folder: Path, reading: Any) -> None:
    train = reading.train(image_folder)
    (image_folder / "dog/c.png").unlink()
    for act in (lambda: train.read(2), train.fingerprint):
        with pytest.raises(errors.DataLoadingError, match="does not exist"):
            act()


def test_values_without_a_range(tmp_path: Path, reading: Any) -> None:
    root = one(tmp_path, Image.fromarray(np.ones((3, 3), dtype=np.float32)), "depth.tif")
    with pytest.raises(errors.DataLoadingError, match="32 bits"):
        reading.train(root).read(0)


def test_a_wrong_ending_is_no_matter(tmp_path: Path, reading: Any, noise: Noise) -> None:
    root = one(tmp_path, Image.fromarray(noise(4, 4, 3)), "image.png")
    for folder in ("one", "two"):
        os.rename(root / folder / "image.png", root / folder / "image.jpg")
        (root / folder / "without").write_bytes((root / folder / "image.jpg").read_bytes())
    train = reading.train(root)
    assert list(train.names) == ["one/image.jpg", "one/without", "two/image.jpg", "two/without"]
    assert np.array_equal(train.read(0), plain(root / "one/image.jpg"))
    assert np.array_equal(train.read(1), train.read(0))


def test_fingerprint_pickle_and_subsets(image_folder: Path, reading: Any) -> None:
    train = reading.train(image_folder)
    before = train.fingerprint()
    assert reading.train(image_folder).fingerprint() == before
    copy = pickle.loads(pickle.dumps(train))
    assert np.array_equal(copy.batch([0, 1]), train.batch([0, 1]))
    assert copy.fingerprint() == before
    some = train.take(np.array([3, 0]))
    assert (list(some.names), some.targets.tolist()) == (["dog/d.png", "cat/a.png"], ["dog", "cat"])
    assert np.array_equal(some.batch([1, 0]), train.batch([0, 3]))
    assert some.fingerprint() != before
    os.utime(image_folder / "dog/d.png", (1, 1))
    assert train.fingerprint() != before


def test_read_again_by_the_spec(image_folder: Path, reading: Any) -> None:
    train = reading.train(image_folder, imageSize=6, colorMode="grayscale", normalize="unit")
    spec = json.loads(json.dumps(train.spec))
    assert spec == {
        "kind": "images",
        "imageSize": [6, 6],
        "colorMode": "grayscale",
        "normalize": "unit",
        "channels": "first",
    }
    again = reading.like(image_folder, spec)
    assert np.array_equal(again.batch(range(4)), train.batch(range(4)))
    assert again.targets.tolist() == train.targets.tolist()
    assert any("resized to the model's 6 x 6" in text for text in reading.warned)
    single = reading.like(image_folder / "dog/c.png", spec, targets=False)
    assert (list(single.names), single.targets) == (["c.png"], None)
    assert np.array_equal(single.read(0), train.read(2))
    flat = reading.like(image_folder / "dog", spec, targets=False)
    assert list(flat.names) == ["c.png", "d.png"]
    assert np.array_equal(flat.read(1), train.read(3))
    with pytest.raises(errors.DataLoadingError, match="nothing says their classes"):
        reading.like(image_folder / "dog", spec)


def test_a_table_of_paths(image_folder: Path, reading: Any) -> None:
    table = image_folder / "labels.csv"
    table.write_text("file,age\ndog/d.png,3\ncat/a.png,7.5\n")
    train = reading.train(table, pathColumn="file", targetColumn="age")
    assert train.targets.tolist() == [3, 7.5]
    assert np.array_equal(train.read(0), plain(image_folder / "dog/d.png"))
    later = reading.like(table, train.spec, targets=False, pathColumn="file")
    assert later.targets is None
    assert np.array_equal(later.read(1), train.read(1))
    error = reading.refused(table, pathColumn="fil", targetColumn="age")
    assert error.metadata["nearest"] == "file"
    table.write_text("file,age\ndog/d.png,3\ncat/x.png,7.5\n")
    error = reading.refused(table, pathColumn="file", targetColumn="age")
    assert isinstance(error, errors.DataLoadingError)
    assert error.metadata["line"] == 3
    assert "cat/x.png" in error.message


def test_digits(tmp_path: Path, reading: Any) -> None:
    from sklearn.datasets import load_digits

    write_digits(tmp_path, count=200)
    train = reading.train(tmp_path, colorMode="grayscale", normalize="raw")
    data: Any = load_digits()
    order = [int(name[-8:-4]) for name in train.names]
    assert sorted(order) == list(range(200))
    assert train.targets.tolist() == [f"digit_{data.target[number]}" for number in order]
    expected = np.round(data.images[order] * 255 / 16).astype(np.float32)
    assert np.array_equal(train.batch(np.arange(200))[:, 0], expected)
