"""The resident process, forked from a zygote and started afresh: the same behaviour."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_runner import files, manifest
from tests.process.lab import Lab, alive, events, has_event, until
from tests.process.test_run import iris, request

DRIVER = Path(__file__).with_name("resident_driver.py")


class Connection:
    """The server's end of a resident process's socket."""

    def __init__(self, connection: socket.socket, parent: subprocess.Popen[bytes]) -> None:
        self.parent = parent
        self._socket = connection
        self._file = connection.makefile("rb")
        self.hello = self.hear()
        self.pid: int = self.hello["pid"]

    def hear(self) -> dict[str, Any]:
        return json.loads(self._file.readline())

    def at_end(self) -> bool:
        return self._file.readline() == b""

    def tell(self, **message: Any) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def run(self, job: Path) -> dict[str, Any]:
        self.tell(type="run", id=7, jobDir=str(job))
        message = self.hear()
        assert message["id"] == 7
        return message

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture(params=["forked", "spawned"])
def resident(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    made: list[Connection] = []

    def make() -> Connection:
        path = str(tmp_path / f"{len(made)}.sock")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        server.settimeout(120)
        if request.param == "forked":
            parent = lab.runner(
                "zygote", "--framework", "sklearn", stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert parent.stdin is not None
            message = {"type": "resident", "socket": path, "threads": 1}
            parent.stdin.write(json.dumps(message).encode() + b"\n")
            parent.stdin.flush()
        else:
            options = ("--socket", path, "--framework", "sklearn", "--threads", "1")
            parent = lab.runner("resident", *options)
        connection = Connection(server.accept()[0], parent)
        server.close()
        made.append(connection)
        return connection

    yield make
    for connection in made:
        connection.close()


Make = Callable[[], Connection]


def test_greets_and_ends_with_its_connection(resident: Make) -> None:
    connection = resident()
    assert connection.hello["protocol"] == manifest.load()["protocol"]
    assert connection.hello["manifest"] == manifest.sha256()
    connection.close()
    until(lambda: not alive(connection.pid), what="end of the resident process")


def test_does_jobs_one_after_another(lab: Lab, resident: Make) -> None:
    iris(lab)
    connection = resident()
    for number in range(3):
        job = lab.job(lane="light", request={**request(), "outputDir": f"run{number}"})
        message = connection.run(job)
        assert message["type"] == "answer"
        assert message["answer"]["executionReport"]["status"] == "success", message
        assert files.read_json(job / "report.json") == message["answer"]
        kinds = [e["type"] for e in events(job)]
        assert (kinds[0], kinds[-1]) == ("started", "ended")
        assert [e["seq"] for e in events(job)] == list(range(1, len(kinds) + 1))
        assert events(job)[0]["pid"] == connection.pid
        # Its locks are free again.
        assert files.try_lock(job / "lock") is not None


def test_leaves_no_output_directory_locked(lab: Lab, resident: Make) -> None:
    iris(lab)
    connection = resident()
    for overwrite in (False, True):
        job = lab.job(lane="light", request={**request(), "overwrite": overwrite})
        assert "executionReport" in connection.run(job)["answer"]


def test_predicts_again_with_the_model_that_it_has_loaded(lab: Lab, resident: Make) -> None:
    iris(lab)
    connection = resident()
    trained = lab.job(request=request())
    assert "executionReport" in connection.run(trained)["answer"]
    answers = []
    for number in range(3):
        job = lab.job(
            lane="light",
            request={
                "action": "predict",
                "framework": "auto",
                "config": {"modelPath": "models/run1", "inputData": "iris.csv"},
                "outputDir": f"predictions{number}",
            },
        )
        message = connection.run(job)
        assert "executionReport" in message["answer"], message
        answers.append(message["answer"]["executionReport"]["predictions"]["samplePredictions"])
    assert answers[0] == answers[1] == answers[2]


def test_answers_errors_and_goes_on(lab: Lab, resident: Make) -> None:
    connection = resident()
    absent = connection.run(lab.job(lane="light", request=request()))
    assert absent["answer"]["error"]["type"] == "data-loading-error"
    wrong = connection.run(lab.job(lane="light", request=request(targetColum="x")))
    assert wrong["answer"]["error"]["type"] == "invalid-configuration"
    iris(lab)
    assert "executionReport" in connection.run(lab.job(request=request()))["answer"]


def test_declines_what_another_process_has(lab: Lab, resident: Make) -> None:
    job = lab.job(lane="light", request=request())
    lock = files.try_lock(job / "lock")
    assert lock is not None
    message = resident().run(job)
    assert message["type"] == "decline"
    assert events(job) == []
    os.close(lock)


def test_a_declined_job_is_queued_again(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    parent = lab.start([sys.executable, str(DRIVER), str(path)])
    connection = Connection(server.accept()[0], parent)
    server.close()
    job = lab.job(lane="light", request=request())
    message = connection.run(job)
    assert message == {"type": "decline", "id": 7, "why": "the model brings a script"}
    assert not (job / "report.json").exists()
    # It counts as never started: a supervisor runs it as a process of its own.
    assert "executionReport" in lab.run(job, "succeed")
    assert [e["type"] for e in events(job)] == ["started", "phase", "declined", "started", "ended"]
    assert [e["seq"] for e in events(job)] == [1, 2, 3, 4, 5]
    connection.close()


def test_answers_a_job_that_has_its_report(lab: Lab, resident: Make) -> None:
    job = lab.job(lane="light", request=request())
    connection = resident()
    first = connection.run(job)
    count = len(events(job))
    assert connection.run(job) == first
    assert len(events(job)) == count


def test_a_job_that_is_killed_with_it_is_a_crash_with_the_same_call(
    lab: Lab, resident: Make
) -> None:
    iris(lab)
    connection = resident()
    job = lab.job(lane="light", request=request(hyperparameters={"n_estimators": 10_000_000}))
    connection.tell(type="run", id=1, jobDir=str(job))
    until(lambda: has_event(job, "phase"))
    os.kill(connection.pid, signal.SIGKILL)
    assert connection.at_end()
    process = lab.runner("adopt", str(job), stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=30)
    assert json.loads(out)["outcome"] == "crashed"
    error = lab.error(job)
    assert (error["type"], error["exitCode"]) == ("runner-crashed", 137)
    assert error["nextCall"]["tool"] == "train"


def test_describes(lab: Lab, resident: Make) -> None:
    iris(lab)
    connection = resident()
    where = {"baseDir": str(lab.work), "roots": None}
    connection.tell(type="describe", id=3, params={"path": "iris.csv"}, **where)
    message = connection.hear()
    assert message["id"] == 3
    assert message["answer"]["description"]["rows"] == 150
    connection.tell(type="describe", id=4, params={"path": "absent.csv"}, **where)
    assert connection.hear()["answer"]["error"]["type"] == "data-loading-error"


@pytest.mark.parametrize("resident", ["forked"], indirect=True)
def test_a_forked_one_dies_with_its_zygote(resident: Make) -> None:
    connection = resident()
    assert connection.parent.pid != connection.pid
    connection.parent.kill()
    until(lambda: not alive(connection.pid), 2, "end of the resident process")


def test_a_request_that_is_no_message_ends_it(resident: Make) -> None:
    connection = resident()
    connection.tell(type="nonsense", id=1)
    assert connection.at_end()
    until(lambda: not alive(connection.pid))


def test_a_call_that_explodes_is_refused_memory_and_goes_to_a_process_of_its_own(
    lab: Lab, resident: Make
) -> None:
    iris(lab)
    (lab.work / "greedy.py").write_text(
        "from sklearn.dummy import DummyClassifier\n"
        "class Greedy(DummyClassifier):\n"
        "    def fit(self, X, y):\n"
        "        held = b'x' * (4 << 30)\n"
        "        return super().fit(X, y)\n"
    )
    sent = request()
    config = {**sent["config"], "modelScript": "greedy.py"}
    for key in ("algorithm", "hyperparameters"):
        config.pop(key, None)
    connection = resident()
    job = lab.job(
        lane="light",
        request={**sent, "config": config},
        memoryLimit={"bytes": 1 << 30},
    )
    message = connection.run(job)
    assert message["type"] == "decline", message
    assert "memory" in message["why"]
    assert events(job)[-1]["type"] == "declined"
    assert not has_event(job, "ended")
    # The process is unhurt, and bounded no longer.
    after = lab.job(lane="light", request={**request(), "outputDir": "run"})
    assert connection.run(after)["answer"]["executionReport"]["status"] == "success"
