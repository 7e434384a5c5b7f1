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
    """Every living process below this one; zombies are none."""
    everything = {one.pid: one for one in map(_read, Path("/proc").glob("[0-9]*")) if one}
    below = {os.getpid()}
    before = 0
    while before < len(below):
        before = len(below)
        below |= {one.pid for one in everything.values() if one.parent in below}
    return [one for pid, one in everything.items() if pid in below and pid != os.getpid()]


def _read(directory: Path) -> Process | None:
    try:
        fields = (directory / "stat").read_text().rpartition(")")[2].split()
        command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None  # it ended meanwhile
    if fields[0] in "ZX":
        return None
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return Process(int(directory.name), int(fields[1]), uptime - started, command.strip())
