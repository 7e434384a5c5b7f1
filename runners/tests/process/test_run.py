"""``python -m ml_runner run``: one request, from the file to the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.process.lab import RUNNERS, Lab, alive, event, has_event, until

IRIS = """
from sklearn.datasets import load_iris
frame = load_iris(as_frame=True).frame
frame["target"] = frame["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"})
frame.to_csv("iris.csv", index=False)
"""


def iris(lab: Lab) -> None:
    subprocess.run([sys.executable, "-c", IRIS], cwd=lab.work, check=True)


def request(**config: Any) -> dict[str, Any]:
    """A training on iris in the seed's form."""
    return {
        "action": "train",
        "framework": "sklearn",
        "config": {
            "algorithm": "RandomForestClassifier",
            "dataPath": "iris.csv",
            "targetColumn": "target",
            "hyperparameters": {"n_estimators": 10},
            "crossValidation": {"folds": 3},
            **config,
        },
        "outputDir": "models/run1",
    }


def run(lab: Lab, value: Any, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, answer, stderr)."""
    text = value if isinstance(value, str) else json.dumps(value)
    process = lab.runner(
        "run",
        *(arguments or ("-",)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(text, timeout=120)
    return process.returncode, json.loads(out), err


def test_trains_from_a_file_and_from_a_pipe(lab: Lab) -> None:
    iris(lab)
    (lab.work / "request.json").write_text(json.dumps(request()))
    for argument in ("request.json", "-"):
        code, answer, err = run(lab, {**request(), "outputDir": "models/run2"}, argument)
        assert code == 0, answer
        report = answer["executionReport"]
        assert report["status"] == "success"
        assert report["outputDir"] == ("models/run2" if argument == "-" else "models/run1")
        assert (lab.work / report["artifacts"]["model"]).exists()
        assert report["metadata"]["python"]["executable"] == sys.executable
        assert "fold 3/3" in err


def test_refuses_with_the_exit_code_of_the_error(lab: Lab) -> None:
    code, answer, _ = run(lab, request(targetColum="x"))
    assert code == 2
    assert answer["error"]["type"] == "invalid-configuration"
    assert "targetColumn" in json.dumps(answer)
    # Nothing was started for it.
    assert not (lab.home / "jobs").exists()


def test_what_is_no_request(lab: Lab) -> None:
    for text in ("", "{", "[]", "{}", '{"action": "trian", "config": {}}'):
        code, answer, _ = run(lab, text)
        assert (code, answer["error"]["type"]) == (2, "invalid-configuration"), text
    code, answer, _ = run(lab, "", "no-such-file.json")
    assert (code, answer["error"]["type"]) == (2, "invalid-configuration")


def test_python_env_is_the_interpreter_that_does_the_job(lab: Lab) -> None:
    iris(lab)
    environment = Path(sys.executable).parents[1]
    code, answer, _ = run(lab, {**request(), "pythonEnv": str(environment)})
    assert code == 0, answer
    assert answer["executionReport"]["metadata"]["python"]["why"] == "named by pythonEnv"
    code, answer, _ = run(lab, {**request(), "pythonEnv": "no/such/env"})
    assert (code, answer["error"]["metadata"]["key"]) == (2, "pythonEnv")


def test_the_working_directory_hides_no_module(lab: Lab) -> None:
    for name in ("json", "numpy", "selectors", "ml_runner"):
        (lab.work / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    code, answer, err = run(lab, request())
    assert answer["error"]["type"] == "data-loading-error", (answer, err)
    assert code == 1


def test_ctrl_c_cancels(lab: Lab) -> None:
    iris(lab)
    endless = request(hyperparameters={"n_estimators": 10_000_000})
    process = lab.runner(
        "run", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(endless))
    process.stdin.close()
    process.stdin = None
    job = until(lambda: next((lab.home / "jobs").glob("*"), None), 20)
    until(lambda: has_event(job, "started"), 20)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=15)
    assert process.returncode == 130
    assert json.loads(out)["error"]["type"] == "cancelled"
    assert not alive(event(job, "started")["pid"])


def test_a_killed_supervisor_is_told(lab: Lab) -> None:
    iris(lab)
    endless = request(hyperparameters={"n_estimators": 10_000_000})
    (lab.work / "request.json").write_text(json.dumps(endless))
    process = lab.runner("run", "request.json", stdout=subprocess.PIPE, text=True)
    job = until(lambda: next((lab.home / "jobs").glob("*"), None), 20)
    until(lambda: has_event(job, "started"), 20)
    os.kill(event(job, "started")["supervisorPid"], signal.SIGKILL)
    out, _ = process.communicate(timeout=15)
    assert process.returncode == 137
    assert json.loads(out)["error"]["type"] == "runner-crashed"


def test_as_a_module_too(lab: Lab) -> None:
    (lab.work / "request.json").write_text(json.dumps(request(targetColum="x")))
    done = subprocess.run(
        [sys.executable, "-m", "ml_runner", "run", "request.json"],
        cwd=lab.work,
        env={**lab.environment, "PYTHONPATH": str(RUNNERS)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == "invalid-configuration"
