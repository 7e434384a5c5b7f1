"""A state directory a test, cleared of every process at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.lab import Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A state directory and a working directory for one test."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(home))
    laboratory = Lab(home, work)
    yield laboratory
    laboratory.close()
