from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ml_runner import errors
from ml_runner.data import Table, read_table


@pytest.fixture
def warned() -> list[str]:
    """What was warned of while the test read."""
    return []


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes text (or bytes) into a file of a fresh directory."""

    def write(content: str | bytes, name: str = "train.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


@pytest.fixture
def read(warned: list[str]) -> Callable[..., Table]:
    """``read_table`` that notes its warnings in ``warned``."""

    def read(path: Path, **options: object) -> Table:
        return read_table(path, warn=warned.append, **options)  # type: ignore[arg-type]

    return read


@pytest.fixture
def refused(read: Callable[..., Table]) -> Callable[..., errors.ExecutorError]:
    """The error with which a file is refused; checks what every such error has."""

    def refused(path: Path, **options: object) -> errors.ExecutorError:
        with pytest.raises(errors.ExecutorError) as caught:
            read(path, **options)
        error = caught.value
        assert len(error.solution) > 10
        assert len(error.message) < 2000
        if isinstance(error, errors.DataLoadingError):
            assert str(path) in error.message
            assert error.metadata["file"] == str(path)
        return error

    return refused
