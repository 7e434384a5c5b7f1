"""Finding, killing and reaping every process that comes from this one.

Nothing trusts a remembered pid: the tree is read afresh each time, and only processes whose
ancestor this process is now are signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable

from ml_runner.process import system


def descendants(root: int | None = None) -> list[int]:
    """Pids of all living descendants of ``root`` (default: of this process), parents first."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [os.getpid() if root is None else root]
    while waiting:
        for pid in children.get(waiting.pop(0), ()):
            found.append(pid)
            waiting.append(pid)
    return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signals each of ``pids``; those that are gone or another user's are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reap() -> tuple[dict[int, int], bool]:
    """Reaps all children that have ended, without waiting.

    Returns:
        Their wait statuses by pid, and whether any child is left.
    """
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended[pid] = status


def _parents() -> dict[int, int]:
    """Parent by pid, of every process on the machine that is not a zombie."""
    return _parents_from_proc() if system.LINUX else _parents_from_ps()


def _parents_from_proc() -> dict[int, int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            with open(f"/proc/{name}/stat", "rb") as file:
                # The command, in parentheses, may itself hold spaces and parentheses.
                fields = file.read().rpartition(b")")[2].split()
            if fields[0] not in (b"Z", b"X"):
                parents[int(name)] = int(fields[1])
    return parents


def _parents_from_ps() -> dict[int, int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=False
    )
    parents: dict[int, int] = {}
    for line in listed.stdout.splitlines():
        fields = line.split()
        if len(fields) >= 3 and not fields[2].startswith("Z"):
            parents[int(fields[0])] = int(fields[1])
    return parents
