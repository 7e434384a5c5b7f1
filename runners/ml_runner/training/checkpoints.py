"""Checkpoints: each whole or not there, the newest few kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import files

if TYPE_CHECKING:
    from ml_runner.job import Job

DIRECTORY = "checkpoints"
_EVERY_SECONDS = 60.0
_KEPT = 3


class Checkpoints:
    """Writes ``checkpoints/<unit>-<done>.json`` with the files of the state beside it.

    The JSON file is written last: where it is, the checkpoint is whole. It holds ``unit``,
    ``done``, the learner's ``state``, and name and SHA-256 of each file.

    Args:
        job: whose they are.
        unit: ``round`` or ``epoch``.
        every: least seconds between two, unless one is demanded.
    """

    def __init__(self, job: Job, unit: str, *, every: float = _EVERY_SECONDS) -> None:
        self._job = job
        self._unit = unit
        self._every = every
        self._last = time.monotonic()
        self._directory = job.output_dir / DIRECTORY
        self._kept: list[list[Path]] = []

    def due(self) -> bool:
        """Whether the last one (or the start) is long enough ago."""
        return time.monotonic() - self._last >= self._every

    def save(self, done: int, state: Mapping[str, Any], contents: Mapping[str, bytes]) -> Path:
        """Writes a checkpoint durably, and removes the oldest beyond those kept.

        Args:
            done: units behind it.
            state: plain JSON values (NaN and infinity as ``null``).
            contents: suffix → bytes of a file.

        Returns:
            The path of the JSON file, from which a run can go on.
        """
        self._directory.mkdir(exist_ok=True)
        name = f"{self._unit}-{done:06d}"
        written = []
        listed = {}
        for suffix, data in contents.items():
            path = self._directory / f"{name}.{suffix}"
            files.write_atomic(path, data)
            written.append(path)
            listed[suffix] = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
        path = self._directory / f"{name}.json"
        record = {
            "jobId": self._job.id,
            "unit": self._unit,
            "done": done,
            "request": self._job.request,
            "state": _plain(state),
            "files": listed,
        }
        files.write_json(path, record)
        self._kept.append([path, *written])
        for old in self._kept[:-_KEPT]:
            for part in old:  # the JSON file first: without it the rest counts for nothing
                part.unlink(missing_ok=True)
        del self._kept[:-_KEPT]
        self._last = time.monotonic()
        self._job.checkpoint_saved(path, self._unit, done)
        return path


def discard(directory: Path) -> None:
    """Removes the checkpoints of an earlier run from an output directory."""
    shutil.rmtree(directory / DIRECTORY, ignore_errors=True)


def _plain(value: Any) -> Any:
    return json.loads(
        json.dumps(value, default=str, allow_nan=True),
        parse_constant=lambda _name: None,
    )
