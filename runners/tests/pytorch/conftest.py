"""Data, user scripts and runs for trainings with PyTorch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.actions.calling import Caller
from tests.actions.data_sets import write_all
from tests.actions.interrupting import Runs
from tests.data.samples.digits import write_digits

MODELS = Path(__file__).resolve().parents[1] / "plain" / "models"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every data set, and the digits as a folder of images."""
    directory = tmp_path_factory.mktemp("data")
    write_all(directory)
    write_digits(directory / "digits_images", count=500)
    return directory


def _base(tmp_path: Path, data: Path) -> Path:
    base = tmp_path / "base"
    shutil.copytree(MODELS, base)
    (base / "data").symlink_to(data)
    return base


@pytest.fixture
def caller(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Calls in this process, with the user scripts beside ``data/``."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(home))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    return Caller(_base(tmp_path, data), home)


@pytest.fixture
def runs(tmp_path: Path, data: Path) -> Runs:
    """Runs of the real command line, likewise."""
    return Runs(_base(tmp_path, data), tmp_path / "home")
