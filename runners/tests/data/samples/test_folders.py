"""Which files a folder of images means, and what is said of the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml_runner import errors

Noise = Callable[..., np.ndarray]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_folders_of_parts(image_folder: Path, reading: Any, name: str) -> None:
    root = image_folder.parent / "parts"
    for part in ("train", name, "test"):
        shutil.copytree(image_folder, root / part)
    shutil.rmtree(root / "test/dog")
    parts = reading.parts(root)
    assert len(parts.train) == len(parts.validation) == 4
    assert parts.test.targets.tolist() == ["cat", "cat"]
    assert parts.validation.source == root / name
    assert np.array_equal(parts.validation.read(3), parts.train.read(3))


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_training_does_not_have(image_folder: Path, reading: Any, part: str) -> None:
    root = image_folder.parent / "parts"
    for name in ("train", part):
        shutil.copytree(image_folder, root / name)
    os.rename(root / part / "dog", root / part / "wolf")
    error = reading.refused(root)
    assert isinstance(error, errors.DataLoadingError)
    assert error.metadata["unknown"] == ["wolf"]
    assert "'wolf'" in error.message


def test_parts_are_not_guessed_for_a_model(image_folder: Path, reading: Any) -> None:
    root = image_folder.parent / "parts"
    for part in ("train", "test"):
        shutil.copytree(image_folder, root / part)
    spec = reading.train(root).spec
    with pytest.raises(errors.InvalidConfiguration, match="train, test"):
        reading.like(root, spec)
    assert len(reading.like(root / "test", spec)) == 4


def test_two_folders_for_one_part(image_folder: Path, reading: Any) -> None:
    root = image_folder.parent / "parts"
    for part in ("train", "val", "valid"):
        shutil.copytree(image_folder, root / part)
    assert "'val' and 'valid'" in reading.refused(root).message


def test_a_class_called_train(image_folder: Path, reading: Any) -> None:
    os.rename(image_folder / "cat", image_folder / "train")
    assert sorted(set(reading.train(image_folder).targets.tolist())) == ["dog", "train"]


def test_folders_within_a_class(image_folder: Path, reading: Any, noise: Noise) -> None:
    (image_folder / "dog/more/yet").mkdir(parents=True)
    Image.fromarray(noise(10, 12, 3)).save(image_folder / "dog/more/yet/z.png")
    train = reading.train(image_folder)
    assert train.names[-1] == "dog/more/yet/z.png"
    assert train.targets[-1] == "dog"


def test_what_is_left_out_is_told_once(image_folder: Path, reading: Any) -> None:
    for name in ("cat/.hidden.png", "cat/.DS_Store", "dog/Thumbs.db", ".git/x.png"):
        (image_folder / name).parent.mkdir(exist_ok=True)
        (image_folder / name).write_bytes(b"x")
    (image_folder / "dog/notes.txt").write_text("a note")
    (image_folder / "readme.md").write_text("a note")
    os.mkfifo(image_folder / "dog/pipe.png")
    shutil.copy(image_folder / "cat/a.png", image_folder / "stray.png")
    (image_folder / "bird").mkdir()
    train = reading.train(image_folder)
    assert len(train) == 4
    told = "\n".join(reading.warned)
    assert len(reading.warned) == 3
    assert "3 files that are no images left out" in told
    assert "'dog/notes.txt'" in told
    assert "no images in 'bird'" in told
    assert "1 image beside the class folders left out ('stray.png')" in told


def test_no_images(tmp_path: Path, reading: Any) -> None:
    for act in (
        lambda: None,
        (tmp_path / "a").mkdir,
        lambda: (tmp_path / "a/x.txt").write_text(""),
    ):
        act()
        error = reading.refused(tmp_path)
        assert isinstance(error, errors.DataLoadingError)
        assert str(tmp_path) in error.message
    (tmp_path / "alone.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "nothing says their classes" in reading.refused(tmp_path).message


def test_links_within_the_roots_alone(image_folder: Path, reading: Any, noise: Noise) -> None:
    outside = image_folder.parent / "elsewhere"
    outside.mkdir()
    Image.fromarray(noise(10, 12, 3)).save(outside / "z.png")
    (image_folder / "dog/z.png").symlink_to(outside / "z.png")
    assert len(reading.train(image_folder)) == 5
    assert len(reading.train(image_folder, roots=[image_folder.parent])) == 5
    error = reading.refused(image_folder, roots=[image_folder])
    assert isinstance(error, errors.InvalidConfiguration)
    assert "dog/z.png" in error.message
    (image_folder / "dog/z.png").unlink()
    (image_folder / "wolf").symlink_to(outside)
    assert reading.train(image_folder).names[-1] == "wolf/z.png"
    error = reading.refused(image_folder, roots=[image_folder])
    assert "wolf" in error.message


def test_links_to_nothing_and_in_circles(image_folder: Path, reading: Any) -> None:
    (image_folder / "dog/gone.png").symlink_to("nowhere.png")
    error = reading.refused(image_folder)
    assert "gone.png" in error.message
    (image_folder / "dog/gone.png").unlink()
    (image_folder / "dog/again").symlink_to(image_folder / "dog")
    error = reading.refused(image_folder)
    assert "a folder that it lies in" in error.message


def test_a_table_may_not_name_files_out_of_the_roots(image_folder: Path, reading: Any) -> None:
    table = image_folder / "dog/labels.csv"
    table.write_text("file,y\n../cat/a.png,1\nc.png,2\n")
    assert len(reading.train(table, pathColumn="file", targetColumn="y")) == 2
    error = reading.refused(
        table, pathColumn="file", targetColumn="y", roots=[image_folder / "dog"]
    )
    assert isinstance(error, errors.InvalidConfiguration)
    assert error.metadata["key"] == "pathColumn"


def test_many_files(tmp_path: Path, reading: Any, noise: Noise) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(noise(2, 2)).save(tmp_path / folder / "0.png")
        for place in range(1, 2000):
            os.link(tmp_path / folder / "0.png", tmp_path / folder / f"{place}.png")
    train = reading.train(tmp_path)
    assert len(train) == 4000
    assert train.targets[1999:2001].tolist() == ["a", "b"]
