"""Runs of the real command line that are killed in their middle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_RUNNER = Path(__file__).resolve().parents[2] / "ml_runner"


class Runs:
    """Starts ``python ml_runner run`` in a directory of its own.

    Args:
        base: working directory.
        home: the state directory.
    """

    def __init__(self, base: Path, home: Path) -> None:
        self.base, self.home = base, home

    def start(self, request: dict[str, Any], *arguments: str, every: float = 0.05) -> Started:
        """Starts a request.

        Args:
            request: the whole of it.
            *arguments: of the command, beside the request.
            every: least seconds between checkpoints.
        """
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "ML_EXECUTOR_HOME": str(self.home),
            "ML_EXECUTOR_CHECKPOINT_SECONDS": str(every),
        }
        process = subprocess.Popen(
            [sys.executable, str(_RUNNER), "run", "-", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.base,
            env=environment,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        process.stdin = None  # communicate would flush it
        return Started(self, process)

    def answer(self, request: dict[str, Any], *arguments: str, **more: Any) -> dict[str, Any]:
        """The answer of a request that is left alone."""
        return self.start(request, *arguments, **more).answer()

    def report(self, request: dict[str, Any], *arguments: str, **more: Any) -> dict[str, Any]:
        """The report of one that succeeds."""
        answer = self.answer(request, *arguments, **more)
        assert "executionReport" in answer, answer
        return answer["executionReport"]

    def follow(self, error: dict[str, Any]) -> dict[str, Any]:
        """The request that an error proposes."""
        call = error["nextCall"]
        return {"action": call["tool"], **call["arguments"]}

    def sha256(self, path: str) -> str:
        """Digest of a file."""
        return hashlib.sha256((self.base / path).read_bytes()).hexdigest()


class Started:
    """A request that is running."""

    def __init__(self, runs: Runs, process: subprocess.Popen[str]) -> None:
        self._runs, self._process = runs, process
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("job "), first + process.stderr.read()
        self.id = first.split()[1]
        self.directory = runs.home / "jobs" / self.id

    def events(self) -> list[dict[str, Any]]:
        """What the job has said so far."""
        with contextlib.suppress(FileNotFoundError):
            text = (self.directory / "events.ndjson").read_text()
            return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        return []

    def wait_for(self, unit: str, done: int) -> None:
        """Until the job has a checkpoint, and this many units behind it."""
        while self._process.poll() is None:
            events = self.events()
            kept = any(event["type"] == "checkpoint" for event in events)
            far = any(
                event["type"] == "progress" and event["unit"] == unit and event["done"] >= done
                for event in events
            )
            if kept and far:
                return
            time.sleep(0.005)
        raise AssertionError(f"it ended first: {self._process.communicate()}")

    def kill(self) -> dict[str, Any]:
        """SIGKILL to the job's process; the error that is told of it."""
        pid = next(event["pid"] for event in self.events() if event["type"] == "started")
        os.kill(pid, signal.SIGKILL)
        return self.answer()["error"]

    def cancel(self) -> dict[str, Any]:
        """As Ctrl-C does; the error that is told of it."""
        self._process.send_signal(signal.SIGINT)
        return self.answer()["error"]

    def answer(self) -> dict[str, Any]:
        """What it ends with."""
        output, errors = self._process.communicate()
        assert output, errors
        return json.loads(output)
