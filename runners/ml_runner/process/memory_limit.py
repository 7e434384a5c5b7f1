"""A job's memory limit, and the watch that tells when its processes have passed it."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from ml_runner import errors
from ml_runner.process import descendants, ending, memory
from ml_runner.report import size_words

# Of what is left when the job starts, where nobody has said how much it may take.
DEFAULT_SHARE = 0.9

# No process of ours comes to life in less.
SMALLEST_BYTES = 64 << 20
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}

SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
# A job is taken to be able to fill memory this fast (bytes a second), whatever it did so far; what
# was seen of a few threads writing to fresh pages. One that proves to be faster is taken at that.
_FASTEST_GROWTH = 4 << 30
# A look that costs much is taken more rarely: the watch takes at most a tenth of one core.
_COST_FACTOR = 10


def parse(text: str) -> dict[str, float]:
    """``4GB``, ``512MB``, ``1.5G`` (powers of 1024) or ``80%``, as a ``JobRequest`` has it.

    ``src/memory-limit.ts`` reads the same.

    Raises:
        ValueError: it is none of these, or too small to run anything.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:(%)|([kmgt]?)(?:i?b)?)", text.strip().lower())
    if found is None:
        raise ValueError(f"'{text}' is no size such as 4GB or 512MB, and no share such as 80%")
    number, share, unit = found.groups()
    if share:
        if not 0 < float(number) <= 100:
            raise ValueError(f"'{text}' is not above 0% and at most 100%")
        return {"share": float(number) / 100}
    count = int(float(number) * (1 << _UNITS[unit]))
    if count < SMALLEST_BYTES:
        raise ValueError(f"'{text}' is less than {size_words(SMALLEST_BYTES)}")
    return {"bytes": count}


@dataclass(frozen=True)
class Limit:
    """Bytes that all processes of a job may take together.

    Attributes:
        bytes: the limit; ``None`` where there is none, since the system does not tell what it has.
        why: in words where it comes from.
        chosen: whether somebody has set it.
    """

    bytes: int | None
    why: str
    chosen: bool = False

    @classmethod
    def of(cls, record: dict[str, Any], taken: int = 0) -> Limit:
        """The limit of the job of a ``JobRequest`` that starts to run now.

        Args:
            record: the ``JobRequest``.
            taken: bytes that it has taken already, which are not among those that are left.
        """
        chosen = record.get("memoryLimit")
        asked = chosen or {"share": DEFAULT_SHARE}
        if "bytes" in asked:
            return cls(int(asked["bytes"]), "set by --memory-limit", chosen=True)
        left = memory.left()
        if left is None:
            return cls(None, "unknown")
        share = asked["share"]
        why = f"{share:.0%} of what was left when it started"
        return cls(int((left + taken) * share), why, chosen=chosen is not None)


@dataclass
class MemoryWatch:
    """Looks at the memory of a process's descendants, the more often the sooner the limit is near.

    Attributes:
        limit: the job's limit.
        peak: bytes that they took together, at most, as far as was seen.
        exceeded: what was found when the limit was passed; ``None`` until then.
        due: when to look again, in terms of ``time.monotonic``.
    """

    limit: Limit
    peak: int = 0
    exceeded: Excess | None = None
    due: float = 0.0
    _last: tuple[float, int] | None = field(default=None, repr=False)

    def look(self) -> float:
        """Looks where that is due; returns when to come back."""
        began = time.monotonic()
        if began < self.due:
            return self.due
        processes = memory.measure(descendants.descendants())
        total = sum(process.resident for process in processes)
        most = self.limit.bytes
        shares = len(processes) > 1 and total > self.peak
        if shares or (most is not None and total > most):
            total = min(total, memory.proportional(processes))
        self.peak = max(self.peak, total)
        if most is not None and total > most:
            largest = max(processes, key=lambda process: process.resident)
            self.exceeded = Excess(self.limit, total, largest, largest.command, len(processes))
        now = time.monotonic()
        self.due = now + self._pause(now, total, cost=now - began)
        return self.due

    def _pause(self, now: float, total: int, cost: float) -> float:
        growth = 0.0
        if self._last is not None:
            before, had = self._last
            growth = (total - had) / max(1e-3, now - before)
        self._last = (now, total)
        if self.limit.bytes is None:
            return LONGEST_PAUSE
        # Half of the time in which it could get there: a process may come to life in between.
        soonest = (self.limit.bytes - total) / max(_FASTEST_GROWTH, growth) / 2
        return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, _COST_FACTOR * cost, soonest))


@dataclass(frozen=True)
class Excess:
    """A job that took more than its limit.

    Attributes:
        limit: the limit.
        used: bytes that its processes took together.
        largest: the process that took most.
        command: the name of that one's program.
        processes: how many there were.
    """

    limit: Limit
    used: int
    largest: memory.Process
    command: str
    processes: int

    def to_error(self, what: ending.Circumstances) -> errors.ExecutorError:
        """The job's final error."""
        most = self.limit.bytes or 0
        limit, used = size_words(most), size_words(self.used)
        resume = what.resume_call()
        return errors.OutOfMemory(
            f"The job took {used} of memory and was ended: its limit is {limit} ({self.limit.why})",
            solution=self._solution(bool(resume)),
            metadata={
                **what.metadata,
                "peakMemory": used,
                "peakBytes": self.used,
                "memoryLimit": limit,
                "limitBytes": most,
                "limitedBy": self.limit.why,
                "largestProcess": {
                    "pid": self.largest.pid,
                    "command": self.command,
                    "memory": size_words(self.largest.resident),
                    "bytes": self.largest.resident,
                },
                "processes": self.processes,
            },
            next_call=resume,
            stderr=what.stderr,
        )

    def _solution(self, resumable: bool) -> str:
        more = (
            f"allow it more (such as --memory-limit {-(-2 * self.used // (1 << 30))}GB)"
            if self.limit.chosen
            else "run fewer jobs at once (--slots), or free memory"
        )
        then = ", then go on from the last checkpoint with nextCall" if resumable else ""
        return f"Give it less data, a smaller batch or model, or fewer workers; or {more}{then}."


@contextlib.contextmanager
def bounded(record: dict[str, Any], share: float = 1.0) -> Generator[None, None, None]:
    """While it lasts, this process cannot take more than the limit of the job of a ``JobRequest``.

    For a process without a supervisor, and for one that can go on when memory is refused to it. The
    kernel refuses what goes beyond, and Python raises ``MemoryError``: no watch could look while a
    library works without letting other threads run. What is refused is address space for data, of
    which a process may fill less than it asks for. Only Linux has such a bound.

    Args:
        record: the ``JobRequest``.
        share: of the limit.
    """
    global _bound
    most = Limit.of(record, _taken()).bytes
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if most is not None:
        _bound = int(most * share)
        renew()
    try:
        yield
    finally:
        _bound = None
        resource.setrlimit(resource.RLIMIT_DATA, before)


# Bytes that this process may take, where it is ``bounded``.
_bound: int | None = None


def renew() -> None:
    """Reckons the bound anew from what this process takes now.

    Memory that was given back may still count as address space: for whoever has given back all
    that it can, and would use it otherwise from now on.
    """
    mapped = memory.mapped_data()
    if _bound is None or mapped is None:
        return
    _, hardest = resource.getrlimit(resource.RLIMIT_DATA)
    bound = mapped + max(_bound - _taken(), 0)
    if hardest != resource.RLIM_INFINITY:
        bound = min(bound, hardest)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hardest))


def _taken() -> int:
    """Bytes that this process takes."""
    return sum(process.resident for process in memory.measure([os.getpid()]))
