"""How jobs end under their supervisor: by themselves, by force, and with nothing left of them."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.process.lab import Lab, alive, cancel, event, events, has_event, pids, running, until


def test_success_is_published_as_the_job_wrote_it(lab: Lab) -> None:
    job = lab.job()
    supervisor = lab.supervise(job, "succeed")
    report = lab.answer(job)["executionReport"]
    assert report.pop("metadata")["peakMemoryBytes"] > 4 << 20
    assert report == {"exitCode": 0, "status": "success"}
    assert supervisor.wait(5) == 0
    assert [e["type"] for e in events(job)] == ["started", "ended"]
    assert [e["seq"] for e in events(job)] == [1, 2]
    started, ended = events(job)
    assert started["supervisorPid"] == supervisor.pid
    assert started["queuedSeconds"] >= 0
    assert (ended["state"], ended["exitCode"]) == ("succeeded", 0)
    assert not (job / "result.json").exists()


@pytest.mark.parametrize(
    ("entry", "exit_code", "told"),
    [
        ("exit_3", 3, "exit code 3"),
        ("exit_0_silently", 1, "exit code 0"),
        ("segfault", 139, "SIGSEGV"),
        ("kill_itself", 137, "SIGKILL"),
        ("kill_its_group", 137, "SIGKILL"),
    ],
)
def test_a_process_that_dies_is_a_crash(lab: Lab, entry: str, exit_code: int, told: str) -> None:
    job = lab.job()
    lab.supervise(job, entry)
    error = lab.error(job)
    assert (error["type"], error["exitCode"]) == ("runner-crashed", exit_code)
    assert told in error["message"]
    assert error["metadata"]["jobId"] == job.name
    assert error["metadata"]["elapsedSeconds"] >= 0
    assert "nextCall" not in error
    assert event(job, "ended")["state"] == "failed"
    if entry == "exit_3":
        assert error["stderr"] == "leaving"


def test_a_crashed_light_job_names_the_same_call(lab: Lab) -> None:
    job = lab.job(lane="light", request={"outputDir": "out"})
    lab.supervise(job, "kill_itself")
    assert lab.error(job)["nextCall"] == {
        "tool": "train",
        "arguments": {
            "framework": "sklearn",
            "config": {"dataPath": "data.csv"},
            "timeout": 60,
            "outputDir": "out",
        },
    }


def test_a_crash_names_the_last_checkpoint(lab: Lab) -> None:
    job = lab.job()
    lab.supervise(job, "checkpoint_and_die")
    checkpoint = lab.error(job)["metadata"]["lastCheckpoint"]
    assert checkpoint["unit"] == "round"
    assert checkpoint["done"] == 40
    assert checkpoint["path"].endswith("last.ckpt")


@pytest.mark.parametrize("entry", ["leave_sessions", "leave_double_forks", "daemon_floods"])
def test_nothing_outlives_a_job_that_succeeded(lab: Lab, entry: str) -> None:
    job = lab.job()
    began = time.monotonic()
    assert "executionReport" in lab.run(job, entry)
    # At the very moment that the report is there, everybody is gone.
    assert [pid for pid in pids(job) if alive(pid)] == []
    assert time.monotonic() - began < 5


def test_a_process_that_keeps_replacing_itself_is_caught(lab: Lab) -> None:
    job = lab.job()
    supervisor = lab.supervise(job, "fork_on_and_on")
    assert "executionReport" in lab.answer(job)
    assert supervisor.wait(5) == 0
    assert running(b"fork_on_and_on") == []


def test_timeout_ends_an_endless_loop(lab: Lab) -> None:
    job = lab.job(request={"timeout": 1})
    began = time.monotonic()
    lab.supervise(job, "loop")
    error = lab.error(job)
    assert 1 <= time.monotonic() - began < 10
    assert (error["type"], error["exitCode"]) == ("timeout-exceeded", 124)
    assert error["nextCall"]["arguments"]["timeout"] == 2
    assert error["metadata"]["timeout"] == 1
    assert not any(map(alive, pids(job)))
    assert event(job, "ended")["state"] == "failed"


def test_timeout_tells_the_checkpoint(lab: Lab) -> None:
    job = lab.job(request={"timeout": 1})
    lab.supervise(job, "checkpoint_and_loop")
    assert lab.error(job)["metadata"]["lastCheckpoint"]["done"] == 40


def test_timeout_is_the_manifests_where_the_call_has_none(lab: Lab) -> None:
    job = lab.job()
    record = json.loads((job / "request.json").read_text())
    del record["request"]["timeout"]
    (job / "request.json").write_text(json.dumps(record))
    assert "executionReport" in lab.run(job, "succeed")


@pytest.mark.parametrize("entry", ["loop", "loop_deaf", "stop_itself"])
def test_cancel_ends_everything_within_ten_seconds(lab: Lab, entry: str) -> None:
    job = lab.job()
    lab.supervise(job, entry)
    if entry == "stop_itself":
        until(lambda: has_event(job, "started"))
        time.sleep(0.2)
    else:
        until(lambda: pids(job))
    began = time.monotonic()
    cancel(job)
    error = lab.error(job)
    assert time.monotonic() - began < 10
    assert (error["type"], error["exitCode"]) == ("cancelled", 130)
    assert error["metadata"]["elapsedSeconds"] > 0
    assert not any(map(alive, [*pids(job), event(job, "started")["pid"]]))
    assert event(job, "ended")["state"] == "cancelled"


def test_a_job_that_listens_writes_a_checkpoint_and_ends_at_once(lab: Lab) -> None:
    job = lab.job()
    lab.supervise(job, "checkpoint_when_cancelled")
    until(lambda: pids(job))
    began = time.monotonic()
    cancel(job)
    error = lab.error(job)
    # Before it would have been terminated.
    assert time.monotonic() - began < 3
    assert error["type"] == "cancelled"
    assert error["metadata"]["lastCheckpoint"]["done"] > 0
    assert error["metadata"]["lastCheckpoint"]["path"].endswith("last.ckpt")


def test_timeout_asks_for_a_checkpoint_too(lab: Lab) -> None:
    job = lab.job(request={"timeout": 1})
    lab.supervise(job, "checkpoint_when_cancelled")
    error = lab.error(job)
    assert error["type"] == "timeout-exceeded"
    assert error["metadata"]["lastCheckpoint"]["done"] > 0


def test_success_after_the_request_to_stop_is_success(lab: Lab) -> None:
    job = lab.job()
    lab.supervise(job, "succeed_when_cancelled")
    until(lambda: pids(job))
    cancel(job)
    assert "executionReport" in lab.answer(job)


def test_sigterm_to_the_supervisor_cancels(lab: Lab) -> None:
    job = lab.job()
    supervisor = lab.supervise(job, "loop")
    until(lambda: pids(job))
    os.kill(supervisor.pid, signal.SIGTERM)
    assert lab.error(job)["type"] == "cancelled"
    assert not any(map(alive, pids(job)))


def test_a_second_supervisor_leaves_quietly(lab: Lab) -> None:
    job = lab.job()
    lab.supervise(job, "loop")
    until(lambda: pids(job))
    assert lab.supervise(job, "succeed").wait(10) == 0
    assert not (job / "report.json").exists()
    assert len(events(job)) == 1
    cancel(job)
    lab.error(job)
    assert lab.supervise(job, "succeed").wait(10) == 0
    assert lab.error(job)["type"] == "cancelled"


def test_what_a_job_process_is(lab: Lab) -> None:
    job = lab.job()
    found = lab.run(job, "describe_itself")["executionReport"]
    descriptors = found.pop("descriptors")
    assert descriptors.pop("0") == "/dev/null"
    assert descriptors.pop("1").startswith("pipe:")
    assert descriptors.pop("2").startswith("pipe:")
    # Beside these two, the directory being listed: neither lock nor control nor anything of ours.
    others = {value for value in descriptors.values() if not value.startswith("/proc/")}
    assert others == {str(lab.home / "slots" / "cpu-0"), str(job / "events.ndjson")}
    assert found["cwd"] == str(lab.work)
    assert found["session"] is True
    assert found["job"] == job.name
    assert int(found["oom"]) >= 500
    assert set(found["signals"].values()) == {"0"} or set(found["signals"].values()) == {
        "Handlers.SIG_DFL"
    }


def test_a_control_line_in_pieces_and_other_lines(lab: Lab) -> None:
    job = lab.job()
    lab.supervise(job, "loop")
    until(lambda: pids(job))
    control = os.open(job / "control", os.O_WRONLY | os.O_NONBLOCK)
    os.write(control, b"hello\ncan")
    time.sleep(0.2)
    assert not (job / "report.json").exists()
    os.write(control, b"cel\n")
    os.close(control)
    assert lab.error(job)["type"] == "cancelled"
