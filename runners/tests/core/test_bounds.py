"""What lies at a path may change between the check and the use: it leads nowhere then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_runner import bounds, errors, files, paths


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root with a folder in it, beside a secret; the bound is set, and taken off afterwards."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "table.csv").write_text("secret")
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "table.csv").write_text("open")
    bounds.bind([root])
    yield root
    bounds.bind(None)


def swap(link: Path, target: Path) -> None:
    """Puts a link where something else was."""
    if link.is_dir() and not link.is_symlink():
        link.rename(link.with_name("away"))
    else:
        link.unlink()
    link.symlink_to(target)


def test_a_link_that_was_swapped_after_the_check(root: Path):
    (root / "link").symlink_to(root / "folder")
    path = paths.resolve("link/table.csv", key="dataPath", base_dir=root, roots=[root])
    assert bounds.read_bytes(path) == b"open"
    swap(root / "link", root.parent / "secret")
    with pytest.raises(errors.InvalidConfiguration, match="outside"):
        bounds.read_bytes(path)
    with pytest.raises(errors.InvalidConfiguration, match="outside"):
        files.write_atomic(path.with_name("new.csv"), b"x")
    with pytest.raises(errors.InvalidConfiguration, match="outside"):
        bounds.make_directory(root / "link" / "new")
    assert sorted(os.listdir(root.parent / "secret")) == ["table.csv"]


def test_a_directory_that_became_a_link_after_links_were_resolved(root: Path):
    path = root / "folder"
    real = Path(os.path.realpath(path))
    swap(path, root.parent / "secret")
    with (
        pytest.raises(errors.InvalidConfiguration, match="outside"),
        bounds.directory(path, real),
    ):
        pass


def test_what_is_not_there_is_told_as_ever(root: Path):
    with pytest.raises(FileNotFoundError):
        bounds.open_file(root / "folder" / "absent.csv")


def test_a_fifo_does_not_block(root: Path):
    os.mkfifo(root / "fifo")
    with pytest.raises(OSError, match="Not a regular file"):
        bounds.read_bytes(root / "fifo")
