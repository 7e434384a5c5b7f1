"""The order of supervisors that are started one right after the other.

Each enters the queue of its lane by itself, in a thread that blocks there; started within the same
milliseconds, two of them could do it in either order. So whoever starts several waits, before the
next, until the last one has its place.
"""

from __future__ import annotations

import os
import select

# A supervisor that takes longer than this to start is overtaken rather than waited for.
_SECONDS = 1.0


class Turns:
    """Kept by whoever starts supervisors, who calls ``wait`` before and ``give`` at each start."""

    def __init__(self) -> None:
        self._reader: int | None = None

    def wait(self) -> None:
        """Returns when the last one started has its slot or its place, or has gone."""
        if self._reader is None:
            return
        # Nothing is ever written: it is at its end when the last copy of the writer is closed.
        select.select([self._reader], [], [], _SECONDS)
        os.close(self._reader)
        self._reader = None

    def give(self) -> int:
        """A descriptor for the next supervisor, to be closed when it has its place.

        The starter closes its own copy once it has started the supervisor.
        """
        self._reader, writer = os.pipe()
        return writer
