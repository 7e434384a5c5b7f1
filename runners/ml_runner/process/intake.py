"""What a supervisor waits for: requests to end its job, signals, and what the job prints."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_runner.process import control, ending

OnStop = Callable[[control.Word], None]


class Intake:
    """One selector for all of it. ``open`` before anybody is told that the job is supervised.

    Args:
        directory: the job's directory.
        record: its ``JobRequest``.
        on_stop: called, with what makes the final error, when the job is to end.
    """

    def __init__(self, directory: Path, record: dict[str, Any], on_stop: OnStop) -> None:
        self._directory = directory
        self._record = record
        self._on_stop = on_stop
        self._selector = selectors.DefaultSelector()
        self._unfinished = b""

    def open(self) -> None:
        """Makes the control FIFO and takes over the signals."""
        self._catch_signals()
        path = self._directory / "control"
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # O_RDWR: a FIFO opened only for reading is at its end for ever once a writer has closed.
        fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.on_ready(fifo, lambda: self._read_control(fifo))
        # Whoever asked before the FIFO was open has left a note.
        self.read_note()

    def read_note(self) -> None:
        """Asks for the end where ``stop.json`` does."""
        reason = control.stop_requested(self._directory)
        if reason is not None:
            self._on_stop(control.word(reason, self._record))

    def on_ready(self, descriptor: int, act: Callable[[], None]) -> None:
        """Has ``act`` called whenever there is something to read."""
        self._selector.register(descriptor, selectors.EVENT_READ, act)

    def forget(self, descriptor: int) -> None:
        """No longer waits for that descriptor."""
        self._selector.unregister(descriptor)

    def handle(self, timeout: float | None) -> None:
        """Waits for something to come in, at most ``timeout`` seconds, and acts on it."""
        for key, _ in self._selector.select(timeout):
            key.data()

    def _read_control(self, fifo: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._unfinished += os.read(fifo, 4096)
        *lines, self._unfinished = self._unfinished[-4096:].split(b"\n")
        if b"cancel" in lines:
            self._on_stop(ending.cancelled)

    def _catch_signals(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        # The machine shuts down, or somebody wants this job gone.
        signal.signal(signal.SIGTERM, self._on_terminate)

        def empty() -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 4096)

        self.on_ready(reader, empty)

    def _on_terminate(self, _signal: int, _frame: object) -> None:
        self._on_stop(lambda what: ending.cancelled(what, "by a SIGTERM to its supervisor"))


def _wake(_signal: int, _frame: object) -> None:
    """The wakeup descriptor has been written to: that is all that a SIGCHLD is for."""
