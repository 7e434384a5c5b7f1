"""Data sets, and what plain scripts make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.actions.calling import Caller
from tests.actions.data_sets import write_all


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every data set as CSV."""
    directory = tmp_path_factory.mktemp("data")
    write_all(directory)
    return directory


@pytest.fixture
def caller(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Calls with a fresh base and state directory; ``data/`` leads to the data sets."""
    home, base = tmp_path / "home", tmp_path / "base"
    home.mkdir()
    base.mkdir()
    (base / "data").symlink_to(data)
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(home))
    return Caller(base, home)
