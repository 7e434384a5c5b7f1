"""TensorBoard's event files, through TensorBoard itself: no framework is needed for them."""

from __future__ import annotations

import importlib
import os
import shlex
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_runner.job import Job

DIRECTORY = "tensorboard"

# The first record of an event file, by which its readers know the format.
_FILE_VERSION = "brain.Event:2"


def preload() -> None:
    """Imports what event files are written with, where it is installed."""
    try:
        _modules()
    except ImportError:
        return


class EventFile:
    """Scalars by epoch in ``tensorboard/`` of the output directory.

    TensorBoard's own ``EventFileWriter`` is not used: it imports another framework wherever that
    is installed (seconds, for the creation of a directory), and keeps a thread, which the forks
    that read data would lose.

    Args:
        directory: made where missing.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, directory: Path) -> None:
        records, events, summaries = _modules()
        self._event, self._summary = events.Event, summaries.Summary
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.0"
        self._records: Any = records.RecordWriter((directory / name).open("ab"))
        self._write(file_version=_FILE_VERSION)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Appends the figures of one epoch, and lets a running TensorBoard see them."""
        values = [
            self._summary.Value(tag=name, simple_value=value) for name, value in figures.items()
        ]
        self._write(step=step, summary=self._summary(value=values))

    def close(self) -> None:
        """Closes the file."""
        self._records.close()

    def _write(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())
        self._records.flush()

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


def _modules() -> tuple[Any, Any, Any]:
    """Of TensorBoard: the writer of records, and the messages ``Event`` and ``Summary``."""
    return (
        importlib.import_module("tensorboard.summary.writer.record_writer"),
        importlib.import_module("tensorboard.compat.proto.event_pb2"),
        importlib.import_module("tensorboard.compat.proto.summary_pb2"),
    )
