"""Slots: how many jobs run at once, and in which order, without anybody who keeps a queue.

A slot is a file ``slots/<lane>-<n>`` that the supervisor of a running job holds flocked and its job
inherits; death releases it. Whoever waits blocks in the flock of ``slots/queue-<lane>``, which the
kernel hands on in order; its holder takes the next slot that comes free.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
from pathlib import Path

from ml_runner import files

# Only one process a lane polls: the one at the head of the queue.
_POLL_SECONDS = 0.02


class SlotQueue:
    """Waits for the slot, or for all the slots, of one job.

    Args:
        lane: ``cpu``, ``gpu-<n>`` or ``light``.
        count: slots that the lane has.
        exclusive: take every slot of the lane.
    """

    def __init__(self, lane: str, count: int, *, exclusive: bool = False) -> None:
        if re.fullmatch(r"[a-z0-9-]+", lane) is None:
            raise ValueError(f"not a lane: {lane!r}")
        self._directory = files.state_home() / "slots"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lane = lane
        self._count = count
        self._exclusive = exclusive
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None
        self._numbers_held: set[int] = set()
        self.held: list[int] = []

    def try_now(self) -> bool:
        """Takes the slot if it is free and nobody waits; no thread is started."""
        queue = files.try_lock(self._queue_path)
        if queue is None:
            return False
        try:
            if self._take():
                return True
            self.release()
            return False
        finally:
            os.close(queue)

    def wait_in_thread(self, notify: int) -> None:
        """Waits in a thread, which writes a byte to descriptor ``notify`` when it has the slot."""
        self._thread = threading.Thread(target=self._wait, args=(notify,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits for the thread to be gone. Raises the ``OSError`` that it met, if any."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def release(self) -> None:
        """Gives the slots back."""
        while self.held:
            os.close(self.held.pop())
        self._numbers_held.clear()

    def _wait(self, notify: int) -> None:
        try:
            queue = os.open(self._queue_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(queue, fcntl.LOCK_EX)
                while not self._take():
                    time.sleep(_POLL_SECONDS)
            finally:
                os.close(queue)
        except OSError as error:
            self._error = error
        finally:
            os.write(notify, b"s")

    def _take(self) -> bool:
        # An exclusive job keeps what it has got so far: it is the head of the queue, so nobody else
        # takes what comes free.
        if not self._exclusive:
            for number in range(self._count):
                slot = files.try_lock(self._path(number))
                if slot is not None:
                    self.held.append(slot)
                    return True
            return False
        for number in sorted(self._all_numbers() - self._numbers_held):
            slot = files.try_lock(self._path(number))
            if slot is None:
                return False
            self.held.append(slot)
            self._numbers_held.add(number)
        return True

    def _all_numbers(self) -> set[int]:
        # Another server may have been given more slots.
        numbers = set(range(self._count))
        for path in self._directory.glob(f"{self._lane}-*"):
            with contextlib.suppress(ValueError):
                numbers.add(int(path.name[len(self._lane) + 1 :]))
        return numbers

    def _path(self, number: int) -> Path:
        return self._directory / f"{self._lane}-{number}"

    @property
    def _queue_path(self) -> Path:
        return self._directory / f"queue-{self._lane}"
