"""The words of the supervisor's own answers."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from ml_runner.process import ending
from ml_runner.process.ending import Circumstances


def circumstances(**parts: Any) -> Circumstances:
    record = {
        "id": "V1StGXR8_Z5jdHi6B-myT",
        "lane": "cpu",
        "request": {"action": "train", "config": {"dataPath": "a.csv"}, "pythonEnv": ".venv"},
    }
    return Circumstances(record, elapsed=1.5, **parts)


@pytest.mark.parametrize(
    ("status", "kills", "stderr"),
    [
        (-signal.SIGKILL, 1, ""),
        (-signal.SIGABRT, 0, "terminate called after throwing an instance of 'std::bad_alloc'"),
    ],
)
def test_killed_for_memory(status: int, kills: int, stderr: str) -> None:
    error = ending.crashed(circumstances(stderr=stderr), status, kills)
    assert (error.type, error.exit_code) == ("out-of-memory", 137)


def test_killed_while_memory_was_there() -> None:
    assert ending.crashed(circumstances(), -signal.SIGKILL, 0).type == "runner-crashed"
    assert ending.crashed(circumstances(), -signal.SIGABRT, 1).type == "runner-crashed"


def test_a_timeout_proposes_the_same_call_with_twice_the_time() -> None:
    error = ending.timed_out(circumstances(), 0.5 * 3600)
    assert error.next_call == {
        "tool": "train",
        "arguments": {"config": {"dataPath": "a.csv"}, "pythonEnv": ".venv", "timeout": 3600},
    }
    assert error.metadata == {
        "timeout": 1800.0,
        "jobId": "V1StGXR8_Z5jdHi6B-myT",
        "elapsedSeconds": 1.5,
    }


def test_the_last_checkpoint_is_always_told() -> None:
    checkpoint = {"path": "models/run1/last.ckpt", "unit": "round", "done": 40}
    what = circumstances(checkpoint=checkpoint)
    for error in (
        ending.timed_out(what, 5),
        ending.cancelled(what),
        ending.crashed(what, 1),
        ending.crashed(what, None),
        ending.out_of_memory(what),
    ):
        assert error.metadata["lastCheckpoint"] == checkpoint
