"""TensorBoard's event files, through TensorBoard itself: no framework is needed for them."""

from __future__ import annotations

import importlib
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_runner.job import Job

DIRECTORY = "tensorboard"
_ALONE = "tensorboard.compat.notf"


class EventFile:
    """Scalars by epoch in ``tensorboard/`` of the output directory.

    Args:
        directory: made where missing.
    """

    def __init__(self, directory: Path) -> None:
        # Unless a module of this name is there, TensorBoard imports another framework wherever that
        # is installed: for seconds and gigabytes. Its own stand-in writes the same files.
        sys.modules.setdefault(_ALONE, ModuleType(_ALONE))
        writer = importlib.import_module("tensorboard.summary.writer.event_file_writer")
        self._event = importlib.import_module("tensorboard.compat.proto.event_pb2").Event
        self._summary = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._writer: Any = writer.EventFileWriter(str(directory))

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Appends the figures of one epoch, and lets a running TensorBoard see them."""
        values = [
            self._summary.Value(tag=name, simple_value=value) for name, value in figures.items()
        ]
        event = self._event(wall_time=time.time(), step=step, summary=self._summary(value=values))
        self._writer.add_event(event)
        self._writer.flush()

    def close(self) -> None:
        """Ends its writing thread."""
        self._writer.close()

    @property
    def command(self) -> str:
        """What a person types to look at it."""
        return f"tensorboard --logdir {shlex.quote(str(self.directory))}"


def open_event_file(job: Job, directory: Path) -> EventFile | None:
    """An event file, where TensorBoard is installed; else a warning says that there is none.

    Args:
        job: who is warned, where it asked for TensorBoard or said nothing of it.
        directory: the run's output directory.
    """
    wanted = job.config.get("tensorboard")
    if wanted is False:
        return None
    try:
        return EventFile(directory / DIRECTORY)
    except ImportError:
        if wanted:
            job.warn("tensorboard is not installed: no event files were written")
        return None
