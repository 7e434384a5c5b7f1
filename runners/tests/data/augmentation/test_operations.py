"""What each operation does to pixels, and what is refused before any is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

from ml_runner import errors
from ml_runner.data.augmentation.augmentation import OF_IMAGES, Augmentation


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    """Smooth, with something in it to see, (20, 28, channels)."""
    values = drawn(5).uniform(0, 255, (20, 28, channels))
    smooth = ndimage.gaussian_filter(values, (2, 2, 0)) * 1.6
    return np.clip(smooth, 0, 255).astype(dtype)


def done(entry: Any, pixels: np.ndarray, seed: int = 0, colours: bool = True) -> np.ndarray:
    return Augmentation.from_config([entry], colours=colours).image(pixels, drawn(seed))


def certain(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": name, "probability": 1, **arguments}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_same_seed_same_image(name: str, channels: int, dtype: Any) -> None:
    if name == "saturation" and channels == 1:
        return  # refused: see below
    pixels = picture(channels, dtype)
    before = pixels.copy()
    colours = channels == 3
    first, again = (done(certain(name), pixels, 3, colours) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(pixels, before)
    assert first.shape == pixels.shape
    assert 0 <= first.min() <= first.max() <= 255
    assert not np.array_equal(first, pixels)
    if "flip" not in name:
        assert not np.array_equal(first, done(certain(name), pixels, 4, colours))
    np.testing.assert_array_equal(
        done({"type": name, "probability": 0}, pixels, 3, colours), pixels
    )


def test_flips() -> None:
    pixels = picture()
    np.testing.assert_array_equal(done(certain("flip"), pixels), pixels[:, ::-1])
    np.testing.assert_array_equal(done(certain("vertical-flip"), pixels), pixels[::-1])
    half = [done("flip", pixels, seed) is not pixels for seed in range(400)]
    assert 150 < sum(half) < 250


@pytest.mark.parametrize("degrees", [30, -75, 180])
def test_turning_is_pillows(degrees: float) -> None:
    pixels = picture()
    turned = done({"type": "rotate", "degrees": [degrees, degrees], "fill": 9}, pixels)
    image = Image.fromarray(pixels)
    expected = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(9, 9, 9))
    assert np.abs(turned.astype(int) - np.asarray(expected)).max() <= 1


def test_moving_scaling_and_shearing() -> None:
    still = certain("affine", degrees=0, translate=0, scale=1, shear=0)
    pixels = picture()
    np.testing.assert_array_equal(done(still, pixels), pixels)
    dot = np.zeros((41, 41, 1), np.uint8)
    dot[10, 20] = 255  # ten above the centre
    leaning = done({**still, "shear": [45, 45]}, dot, colours=False)
    assert np.unravel_index(leaning.argmax(), leaning.shape)[:2] == (10, 10)
    large = done({**still, "scale": [2, 2]}, np.pad(dot, 20)[20:61, 20:61], colours=False)
    assert large[:3, 19:22].max() > 100
    bar = np.zeros((40, 40, 1), np.uint8)
    bar[:, 20] = 255
    places = {
        done({**still, "translate": 0.25}, bar, seed, False)[20].argmax() for seed in range(50)
    }
    assert {min(places), max(places)} <= set(range(9, 32))
    assert max(places) - min(places) > 12


def test_crops() -> None:
    pixels = picture()
    whole = certain("crop", scale=1, ratio=1)
    np.testing.assert_array_equal(done(whole, pixels), pixels)
    small = done(certain("crop", scale=0.1), pixels)
    assert small.std() < pixels.std()
    shifted = done(certain("crop", padding=3), pixels, 1)
    assert any(
        np.array_equal(np.pad(pixels, ((3, 3), (3, 3), (0, 0)))[y : y + 20, x : x + 28], shifted)
        for y in range(7)
        for x in range(7)
    )


@pytest.mark.parametrize(
    ("name", "pillow"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_colours_are_pillows(name: str, pillow: Any) -> None:
    pixels, seed = picture(), 2
    changed = done(certain(name, strength=0.5), pixels, seed)
    draw = drawn(seed)
    draw.random()
    factor = draw.uniform(0.5, 1.5)
    expected = np.asarray(pillow(Image.fromarray(pixels)).enhance(factor))
    assert np.abs(changed - expected).max() <= 1.5


def test_noise_blur_and_erasing() -> None:
    grey = np.full((64, 64, 1), 128, np.uint8)
    noisy = done(certain("noise", std=0.1), grey, colours=False)
    assert noisy.std() == pytest.approx(25.5, rel=0.05)
    pixels = picture(dtype=np.float32)
    blurred = done(certain("blur", sigma=[1.5, 1.5]), pixels)
    expected = ndimage.gaussian_filter(pixels, (1.5, 1.5, 0), mode="mirror", truncate=3.34)
    np.testing.assert_allclose(blurred, expected, atol=0.05)
    erased = done(certain("erasing", scale=[0.25, 0.25], ratio=[1, 1], fill=7), grey, colours=False)
    rows, columns, _ = np.nonzero(erased == 7)
    assert len(rows) == 32 * 32 == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_targets_are_mixed_as_the_inputs_are(name: str, channels_first: bool) -> None:
    """Each sample holds its one-hot target in its channels: their means must stay its target."""
    found = Augmentation.from_config([{"type": name, "alpha": 1}], colours=True)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    shape = (5, 3, 16, 24) if channels_first else (5, 16, 24, 3)
    inputs = np.empty(shape, np.float32)
    inputs[:] = targets[:, :, None, None] if channels_first else targets[:, None, None, :]
    axes = slice(2, 4) if channels_first else slice(1, 3)
    mixed, shares = found.batch(inputs, targets, drawn(6), axes)
    assert not np.array_equal(shares, targets)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed.mean((axes.start, axes.start + 1)), shares, atol=1e-5)
    if name == "cutmix":
        assert set(np.unique(mixed)) == {0, 1}


@pytest.mark.parametrize(
    ("entry", "key", "words"),
    [
        ("rotat", "config.augment[0]", "Did you mean 'rotate'"),
        ({"type": "mixupp"}, "config.augment[0]", "Did you mean 'mixup'"),
        ({"degrees": 3}, "config.augment[0]", "no type"),
        ({"type": "rotate", "angle": 3}, "config.augment[0].angle", "degrees, fill, probability"),
        ({"type": "rotate", "degrees": "10"}, "config.augment[0].degrees", "[least, most]"),
        ({"type": "rotate", "degrees": [5, -5]}, "config.augment[0].degrees", "[least, most]"),
        ({"type": "noise", "std": 2}, "config.augment[0].std", "from 0 to 1"),
        ({"type": "flip", "probability": True}, "config.augment[0].probability", "from 0 to 1"),
        ("saturation", "config.augment[0]", "grey"),
        ({"type": "colour", "saturation": 0.1}, "config.augment[0]", "grey"),
    ],
)
def test_refusals(entry: Any, key: str, words: str) -> None:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        Augmentation.from_config([entry], colours=False)
    assert caught.value.metadata["key"] == key
    assert words in caught.value.message + " " + caught.value.solution


def test_twice_is_refused_and_grey_images_take_colour_without_saturation() -> None:
    with pytest.raises(errors.InvalidConfiguration, match="twice"):
        Augmentation.from_config(["flip", "horizontal-flip"], colours=True)
    changed = done("colour", picture(1), colours=False)
    assert changed.shape == (20, 28, 1)
