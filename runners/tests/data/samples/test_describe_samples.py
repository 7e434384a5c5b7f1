"""``describe`` of images and arrays: true figures within 2 KB."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml_runner import errors
from ml_runner.data.describe import describe

Noise = Callable[..., np.ndarray]


def told(path: Path, **params: Any) -> dict[str, Any]:
    answer = describe({"path": path.name, **params}, str(path.parent), None)
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    assert len(text.encode()) <= 2048
    return answer


def test_a_folder_of_classes(image_folder: Path, noise: Noise) -> None:
    Image.fromarray(noise(5, 7)).save(image_folder / "dog/e.jpg")
    (image_folder / "dog/f.png").write_bytes(b"")
    (image_folder / "notes.txt").write_text("x")
    assert told(image_folder) == {
        "path": "images",
        "kind": "images",
        "layout": "classes",
        "images": 6,
        "classes": {"cat": 2, "dog": 4},
        "sizes": {"10 x 12": 4, "5 x 7": 1},
        "modes": {"RGB": 4, "L": 1},
        "formats": {"PNG": 4, "JPEG": 1},
        "unreadable": {"dog/f.png": "is empty (0 bytes)"},
        "warnings": [f"'{image_folder}': 1 file that is no image left out ('notes.txt')"],
    }


def test_parts_flat_folders_and_files(image_folder: Path) -> None:
    root = image_folder.parent / "parts"
    for part in ("train", "val"):
        shutil.copytree(image_folder, root / part)
    shutil.rmtree(root / "val/cat")
    answer = told(root)
    assert answer["layout"] == "parts"
    assert answer["parts"] == {"train": 4, "validation": 2}
    assert answer["classes"] == {
        "cat": {"train": 2, "validation": 0},
        "dog": {"train": 2, "validation": 2},
    }
    flat = told(image_folder / "dog")
    assert (flat["layout"], flat["images"]) == ("flat", 2)
    file = told(image_folder / "dog/c.png")
    assert (file["layout"], file["sizes"]) == ("file", {"10 x 12": 1})
    (image_folder / "dog/c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert list(told(image_folder / "dog/c.png")["unreadable"]) == ["c.png"]


def test_many_classes_are_cut(tmp_path: Path, noise: Noise) -> None:
    Image.fromarray(noise(2, 2)).save(tmp_path / "x.png")
    root = tmp_path / "many"
    for place in range(500):
        (root / f"a class with a rather long name {place:03d}").mkdir(parents=True)
        for copy in range(3):
            os.link(
                tmp_path / "x.png", root / f"a class with a rather long name {place:03d}/{copy}"
            )
    answer = told(root)
    assert answer["images"] == 1500
    assert answer["headersRead"] == 1000
    assert answer["sizes"] == {"2 x 2": 1000}
    assert answer["truncated"] == [f"classes: {len(answer['classes'])} of 500"]
    assert len(answer["classes"]) > 20


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(errors.DataLoadingError) as caught:
        told(tmp_path)
    assert "'table.csv'" in caught.value.message


def test_links_out_of_the_roots(image_folder: Path) -> None:
    (image_folder / "dog/out.png").symlink_to("/etc/hostname")
    with pytest.raises(errors.InvalidConfiguration, match="outside"):
        describe({"path": str(image_folder)}, "/", [str(image_folder)])


def test_arrays(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, images=np.zeros((10, 8, 8), np.uint8), labels=np.arange(10))
    assert told(path) == {
        "path": "data.npz",
        "kind": "arrays",
        "format": "npz",
        "arrays": {
            "images": {"shape": [10, 8, 8], "dtype": "uint8"},
            "labels": {"shape": [10], "dtype": "int64"},
        },
        "warnings": [],
    }
    np.savez(path, x_train=np.zeros((9, 2)), x_test=np.zeros((4, 2)))
    assert told(path)["arrays"]["x_test"] == {"shape": [4, 2], "dtype": "float64"}
    np.savez(path, X=np.zeros((9, 2)), y=np.zeros(9))
    assert told(path)["rows"] == 9  # which is a table
    np.savez(path, **{f"{place}{'x' * 100}": np.zeros((1, 2, place + 1)) for place in range(90)})
    assert told(path)["truncated"][0].startswith("arrays: ")
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 5), np.float32))
    assert told(tmp_path / "x.npy")["arrays"] == {"x": {"shape": [3, 4, 5], "dtype": "float32"}}
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.DataLoadingError):
        told(path)


def test_without_pillow(image_folder: Path, reading: Any, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    for act in (lambda: told(image_folder), lambda: reading.train(image_folder)):
        with pytest.raises(errors.FrameworkNotFound) as caught:
            act()
        assert "pillow" in caught.value.metadata["command"]
