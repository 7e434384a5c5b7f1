"""Links that are put in place after the folder was listed lead nowhere."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_runner import bounds, errors
from ml_runner.data.samples import array_files


@pytest.fixture
def bound(image_folder: Path) -> Iterator[Path]:
    """The folder of images as the only root; what was moved out of it lies beside it."""
    bounds.bind([image_folder])
    yield image_folder
    bounds.bind(None)


def outside(path: Path, root: Path) -> None:
    """Moves a file or folder out of the root, and leaves a link to it."""
    target = root.parent / "secret"
    shutil.move(path, target)
    path.symlink_to(target)


def test_an_image_that_became_a_link(bound: Path, reading: Any) -> None:
    samples = reading.train(bound, roots=[bound])
    samples.read(0)
    outside(bound / samples.names[0], bound)
    with pytest.raises(errors.InvalidConfiguration, match="outside"):
        samples.read(0)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_that_is_listed(bound: Path, reading: Any, what: str) -> None:
    file = next(path for path in sorted(bound.rglob("*")) if path.is_file())
    outside(file if what == "file" else file.parent, bound)
    # Without roots of its own: opening alone refuses it.
    assert "outside" in reading.refused(bound).message


def test_arrays(bound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "_MAPPED_BYTES", 8)
    values = np.arange(12.0).reshape(4, 3)
    for order in "CF":
        np.save(bound / f"{order}.npy", np.asarray(values, order=order))
        mapped = array_files._array(
            bound / f"{order}.npy", order, array_files.headers(bound / f"{order}.npy")
        )
        assert isinstance(mapped, np.memmap)
        assert np.array_equal(mapped, values)
    for name in ("C.npy", "packed.npz"):
        np.savez(bound / "packed.npz", X=values)
        path = bound / name
        found = array_files.headers(path)
        (bound.parent / "secret").unlink(missing_ok=True)
        outside(path, bound)
        with pytest.raises(errors.InvalidConfiguration, match="outside"):
            array_files._array(path, next(iter(found)), found)


def test_errors_travel_between_processes() -> None:
    error = errors.DataLoadingError(
        "m", solution="s", metadata={"file": "f"}, next_call={"tool": "t"}
    )
    travelled = pickle.loads(pickle.dumps(error))
    assert type(travelled) is errors.DataLoadingError
    assert travelled.to_answer() == error.to_answer()
