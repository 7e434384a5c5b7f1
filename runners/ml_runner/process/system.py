"""What the operating system offers beyond the standard library, and the nearest thing elsewhere."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable

LINUX = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# The kernel kills the process with the highest score first: a job before the user's own programs.
_OOM_SCORE_OF_JOBS = 500


def fork_is_safe() -> bool:
    """Whether a process that has imported a framework may fork and go on without an exec.

    macOS' own libraries break in a forked child.
    """
    return LINUX


def become_subreaper() -> None:
    """From now on, descendants whose parent dies become children of this process (Linux)."""
    if LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """This process is killed when its parent ``parent`` dies; at once where that has happened.

    Linux does it by itself (and keeps it over an exec). Elsewhere see ``watch_parent``.
    """
    if LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def watch_parent() -> None:
    """Where the kernel does not end a child with its parent, a thread does, within a second."""
    if LINUX:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        with contextlib.suppress(OSError):
            os.killpg(0, signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def volunteer_for_oom_killer() -> None:
    """Makes this process and its children the first to go when the machine's memory runs out."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:
        if int(file.read()) < _OOM_SCORE_OF_JOBS:
            file.seek(0)
            file.write(str(_OOM_SCORE_OF_JOBS))


def open_descriptors() -> list[int]:
    """The descriptors that this process has open, ascending."""
    found: list[int] = []
    for name in os.listdir("/dev/fd"):
        descriptor = int(name)
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            found.append(descriptor)
    return sorted(found)


def close_descriptors(keep: Iterable[int] = ()) -> None:
    """Closes every descriptor above 2 but those in ``keep``."""
    kept = set(keep)
    for descriptor in open_descriptors():
        if descriptor > 2 and descriptor not in kept:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def thread_count() -> int:
    """Threads of this process, those of C libraries included (elsewhere: Python's alone)."""
    if LINUX:
        return len(os.listdir("/proc/self/task"))
    return threading.active_count()


def wait_until_single_threaded(seconds: float = 0.2) -> bool:
    """Waits for threads that have been joined to be really gone; whether this one is the only."""
    end = time.monotonic() + seconds
    while thread_count() > 1:
        if time.monotonic() > end:
            return False
        time.sleep(0.0005)
    return True


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed for lack of memory, here or in this cgroup."""
    total = 0
    for path, key in (("/proc/vmstat", "oom_kill"), (_cgroup_events(), "oom_kill")):
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            for line in file:
                name, _, value = line.partition(" ")
                if name == key:
                    total += int(value)
    return total


def _cgroup_events() -> str:
    with contextlib.suppress(OSError, IndexError), open("/proc/self/cgroup") as file:
        for line in file:
            if line.startswith("0::"):
                return "/sys/fs/cgroup" + line.strip()[3:].rstrip("/") + "/memory.events"
    return "/sys/fs/cgroup/memory.events"


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
