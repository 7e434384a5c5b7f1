"""How much memory processes take, and how much the machine has left for a job.

What counts against a limit is what the kernel cannot take back by itself: anonymous and shared
memory and what of it was swapped out. Pages of mapped files (a data set read through a memory map)
are let go when memory runs short, and do not count.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ml_runner.process import system

# Reported where a cgroup has no limit; anything near it is none either.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Process:
    """One process and what it takes, in bytes.

    Attributes:
        pid: its pid.
        resident: its memory, shared pages counted in full.
    """

    pid: int
    resident: int

    @property
    def command(self) -> str:
        """The name of its program; empty where it has gone."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/comm").read_text(errors="replace").strip()
        return ""


def measure(pids: Iterable[int]) -> list[Process]:
    """What each process takes; those that are gone are left out.

    Forked processes share pages, each of which counts for each of them here: the sum is an upper
    bound, and cheap (see ``proportional``).
    """
    if not system.LINUX:
        return _measure_with_ps(pids)
    found: list[Process] = []
    for pid in pids:
        status = _kibibytes(f"/proc/{pid}/status")
        resident = status.get("VmRSS", 0)
        with contextlib.suppress(KeyError):
            resident = status["RssAnon"] + status["RssShmem"]
        if resident:
            found.append(Process(pid, resident + status.get("VmSwap", 0)))
    return found


def proportional(processes: Iterable[Process]) -> int:
    """What the processes take together, each shared page counted once among those that share it.

    It costs the kernel a walk over all their pages: about 10 ms for each GiB.
    """
    total = 0
    for process in processes:
        rollup = _kibibytes(f"/proc/{process.pid}/smaps_rollup")
        if "Pss_Anon" in rollup:
            total += rollup["Pss_Anon"] + rollup["Pss_Shmem"] + rollup["SwapPss"]
        else:
            # An old kernel, or no permission to look.
            total += min(process.resident, rollup.get("Pss", process.resident))
    return total


def mapped_data() -> int | None:
    """Bytes of address space that this process has for data; ``None`` where it is not told."""
    return _kibibytes("/proc/self/status").get("VmData") if system.LINUX else None


def left() -> int | None:
    """Bytes that a process can still take: of the machine, or of the tightest cgroup around it.

    ``None`` where the system does not tell.
    """
    if not system.LINUX:
        return _left_on_macos()
    amounts = cgroup_amounts()
    available = _kibibytes("/proc/meminfo").get("MemAvailable")
    if available is not None:
        amounts.append(available)
    return max(0, min(amounts)) if amounts else None


def cgroup_amounts(
    membership: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup"
) -> list[int]:
    """What is left in each cgroup, from this process's own up to the root, that has a limit.

    Args:
        membership: the file that names this process's cgroups.
        root: where the cgroup file systems are mounted.
    """
    try:
        lines = Path(membership).read_text().splitlines()
    except OSError:
        return []
    found: list[int] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += _amounts(root, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            place = os.path.join(root, "memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found += _amounts(place, path, *names)
    return found


def _amounts(mount: str, path: str, limit: str, usage: str, reclaimable: str) -> list[int]:
    # In a container the mount shows the container's own cgroup at its root, while the path may be
    # that seen from outside: what does not exist is passed over on the way up.
    found: list[int] = []
    inner = PurePosixPath(os.path.normpath("/" + path.lstrip("/")))
    for place in (inner, *inner.parents):
        folder = Path(f"{mount}{place}")
        most, used = _number(folder / limit), _number(folder / usage)
        if most is not None and used is not None and most < _NO_LIMIT:
            cached = _pairs(folder / "memory.stat").get(reclaimable, 0)
            found.append(most - used + cached)
    return found


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is no number
        return None


def _pairs(path: Path) -> dict[str, int]:
    pairs: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            name, _, value = line.partition(" ")
            pairs[name] = int(value)
    return pairs


def _kibibytes(path: str) -> dict[str, int]:
    """The lines ``Name:  123 kB`` of a file, in bytes; empty where it cannot be read."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for line in file.read().splitlines():
            if line.endswith(b" kB"):
                name, _, value = line[:-3].partition(b":")
                found[name.decode()] = int(value) * 1024
    return found


def _measure_with_ps(pids: Iterable[int]) -> list[Process]:
    names = ",".join(map(str, pids))
    listed = subprocess.run(
        ["ps", "-o", "pid=,rss=", "-p", names], capture_output=True, text=True, check=False
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    return [Process(int(row[0]), int(row[1]) * 1024) for row in rows if len(row) == 2]


def _left_on_macos() -> int | None:
    try:
        listed = subprocess.run(
            ["vm_stat"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    pages: dict[str, int] = {}
    for line in listed.splitlines():
        name, _, value = line.partition(":")
        with contextlib.suppress(ValueError):
            pages[name.strip()] = int(value.strip().rstrip("."))
    names = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")
    if "Pages free" not in pages:
        return None
    return sum(pages.get(name, 0) for name in names) * os.sysconf("SC_PAGE_SIZE")
