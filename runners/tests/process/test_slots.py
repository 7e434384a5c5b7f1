"""How many jobs run at once, and in which order."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from tests.process.lab import Lab, cancel, event, has_event, pids, until


def test_three_jobs_share_one_slot_in_order(lab: Lab) -> None:
    jobs = [lab.job(slots=1) for _ in range(3)]
    for job in jobs:
        lab.supervise(job, "short")
        _wait_until_queued_or_running(job)
    for job in jobs:
        assert "executionReport" in lab.answer(job)
    runs = [_interval(job) for job in jobs]
    for (_, ended), (started, _) in itertools.pairwise(runs):
        assert ended <= started
    assert event(jobs[2], "started")["queuedSeconds"] > event(jobs[0], "started")["queuedSeconds"]


def test_two_slots_run_two_jobs_at_once_and_no_third(lab: Lab) -> None:
    jobs = [lab.job(slots=2) for _ in range(3)]
    for job in jobs[:2]:
        lab.supervise(job, "loop")
    for job in jobs[:2]:
        until(lambda job=job: pids(job))
    lab.supervise(jobs[2], "succeed")
    _wait_until_queued_or_running(jobs[2])
    time.sleep(0.3)
    assert not has_event(jobs[2], "started")
    cancel(jobs[1])
    assert "executionReport" in lab.answer(jobs[2])
    assert not (jobs[0] / "report.json").exists()
    cancel(jobs[0])
    lab.error(jobs[0])


def test_lanes_do_not_wait_for_each_other(lab: Lab) -> None:
    heavy, light = lab.job(slots=1), lab.job(lane="light", slots=1)
    lab.supervise(heavy, "loop")
    until(lambda: pids(heavy))
    assert "executionReport" in lab.run(light, "succeed")
    cancel(heavy)
    lab.error(heavy)


def test_an_exclusive_job_takes_every_slot_and_lets_nobody_pass(lab: Lab) -> None:
    first = lab.job(slots=3)
    exclusive = lab.job(slots=3, exclusive=True)
    later = lab.job(slots=3)
    lab.supervise(first, "loop")
    until(lambda: pids(first))
    lab.supervise(exclusive, "short")
    _wait_until_queued_or_running(exclusive)
    time.sleep(0.1)
    lab.supervise(later, "short")
    _wait_until_queued_or_running(later)
    time.sleep(0.3)
    assert not has_event(exclusive, "started")
    assert not has_event(later, "started")
    cancel(first)
    assert "executionReport" in lab.answer(exclusive)
    assert "executionReport" in lab.answer(later)
    assert _interval(first)[1] <= _interval(exclusive)[0]
    assert _interval(exclusive)[1] <= _interval(later)[0]


def test_an_exclusive_job_also_waits_for_slots_that_another_server_was_given(lab: Lab) -> None:
    jobs = [lab.job(slots=2) for _ in range(2)]
    exclusive = lab.job(slots=1, exclusive=True)
    for job in jobs:
        lab.supervise(job, "loop")
        until(lambda job=job: pids(job))
    lab.supervise(exclusive, "succeed")
    cancel(jobs[0])
    lab.error(jobs[0])
    time.sleep(0.2)
    assert not has_event(exclusive, "started")
    cancel(jobs[1])
    assert "executionReport" in lab.answer(exclusive)


def test_cancel_while_queued(lab: Lab) -> None:
    running, queued, next_one = (lab.job(slots=1) for _ in range(3))
    lab.supervise(running, "loop")
    until(lambda: pids(running))
    supervisor = lab.supervise(queued, "succeed")
    _wait_until_queued_or_running(queued)
    time.sleep(0.1)
    lab.supervise(next_one, "succeed")
    began = time.monotonic()
    cancel(queued)
    error = lab.error(queued)
    assert time.monotonic() - began < 5
    assert error["type"] == "cancelled"
    assert "queue" in error["message"]
    assert "elapsedSeconds" not in error["metadata"]
    assert supervisor.wait(5) == 0
    assert not has_event(queued, "started")
    # The queue goes on.
    cancel(running)
    lab.error(running)
    assert "executionReport" in lab.answer(next_one)


def test_death_gives_a_slot_back(lab: Lab) -> None:
    running, queued = lab.job(slots=1), lab.job(slots=1)
    supervisor = lab.supervise(running, "loop")
    until(lambda: pids(running))
    lab.supervise(queued, "succeed")
    supervisor.kill()
    assert "executionReport" in lab.answer(queued)


def _wait_until_queued_or_running(job: Path) -> None:
    until(lambda: (job / "control").exists(), what="supervisor")
    time.sleep(0.05)


def _interval(job: Path) -> tuple[float, float]:
    return event(job, "started")["time"], event(job, "ended")["time"]


def test_queued_jobs_that_nobody_supervises_are_adopted_in_the_order_of_the_call(lab: Lab) -> None:
    running = lab.job(slots=1)
    lab.supervise(running, "loop")
    until(lambda: pids(running))
    # They fail at once, which is as good as anything they could do.
    jobs = [lab.job(slots=1) for _ in range(12)]
    lab.runner("adopt", *map(str, jobs)).wait(60)
    cancel(running)
    for job in jobs:
        lab.answer(job)
    started = [event(job, "started")["time"] for job in jobs]
    assert started == sorted(started)
