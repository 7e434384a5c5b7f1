"""What a test module has left running, found by descent: nothing else is beyond a test's reach."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest

# What a process that has been told to end may take for it on a busy machine.
_GRACE_SECONDS = 10.0


class Process(NamedTuple):
    """A living process."""

    pid: int
    parent: int
    age_seconds: float
    command: str


def check() -> None:
    """Fails where this process has descendants that do not end by themselves, and kills them.

    It must be a subreaper: then those whose parent died are among them, whatever their session and
    environment.
    """
    until = time.monotonic() + _GRACE_SECONDS
    left = descendants()
    while left and time.monotonic() < until:
        time.sleep(0.05)
        left = descendants()
    if not left:
        return
    told = "\n".join(
        f"  {one.pid} (of {one.parent}), {one.age_seconds:.0f} s old: {one.command[:300]}"
        for one in left
    )
    while left:
        for one in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        time.sleep(0.02)
        left = descendants()
    pytest.fail(f"processes left after this module (killed now):\n{told}", pytrace=False)


def descendants() -> list[Process]:
    """Every living process below this one; zombies are none.

    A look at /proc is no snapshot: who is forked behind the look, by a parent that ends before it
    comes to it, is missed. So it counts only when the next look sees the same, zombies included.
    """
    seen = _look()
    while (again := _look()) != seen:
        seen = again
    return [_describe(pid, parent) for pid, (parent, alive) in seen.items() if alive]


def _look() -> dict[int, tuple[int, bool]]:
    """By pid, the parent of each process below this one, and whether it lives or is a zombie."""
    everything = {int(path.name): _stat(path) for path in Path("/proc").glob("[0-9]*")}
    below = {os.getpid()}
    before = 0
    while before < len(below):
        before = len(below)
        below |= {pid for pid, fields in everything.items() if fields and int(fields[1]) in below}
    return {
        pid: (int(fields[1]), fields[0] not in ("Z", "X"))
        for pid, fields in everything.items()
        if fields and pid in below and pid != os.getpid()
    }


def _describe(pid: int, parent: int) -> Process:
    directory = Path(f"/proc/{pid}")
    command = ""
    with contextlib.suppress(OSError):  # it may end meanwhile
        command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    fields = _stat(directory)
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else uptime
    return Process(pid, parent, uptime - started, command.strip())


def _stat(directory: Path) -> list[str]:
    """The fields behind the program's name: state, parent, …; none where the process has ended."""
    try:
        return (directory / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
