"""Asking for a job's end, whoever has it now.

Its supervisor reads the FIFO ``control``. Where there is none yet, or the job runs in a resident
process, which is killed to end it, ``stop.json`` says why: whoever then concludes the job, or comes
to supervise it, finds it there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from ml_runner import errors, files, validation
from ml_runner.process import ending

Word = Callable[[ending.Circumstances], errors.ExecutorError]


def cancel(directory: Path) -> bool:
    """Asks for the end of the job in ``directory``.

    Returns:
        Whether a supervisor has been told; else ``stop.json`` waits for one.
    """
    if _tell(directory):
        return True
    files.write_json(directory / "stop.json", {"reason": errors.Cancelled.type})
    # One may have come up meanwhile, and looked for the file before it was there.
    return _tell(directory)


def stop_requested(directory: Path) -> str | None:
    """The reason in ``stop.json``: ``cancelled`` or ``timeout-exceeded``; None: nobody asked."""
    request = files.read_json_or_none(directory / "stop.json")
    if not isinstance(request, dict):
        return None
    reason = cast("dict[str, object]", request).get("reason")
    return None if reason is None else str(reason)


def word(reason: str, record: dict[str, Any]) -> Word:
    """What makes the final error of a job that was ended for ``reason``."""
    if reason == errors.TimeoutExceeded.type:
        timeout = timeout_of(record)
        return lambda what: ending.timed_out(what, timeout)
    return ending.cancelled


def timeout_of(record: dict[str, Any]) -> float:
    """Seconds that the job of this ``JobRequest`` may run."""
    request = record["request"]
    sent = request.get("timeout")
    return float(validation.default(request["action"], "timeout") if sent is None else sent)


def _tell(directory: Path) -> bool:
    try:
        # Opening a FIFO for writing without blocking fails at once where nobody reads it.
        fifo = os.open(directory / "control", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO):
            return False
        raise
    try:
        os.write(fifo, b"cancel\n")
    except BrokenPipeError:
        return False
    finally:
        os.close(fifo)
    return True
