"""Tickets: the order in which jobs came, without anybody who keeps a queue.

A ticket is a file ``slots/queue-<lane>.d/<number>`` that its holder has flocked from before it
appears under that name until it is removed; death frees it. Numbers only rise while anybody waits.
Whoever has the lowest ticket that is held is first; everybody else waits in the flock of the next
lower one that is held, so that each release wakes the one behind and nobody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from ml_runner import files


class Ticket:
    """A place in the queue of a lane; a forked child has it too.

    Attributes:
        number: those with lower ones are served before.
        descriptor: by which the ticket is held.
    """

    def __init__(self, directory: Path, number: int, descriptor: int) -> None:
        self.number = number
        self.descriptor = descriptor
        self._directory = directory

    def is_first(self) -> bool:
        """Whether nobody came before who still waits. Once true, it stays so."""
        before = self._before()
        if before is None:
            return True
        os.close(before)
        return False

    def wait_until_first(self) -> None:
        """Blocks until ``is_first``."""
        while (before := self._before()) is not None:
            try:
                # Shared: looking at a ticket makes it look held to nobody else.
                fcntl.flock(before, fcntl.LOCK_SH)
            finally:
                os.close(before)

    def close(self) -> None:
        """Leaves the ticket to the other processes that have it."""
        if self.descriptor != -1:
            os.close(self.descriptor)
            self.descriptor = -1

    def drop(self) -> None:
        """Gives the place up, in whatever processes have the ticket."""
        if self.descriptor == -1:
            return
        with contextlib.suppress(OSError):
            os.unlink(self._path(self.number))
        # Whoever forked this process may not have closed its copy yet.
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.close()

    def _before(self) -> int | None:
        """A descriptor of the next lower ticket that is held; removes those that are not."""
        lower = [number for number in _numbers(self._directory) if number < self.number]
        for number in sorted(lower, reverse=True):
            try:
                descriptor = os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return descriptor
            try:
                self._remove_dead(number, descriptor)
            finally:
                os.close(descriptor)
        return None

    def _remove_dead(self, number: int, descriptor: int) -> None:
        # While nobody draws: the number may have been given out again since the file was opened.
        with _drawing(self._directory), contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path(number)), os.fstat(descriptor)):
                os.unlink(self._path(number))

    def _path(self, number: int) -> Path:
        return self._directory / _name(number)


def draw(lane: str) -> Ticket:
    """A ticket behind all that were drawn before. Raises ``OSError`` where it cannot be written."""
    directory = _directory(lane)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _drawing(directory):
        number = max(_numbers(directory), default=0) + 1
        # It gets its name when it is held: nobody must take it for a dead one's.
        unnamed = directory / "unnamed"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unnamed)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(unnamed, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.rename(unnamed, directory / _name(number))
        except BaseException:
            os.close(descriptor)
            raise
        return Ticket(directory, number, descriptor)


def draw_for(job: Path) -> Ticket | None:
    """A ticket for the job in a directory, drawn by whoever starts its supervisor.

    So the order is that of the starts, whenever the supervisors come to run.

    Returns:
        ``None`` where it cannot be drawn: the supervisor tries it again, and tells why.
    """
    try:
        return draw(files.read_json(job / "request.json")["lane"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def inherited(job: Path, number: int, descriptor: int) -> Ticket:
    """The ticket for ``job`` that was drawn by the process which executed this one."""
    os.set_inheritable(descriptor, False)
    return Ticket(_directory(files.read_json(job / "request.json")["lane"]), number, descriptor)


@contextlib.contextmanager
def _drawing(directory: Path) -> Generator[None]:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # For as long as it takes to make a file; a holder never waits for anything.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _directory(lane: str) -> Path:
    return files.state_home() / "slots" / f"queue-{lane}.d"


def _name(number: int) -> str:
    return f"{number:010}"


def _numbers(directory: Path) -> list[int]:
    return [int(name) for name in os.listdir(directory) if name.isdecimal()]
