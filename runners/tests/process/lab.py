"""Real jobs in a state directory of their own, and a check that none of them leaves a process."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_runner.process import leftovers

RUNNERS = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("driver.py")


class Lab:
    """Makes jobs, starts their supervisors and looks at what they do."""

    def __init__(self, home: Path, work: Path) -> None:
        self.home = home
        self.work = work
        self.environment = {
            **os.environ,
            "ML_EXECUTOR_HOME": str(home),
            "PYTHONPATH": str(RUNNERS),
        }
        self._processes: list[subprocess.Popen[Any]] = []

    def job(self, *, lane: str = "cpu", slots: int = 2, **record: Any) -> Path:
        """Makes a queued job and returns its directory."""
        request = {
            "action": "train",
            "framework": "sklearn",
            "config": {"dataPath": "data.csv"},
            "timeout": 60,
            **record.pop("request", {}),
        }
        job_id = secrets.token_hex(8)
        directory = self.home / "jobs" / job_id
        directory.mkdir(parents=True)
        value = {
            "protocol": 1,
            "id": job_id,
            "createdAt": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "request": request,
            "baseDir": str(self.work),
            "roots": None,
            "python": {
                "executable": sys.executable,
                "kind": "venv",
                "why": "the tests run in it",
                "warnings": [],
            },
            "lane": lane,
            "exclusive": False,
            "slots": slots,
            "threads": 1,
            "principal": None,
            "requestId": None,
            **record,
        }
        (directory / "request.json").write_text(json.dumps(value))
        return directory

    def supervise(self, directory: Path, entry: str) -> subprocess.Popen[Any]:
        """Starts a supervisor whose job process does ``entry`` of ``entries.py``."""
        return self.start([sys.executable, str(DRIVER), str(directory), entry])

    def runner(self, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
        """Starts a command of the runner."""
        command = [sys.executable, str(RUNNERS / "ml_runner"), *arguments]
        return self.start(command, **options)

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[Any]:
        """Starts a process that is killed at the test's end, should it live until then."""
        process = subprocess.Popen(command, env=self.environment, cwd=self.work, **options)
        self._processes.append(process)
        return process

    def run(self, directory: Path, entry: str, within: float = 60) -> dict[str, Any]:
        """Does a job from beginning to end; its answer."""
        self.supervise(directory, entry)
        return self.answer(directory, within)

    def answer(self, directory: Path, within: float = 60) -> dict[str, Any]:
        """The job's report, once it is there."""
        until(lambda: (directory / "report.json").exists(), within, f"report of {directory}")
        return json.loads((directory / "report.json").read_text())

    def error(self, directory: Path, within: float = 60) -> dict[str, Any]:
        """The error that the job ended with."""
        return self.answer(directory, within)["error"]

    def close(self) -> None:
        """Kills what still runs."""
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        jobs = list((self.home / "jobs").glob("*")) if (self.home / "jobs").exists() else []
        for directory in jobs:
            if has_event(directory, "started") and not (directory / "report.json").exists():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(event(directory, "started")["supervisorPid"], signal.SIGKILL)
            leftovers.kill(directory.name, directory)


def until(condition: Callable[[], Any], within: float = 30, what: str = "condition") -> Any:
    """The first true value of ``condition``; fails the test where there is none in time."""
    end = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"no {what} within {within} s")
        time.sleep(0.01)


def events(directory: Path) -> list[dict[str, Any]]:
    """All events of a job."""
    path = directory / "events.ndjson"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def event(directory: Path, type: str) -> dict[str, Any]:
    """The last event of a type, which must be there."""
    return [e for e in events(directory) if e["type"] == type][-1]


def has_event(directory: Path, type: str) -> bool:
    """Whether there is an event of that type."""
    return any(e["type"] == type for e in events(directory))


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def running(argument: bytes) -> list[int]:
    """Pids of the living processes that have ``argument`` in their command line."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if argument in (path / "cmdline").read_bytes() and alive(int(path.name)):
                found.append(int(path.name))
    return found


def pids(directory: Path) -> list[int]:
    """The pids that an entry wrote down as those of the processes it left."""
    path = directory / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def cancel(directory: Path) -> None:
    """Asks a job's supervisor to end it, as a server does."""
    control = os.open(directory / "control", os.O_WRONLY | os.O_NONBLOCK)
    os.write(control, b"cancel\n")
    os.close(control)
