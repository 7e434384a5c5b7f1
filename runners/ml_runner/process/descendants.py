"""Finding, killing and reaping every process that comes from this one.

Nothing trusts a remembered pid: the tree is read afresh each time, and only processes whose
ancestor this process is now are signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable

from ml_runner.process import system


def descendants(root: int | None = None) -> list[int]:
    """Pids of all living descendants of ``root`` (default: of this process), parents first."""
    top = os.getpid() if root is None else root
    # A list of each process's children spares a look at every process of the machine; it is not
    # there in every kernel.
    if system.LINUX and os.path.exists(f"/proc/{top}/task/{top}/children"):
        return _walk(top, _children_from_proc)
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    return _walk(top, lambda pid: children.get(pid, []))


def _walk(top: int, children_of: Callable[[int], list[int]]) -> list[int]:
    found: list[int] = []
    waiting = [top]
    while waiting:
        for pid in children_of(waiting.pop(0)):
            found.append(pid)
            waiting.append(pid)
    return found


def _children_from_proc(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):
        # Each thread has those that it forked.
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
                children += map(int, file.read().split())
    return children


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signals each of ``pids``; those that are gone or another user's are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reap() -> tuple[dict[int, tuple[int, int]], bool]:
    """Reaps all children that have ended, without waiting.

    Returns:
        By pid, their wait statuses and the most bytes that they held in memory at once; and whether
        any child is left.
    """
    ended: dict[int, tuple[int, int]] = {}
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        # macOS tells bytes, everybody else kibibytes.
        ended[pid] = (status, usage.ru_maxrss * (1024 if system.LINUX else 1))


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
