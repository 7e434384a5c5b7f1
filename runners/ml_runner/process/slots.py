"""Slots: how many jobs run at once, and in which order, without anybody who keeps a queue.

A slot is a file ``slots/<lane>-<n>`` that the supervisor of a running job holds flocked and its job
inherits; death releases it. On the lane ``gpu`` each GPU has a slot, and whoever gets it has that
GPU. Only who has the first ticket of the lane (``tickets.py``) takes a slot, as soon as one is
free.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence

from ml_runner import files
from ml_runner.process import tickets

# Only one process a lane polls: the one at the head of the queue.
_POLL_SECONDS = 0.02


class SlotQueue:
    """Waits for the slot, or for all the slots, of one job.

    Attributes:
        held: descriptors of the slots that it has.
        names_held: their names.

    Args:
        lane: ``cpu``, ``gpu`` or ``light``.
        names: the slots that the lane has; whichever is free first is taken.
        wanted: how many of them it takes.
        exclusive: take every slot of the lane.
        ticket: its place in the queue, where it has one already.
    """

    def __init__(
        self,
        lane: str,
        names: Sequence[str],
        *,
        wanted: int = 1,
        exclusive: bool = False,
        ticket: tickets.Ticket | None = None,
    ) -> None:
        for name in (lane, *names):
            if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
                raise ValueError(f"not a lane or a slot: {name!r}")
        self._directory = files.state_home() / "slots"
        self._lane = lane
        self._names = list(names)
        self._wanted = min(wanted, len(self._names))
        self._exclusive = exclusive
        self._ticket = ticket
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None
        # Held by whoever takes slots or gives them back.
        self._guard = threading.Lock()
        self._left = False
        self.held: list[int] = []
        self.names_held: list[str] = []

    def try_now(self) -> bool:
        """Takes its place in the queue, and the slot if it is free and nobody waits for it.

        Whoever comes later gets a later place. No thread is started.
        """
        if self._ticket is None:
            self._ticket = tickets.draw(self._lane)
        return self._ticket.is_first() and self._take()

    def wait_in_thread(self, notify: int) -> None:
        """After ``try_now``: waits in a thread, which writes a byte to ``notify`` at the end."""
        assert self._ticket is not None
        self._thread = threading.Thread(target=self._wait, args=(self._ticket, notify), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits for the thread to be gone. Raises the ``OSError`` that it met, if any."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def leave(self) -> None:
        """Gives up the place in the queue, or the slots; a thread that waits takes none any more.

        It may stay in its flock; the end of the process ends both.
        """
        with self._guard:
            self._left = True
            if self._ticket is not None:
                self._ticket.drop()
            self.release()

    def release(self) -> None:
        """Gives the slots back."""
        while self.held:
            os.close(self.held.pop())
        self.names_held.clear()

    def _wait(self, ticket: tickets.Ticket, notify: int) -> None:
        try:
            ticket.wait_until_first()
            while not self._left and not self._take():
                time.sleep(_POLL_SECONDS)
        except OSError as error:
            self._error = error
        finally:
            os.write(notify, b"s")

    def _take(self) -> bool:
        """As the first: whether it has all that it wants, whereupon the next one is the first."""
        with self._guard:
            if self._left or not self._take_free():
                return False
            assert self._ticket is not None
            self._ticket.drop()
            return True

    def _take_free(self) -> bool:
        # Who wants several keeps what it has got so far: nobody else takes what comes free.
        names = self._all_names() if self._exclusive else self._names
        wanted = len(names) if self._exclusive else self._wanted
        for name in names:
            if len(self.held) < wanted and name not in self.names_held:
                self._try(name)
        return len(self.held) >= wanted

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
