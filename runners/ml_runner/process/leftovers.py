"""What is left of a job whose supervisor was killed, found by what cannot be mistaken.

The job itself dies with its supervisor. Its descendants carry ``ML_EXECUTOR_JOB`` in the
environment that they were started with; those that it merely forked have its events open to write.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from ml_runner.process import descendants, system

_SECONDS = 5.0


def kill(job_id: str, directory: Path) -> None:
    """Kills every process of the job; returns when none is left, or after 5 seconds.

    Args:
        job_id: the job's id.
        directory: its directory. The caller holds the job's lock, and so is not one of them.
    """
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        found = find(job_id, directory)
        if not found:
            return
        descendants.send(found, signal.SIGKILL)
        time.sleep(0.01)


def find(job_id: str, directory: Path) -> list[int]:
    """Pids of the living processes of a job, this one left out."""
    marker = b"ML_EXECUTOR_JOB=" + os.fsencode(job_id)
    if not system.LINUX:
        return _find_with_ps(marker.decode())
    events = os.fsencode(os.path.realpath(directory / "events.ndjson"))
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and _belongs(name, marker, events):
            found.append(int(name))
    return found


def _belongs(pid: str, marker: bytes, events: bytes) -> bool:
    with contextlib.suppress(OSError):
        # A zombie's environment reads as empty and it has no descriptors.
        with open(f"/proc/{pid}/environ", "rb") as file:
            if marker in file.read().split(b"\0"):
                return True
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                link = os.readlink(os.fsencode(f"/proc/{pid}/fd/{descriptor}"))
                if link == events and _writes(pid, descriptor):
                    return True
    return False


def _writes(pid: str, descriptor: str) -> bool:
    # Followers have the file open too, to read.
    with open(f"/proc/{pid}/fdinfo/{descriptor}") as file:
        for line in file:
            if line.startswith("flags:"):
                return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False


def _find_with_ps(marker: str) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-E", "-ww", "-o", "pid=,command="],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    found: list[int] = []
    for line in listed.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        if pid.isdigit() and int(pid) != os.getpid() and marker in command.split():
            found.append(int(pid))
    return found
