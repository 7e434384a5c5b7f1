"""The resident process's models: kept while their files are the same, within a budget."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_runner.process import models
from ml_runner.process.models import ModelCache


def counted(path: Path) -> tuple[Callable[[], str], list[int]]:
    """A loader, and what it appends to at each call."""
    calls: list[int] = []

    def load() -> str:
        calls.append(1)
        return path.read_text()

    return load, calls


def test_the_same_file_is_loaded_once(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_text("a")
    load, calls = counted(path)
    cache = ModelCache()
    assert [cache.get(path, load) for _ in range(3)] == ["a"] * 3
    assert len(calls) == 1


def test_a_changed_file_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_text("a")
    load, calls = counted(path)
    cache = ModelCache()
    cache.get(path, load)
    path.write_text("b")
    os.utime(path, ns=(1, 1))
    assert cache.get(path, load) == "b"
    # Same size and time, another file in its place.
    other = tmp_path / "other"
    other.write_text("c")
    os.utime(other, ns=(1, 1))
    other.replace(path)
    assert cache.get(path, load) == "c"
    assert len(calls) == 3


def test_a_directory_counts_all_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "saved_model"
    (folder / "variables").mkdir(parents=True)
    weights = folder / "variables" / "weights"
    weights.write_text("a")
    calls: list[int] = []
    cache = ModelCache()
    for text in ("a", "a", "bb"):
        if weights.read_text() != text:
            weights.write_text(text)
        cache.get(folder, lambda: calls.append(1))
    assert len(calls) == 2


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("x" * 40)
    loads = [counted(path) for path in paths]
    cache = ModelCache(budget=100)
    for index in (0, 1, 0, 2, 0, 1):
        cache.get(paths[index], loads[index][0])
    assert [len(calls) for _, calls in loads] == [1, 2, 1]


def test_one_above_the_budget_is_not_kept_and_drives_nobody_out(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_text("x")
    large.write_text("x" * 1000)
    (load_small, small_calls), (load_large, large_calls) = counted(small), counted(large)
    cache = ModelCache(budget=100)
    for _ in range(2):
        cache.get(small, load_small)
        cache.get(large, load_large)
    assert (len(small_calls), len(large_calls)) == (1, 2)


def test_one_replaced_while_it_loads_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_text("a")
    cache = ModelCache()

    def load() -> str:
        text = path.read_text()
        path.write_text("longer")
        return text

    assert cache.get(path, load) == "a"
    assert cache.get(path, path.read_text) == "longer"


def test_what_a_loader_raises_passes_and_is_not_kept(tmp_path: Path) -> None:
    cache = ModelCache()
    with pytest.raises(FileNotFoundError):
        cache.get(tmp_path / "absent", (tmp_path / "absent").read_text)
    (tmp_path / "absent").write_text("there now")
    assert cache.get(tmp_path / "absent", (tmp_path / "absent").read_text) == "there now"


def test_outside_a_resident_process_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_text("a")
    load, calls = counted(path)
    models.cached(path, load)
    models.cached(path, load)
    assert len(calls) == 2
