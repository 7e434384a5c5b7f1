"""The zygote: what it says, that it forks clean jobs, and that they outlive it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_runner import manifest
from tests.process.lab import Lab, alive, cancel, event, pids, until

DRIVER = Path(__file__).with_name("zygote_driver.py")


class Zygote:
    """The server's end of a zygote."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin, self.stdout = process.stdin, process.stdout
        self.exits: list[dict[str, Any]] = []

    def tell(self, **message: Any) -> None:
        self.stdin.write(json.dumps(message).encode() + b"\n")
        self.stdin.flush()

    def hear(self) -> dict[str, Any]:
        return json.loads(self.stdout.readline())

    def start(self, job: Path) -> int:
        """Has a job started; the supervisor's pid."""
        self.tell(type="start", jobDir=str(job))
        answer = self.hear()
        while answer["type"] == "exited":
            self.exits.append(answer)
            answer = self.hear()
        assert (answer["type"], answer["jobDir"]) == ("supervising", str(job))
        return answer["pid"]


@pytest.fixture
def zygote(lab: Lab) -> Callable[..., Zygote]:
    def make(*arguments: str) -> Zygote:
        made = Zygote(
            lab.start(
                [sys.executable, str(DRIVER), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert made.hear()["type"] == "hello"
        assert made.hear()["type"] == "ready"
        return made

    return make


@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "lightgbm"])
def test_greets_imports_and_has_one_thread(lab: Lab, framework: str) -> None:
    command = ("zygote", "--framework", framework)
    zygote = Zygote(lab.runner(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    pid = zygote.process.pid
    assert zygote.hear() == {
        "type": "hello",
        "protocol": manifest.load()["protocol"],
        "manifest": manifest.sha256(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "pid": pid,
    }
    ready = zygote.hear()
    assert ready["type"] == "ready"
    assert ready["missing"] == []
    assert ready["versions"]
    assert len(os.listdir(f"/proc/{pid}/task")) == 1
    zygote.stdin.close()
    assert zygote.process.wait(5) == 0


def test_forks_jobs_and_tells_when_their_supervisors_are_gone(lab: Lab, zygote: Any) -> None:
    parent = zygote("succeed")
    jobs = [lab.job() for _ in range(5)]
    supervisors = {parent.start(jobs[0])}
    assert "executionReport" in lab.answer(jobs[0])
    assert parent.hear() == {"type": "exited", "pid": supervisors.pop(), "status": 0}
    for job in jobs[1:]:
        parent.tell(type="start", jobDir=str(job))
    heard = [parent.hear() for _ in range(8)]
    assert {m["jobDir"] for m in heard if m["type"] == "supervising"} == set(map(str, jobs[1:]))
    assert len([m for m in heard if m["type"] == "exited" and m["status"] == 0]) == 4
    for job in jobs:
        assert "executionReport" in lab.answer(job)
        assert event(job, "started")["supervisorPid"] != parent.process.pid


def test_a_job_of_a_zygote_inherits_nothing_of_it(lab: Lab, zygote: Any) -> None:
    job = lab.job()
    zygote("describe_itself").start(job)
    found = lab.answer(job)["executionReport"]
    others = {
        value
        for name, value in found["descriptors"].items()
        if int(name) > 2 and not value.startswith("/proc/")
    }
    assert others == {str(lab.home / "slots" / "cpu-0"), str(job / "events.ndjson")}
    assert len(set(found["signals"].values())) == 1
    assert found["session"]


def test_jobs_outlive_a_zygote_killed_while_they_run(lab: Lab, zygote: Any) -> None:
    parent = zygote("loop")
    job = lab.job()
    parent.start(job)
    until(lambda: pids(job))
    parent.process.kill()
    parent.process.wait()
    time.sleep(0.3)
    assert alive(pids(job)[0])
    assert not (job / "report.json").exists()
    cancel(job)
    assert lab.error(job)["type"] == "cancelled"


def test_queued_jobs_outlive_their_zygote(lab: Lab, zygote: Any) -> None:
    parent = zygote("short")
    jobs = [lab.job(slots=1) for _ in range(3)]
    for job in jobs:
        parent.start(job)
    parent.stdin.close()
    assert parent.process.wait(5) == 0
    for job in jobs:
        assert "executionReport" in lab.answer(job)


def test_supervisors_hold_none_of_the_zygotes_pipes(lab: Lab, zygote: Any) -> None:
    parent = zygote("loop")
    job = lab.job()
    parent.start(job)
    until(lambda: pids(job))
    parent.process.kill()
    # The end of stdout shows that nobody else has it open.
    assert parent.stdout.read() == b""
    cancel(job)
    lab.error(job)


def test_a_killed_supervisor_is_told(lab: Lab, zygote: Any) -> None:
    parent = zygote("loop")
    job = lab.job()
    pid = parent.start(job)
    until(lambda: pids(job))
    os.kill(pid, signal.SIGKILL)
    assert parent.hear() == {"type": "exited", "pid": pid, "status": -9}


def test_a_zygote_with_a_second_thread_starts_jobs_afresh(lab: Lab, zygote: Any) -> None:
    parent = zygote("kill_itself", "thread")
    job = lab.job()
    pid = parent.start(job)
    # Not the entry that a fork would have run, but the real action in a process of its own.
    error = lab.error(job, within=60)
    assert error["type"] != "runner-crashed", error
    assert event(job, "started")["supervisorPid"] == pid
    assert parent.hear() == {"type": "exited", "pid": pid, "status": 0}


def test_ctrl_c_is_the_servers_business(lab: Lab, zygote: Any) -> None:
    parent = zygote("succeed")
    parent.process.send_signal(signal.SIGINT)
    job = lab.job()
    parent.start(job)
    assert "executionReport" in lab.answer(job)


def test_forks_draw_different_random_numbers(lab: Lab, zygote: Any) -> None:
    parent = zygote("draw")
    drawn = []
    for job in [lab.job() for _ in range(2)]:
        parent.start(job)
        answer = lab.answer(job)
        assert "executionReport" in answer, answer
        drawn.append(answer["executionReport"]["drawn"])
    for first, second in zip(*drawn, strict=True):
        assert first != second
