"""Slots: how many jobs run at once, and in which order, without anybody who keeps a queue.

A slot is a file ``slots/<lane>-<n>`` that the supervisor of a running job holds flocked and its job
inherits; death releases it. On the lane ``gpu`` each GPU has a slot, and whoever gets it has that
GPU. Whoever waits blocks in the flock of ``slots/queue-<lane>``, which the kernel hands on in
order; its holder takes the next slot that comes free.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ml_runner import files
from ml_runner.process import system

# Only one process a lane polls: the one at the head of the queue.
_POLL_SECONDS = 0.02
# How long it may take until the thread is seen to stand in the queue, and how often to look.
_PLACE_SECONDS = 0.2
_LOOK_SECONDS = 0.0005


class SlotQueue:
    """Waits for the slot, or for all the slots, of one job.

    Attributes:
        held: descriptors of the slots that it has.
        names_held: their names.

    Args:
        lane: ``cpu``, ``gpu`` or ``light``.
        names: the slots that the lane has; whichever is free first is taken.
        exclusive: take every slot of the lane.
    """

    def __init__(self, lane: str, names: Sequence[str], *, exclusive: bool = False) -> None:
        for name in (lane, *names):
            if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
                raise ValueError(f"not a lane or a slot: {name!r}")
        self._directory = files.state_home() / "slots"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lane = lane
        self._names = list(names)
        self._exclusive = exclusive
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None
        self._has_turn = False
        self.held: list[int] = []
        self.names_held: list[str] = []

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
        """Waits in a thread, which writes a byte to descriptor ``notify`` when it has the slot.

        Returns once it has its place in the queue: whoever comes later gets a later one.
        """
        queue = os.open(self._queue_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Now: the thread closes it when it has had its turn.
        inode = os.fstat(queue).st_ino
        self._thread = threading.Thread(target=self._wait, args=(queue, notify), daemon=True)
        self._thread.start()
        give_up = time.monotonic() + _PLACE_SECONDS
        while self._thread.is_alive() and not self._has_turn and time.monotonic() < give_up:
            if system.waits_for_flock(inode):
                return
            time.sleep(_LOOK_SECONDS)

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
        self.names_held.clear()

    def _wait(self, queue: int, notify: int) -> None:
        try:
            try:
                fcntl.flock(queue, fcntl.LOCK_EX)
                self._has_turn = True
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
            return any(self._try(name) for name in self._names)
        return all(self._try(name) for name in self._all_names() if name not in self.names_held)

    def _try(self, name: str) -> bool:
        slot = files.try_lock(self._directory / name)
        if slot is None:
            return False
        self.held.append(slot)
        self.names_held.append(name)
        return True

    def _all_names(self) -> list[str]:
        # Another server may have been given more slots.
        there = [path.name for path in self._directory.glob(f"{self._lane}-*")]
        numbered = [name for name in there if name[len(self._lane) + 1 :].isdigit()]
        return sorted({*self._names, *numbered})

    @property
    def _queue_path(self) -> Path:
        return self._directory / f"queue-{self._lane}"
