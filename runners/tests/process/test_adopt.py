"""Jobs that lost their supervisor: one answer each, the right one, and nothing left running."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ml_runner import files
from tests.process.lab import Lab, alive, cancel, event, events, pids, until


def adopt(lab: Lab, *directories: Path) -> list[str]:
    """Runs ``adopt`` and returns its outcomes."""
    process = lab.runner("adopt", *map(str, directories), stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["jobDir"] for line in lines] == [str(directory) for directory in directories]
    return [line["outcome"] for line in lines]


def kill_supervisor(lab: Lab, job: Path, entry: str, processes: int) -> None:
    """Runs a job until it has noted its processes, then kills its supervisor."""
    supervisor = lab.supervise(job, entry)
    until(lambda: len(pids(job)) >= processes)
    supervisor.kill()
    supervisor.wait()


def test_a_killed_supervisor_takes_its_job_along(lab: Lab) -> None:
    job = lab.job()
    kill_supervisor(lab, job, "loop_deaf", 2)
    main = event(job, "started")["pid"]
    until(lambda: not alive(main), 2, "death of the job")
    # Its child, a mere fork, does not; whoever adopts the job finds it.
    assert len([pid for pid in pids(job) if alive(pid)]) == 1
    assert adopt(lab, job) == ["crashed"]
    assert not any(map(alive, pids(job)))


def test_adopt_declares_a_dead_job_crashed_and_leaves_nothing_of_it(lab: Lab) -> None:
    job = lab.job()
    kill_supervisor(lab, job, "survive_supervisor", 3)
    assert any(map(alive, pids(job)))
    assert adopt(lab, job) == ["crashed"]
    assert not any(map(alive, pids(job)))
    error = lab.error(job)
    assert (error["type"], error["exitCode"]) == ("runner-crashed", 137)
    assert error["metadata"]["jobId"] == job.name
    assert [e["type"] for e in events(job)] == ["started", "phase", "ended"]
    assert [e["seq"] for e in events(job)] == [1, 2, 3]
    assert adopt(lab, job) == ["reported"]


def test_a_reader_of_the_events_is_not_taken_for_a_process_of_the_job(lab: Lab) -> None:
    job = lab.job()
    kill_supervisor(lab, job, "survive_supervisor", 3)
    with open(job / "events.ndjson") as events_file:
        follower = lab.start(["tail", "-f", str(job / "events.ndjson")], stdout=subprocess.DEVNULL)
        time.sleep(0.1)
        assert adopt(lab, job) == ["crashed"]
        assert follower.poll() is None
        assert events_file.readline()


def test_adopt_publishes_a_complete_result(lab: Lab) -> None:
    job = lab.job()
    kill_supervisor(lab, job, "answer_and_wait", 1)
    assert adopt(lab, job) == ["published"]
    assert "executionReport" in lab.answer(job)
    assert event(job, "ended")["state"] == "succeeded"
    assert not (job / "result.json").exists()
    assert not any(map(alive, pids(job)))


def test_a_supervisor_killed_between_its_last_event_and_the_report(lab: Lab) -> None:
    job = lab.job()
    kill_supervisor(lab, job, "answer_and_wait", 1)
    with open(job / "events.ndjson", "a") as file:
        line = {"seq": 2, "time": time.time(), "type": "ended", "state": "succeeded", "exitCode": 0}
        file.write(json.dumps(line) + "\n")
    assert adopt(lab, job) == ["published"]
    assert [e["type"] for e in events(job)] == ["started", "ended"]


def test_adopt_starts_a_queued_job(lab: Lab) -> None:
    job = lab.job()
    assert adopt(lab, job) == ["supervising"]
    # The real action runs, in a fresh interpreter, and finds that there is no such file.
    error = lab.error(job, within=60)
    assert error["type"] in ("invalid-configuration", "data-loading-error"), error
    assert event(job, "started")["pid"]


def test_adopt_leaves_alone_what_is_supervised(lab: Lab) -> None:
    job = lab.job()
    lab.supervise(job, "loop")
    until(lambda: pids(job))
    assert adopt(lab, job) == ["held"]
    assert all(map(alive, pids(job)))
    cancel(job)
    lab.error(job)


def test_adopt_of_what_is_no_job(lab: Lab) -> None:
    assert adopt(lab, lab.home / "jobs" / "nothing") == ["absent"]


def test_of_racing_adopters_one_declares_the_job_dead(lab: Lab) -> None:
    job = lab.job()
    kill_supervisor(lab, job, "survive_supervisor", 3)
    processes = [lab.runner("adopt", str(job), stdout=subprocess.PIPE) for _ in range(4)]
    outcomes = [json.loads(process.communicate(timeout=30)[0])["outcome"] for process in processes]
    assert outcomes.count("crashed") == 1
    assert set(outcomes) <= {"crashed", "held", "reported"}
    assert len([e for e in events(job) if e["type"] == "ended"]) == 1


def test_of_racing_adopters_one_starts_a_queued_job(lab: Lab) -> None:
    job = lab.job()
    processes = [lab.runner("adopt", str(job), stdout=subprocess.PIPE) for _ in range(4)]
    outcomes = [json.loads(process.communicate(timeout=30)[0])["outcome"] for process in processes]
    assert outcomes.count("supervising") == 1
    lab.answer(job, within=60)
    assert len([e for e in events(job) if e["type"] == "started"]) == 1


def test_a_supervisor_finds_a_job_that_has_run_before(lab: Lab) -> None:
    job = lab.job()
    kill_supervisor(lab, job, "survive_supervisor", 3)
    lab.supervise(job, "succeed")
    assert lab.error(job)["type"] == "runner-crashed"
    assert not any(map(alive, pids(job)))


@pytest.mark.parametrize("lane", ["cpu", "light"])
def test_a_light_job_that_died_names_the_same_call(lab: Lab, lane: str) -> None:
    job = lab.job(lane=lane)
    kill_supervisor(lab, job, "loop", 1)
    adopt(lab, job)
    error = lab.error(job)
    next_call: dict[str, Any] | None = error.get("nextCall")
    assert (next_call is not None) == (lane == "light")
    if next_call:
        assert next_call["tool"] == "train"


def test_a_lock_says_who_owns_a_job(lab: Lab) -> None:
    job = lab.job()
    lab.supervise(job, "loop")
    until(lambda: pids(job))
    assert files.try_lock(job / "lock") is None
    cancel(job)
    lab.error(job)
    until(lambda: files.try_lock(job / "lock") is not None)
