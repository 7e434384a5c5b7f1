"""Ending a job's processes: asked, told, killed, one after the other, within ten seconds in all."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ml_runner.process import control, descendants

# From the request to stop: so long may the job take to answer; so long where it has shown that it
# heard, and may be writing a large checkpoint; so long may its processes then take to end.
SECONDS_TO_STOP = 3.0
SECONDS_TO_SAVE = 7.0
SECONDS_TO_TERMINATE = 1.0
# In all, whatever survives.
SECONDS_IN_ALL = 9.5
# What a job leaves running after its own end may tidy up for so long.
SECONDS_FOR_LEFTOVERS = 0.25
# A process that SIGKILL does not end within this hangs in the kernel; the answer does not wait.
SECONDS_TO_DIE = 4.0
_KILL_AGAIN_SECONDS = 0.02


@dataclass
class Stop:
    """A job that is to end before it is done. All times are those of ``time.monotonic``.

    Attributes:
        word: makes the final error of the circumstances.
        since: when it was asked for.
        answered: whether the job had written its answer before.
        noted: the file by which the job shows that it has taken note of the request.
        at_once: whether nothing is asked first: everything is killed.
    """

    word: control.Word
    since: float
    answered: bool
    noted: Path
    at_once: bool = False
    _asked: bool = False
    _terminated: bool = False

    def press(self, pid: int) -> float:
        """SIGUSR1 to the job ``pid``, later SIGTERM and then SIGKILL to all: what is due now.

        Returns:
            When to come back.
        """
        if self.at_once:
            return _kill_all()
        now = time.monotonic()
        terminate = self.since + self._seconds_to_stop()
        kill = terminate + SECONDS_TO_TERMINATE
        if not self._asked:
            self._asked = True
            descendants.send([pid], signal.SIGUSR1)
        if now < terminate:
            return terminate
        if now >= kill:
            return _kill_all()
        if not self._terminated:
            self._terminated = True
            _terminate_all()
        return kill

    @property
    def hopeless(self) -> bool:
        """Whether what is still there will not die."""
        limit = self._seconds_to_stop() + SECONDS_TO_TERMINATE + SECONDS_TO_DIE
        return time.monotonic() > self.since + min(limit, SECONDS_IN_ALL)

    def _seconds_to_stop(self) -> float:
        return SECONDS_TO_SAVE if self.noted.exists() else SECONDS_TO_STOP


@dataclass
class Leftovers:
    """What a job that has ended left running.

    Attributes:
        since: when the job ended.
    """

    since: float
    _terminated: bool = False

    def press(self) -> float:
        """SIGTERM to all, a moment later SIGKILL; returns when to come back."""
        if not self._terminated:
            self._terminated = True
            _terminate_all()
        kill = self.since + SECONDS_FOR_LEFTOVERS
        return kill if time.monotonic() < kill else _kill_all()

    @property
    def hopeless(self) -> bool:
        """Whether what is still there will not die."""
        return time.monotonic() > self.since + SECONDS_FOR_LEFTOVERS + SECONDS_TO_DIE


def _terminate_all() -> None:
    found = descendants.descendants()
    descendants.send(found, signal.SIGTERM)
    # A stopped process takes a signal only when it goes on.
    descendants.send(found, signal.SIGCONT)


def _kill_all() -> float:
    # Again and again: as subreaper this process inherits what is orphaned meanwhile.
    descendants.send(descendants.descendants(), signal.SIGKILL)
    return time.monotonic() + _KILL_AGAIN_SECONDS
