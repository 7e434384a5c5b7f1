"""Asking for a job's end before anybody supervises it, and after nobody does."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from ml_runner.process import control
from tests.process.lab import Lab, alive, has_event, pids, until


def adopt(lab: Lab, job: Path) -> str:
    process = lab.runner("adopt", str(job), stdout=subprocess.PIPE)
    return json.loads(process.communicate(timeout=30)[0])["outcome"]


def test_a_job_cancelled_before_it_was_supervised_never_runs(lab: Lab) -> None:
    job = lab.job()
    assert control.cancel(job) is False
    assert lab.run(job, "succeed")["error"]["type"] == "cancelled"
    assert not has_event(job, "started")


def test_adopt_ends_it_instead_of_starting_it(lab: Lab) -> None:
    job = lab.job()
    control.cancel(job)
    assert adopt(lab, job) == "stopped"
    assert lab.error(job)["type"] == "cancelled"


@pytest.mark.parametrize("reason", ["cancelled", "timeout-exceeded"])
def test_a_process_killed_for_a_reason_has_not_crashed(lab: Lab, reason: str) -> None:
    # As a server ends a light job: it says why, and kills the resident process.
    job = lab.job(lane="light", request={"timeout": 5})
    supervisor = lab.supervise(job, "loop")
    until(lambda: pids(job))
    (job / "stop.json").write_text(json.dumps({"reason": reason}))
    supervisor.kill()
    supervisor.wait()
    assert adopt(lab, job) == "stopped"
    error = lab.error(job)
    assert error["type"] == reason
    assert not any(map(alive, pids(job)))
    if reason == "timeout-exceeded":
        assert error["nextCall"]["arguments"]["timeout"] == 10


def test_a_supervisor_is_told_at_once(lab: Lab) -> None:
    job = lab.job()
    lab.supervise(job, "loop")
    until(lambda: pids(job))
    assert control.cancel(job) is True
    assert not (job / "stop.json").exists()
    assert lab.error(job)["type"] == "cancelled"


def test_an_answer_that_was_written_stands(lab: Lab) -> None:
    job = lab.job()
    supervisor = lab.supervise(job, "answer_and_wait")
    until(lambda: pids(job))
    (job / "stop.json").write_text('{"reason": "cancelled"}')
    supervisor.kill()
    supervisor.wait()
    assert adopt(lab, job) == "published"
    assert "executionReport" in lab.answer(job)


def test_a_cancel_at_any_moment_of_a_supervisors_start_is_heard(lab: Lab) -> None:
    for step in range(16):
        job = lab.job(slots=1)
        supervisor = lab.supervise(job, "loop")
        if step % 2:
            # The very moments around the opening of the FIFO.
            until(lambda job=job: (job / "control").exists())
        time.sleep(step // 2 * 0.004)
        control.cancel(job)
        assert lab.error(job)["type"] == "cancelled"
        assert supervisor.wait(10) == 0
