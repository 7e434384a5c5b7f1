"""Real trainings in forks of a real zygote, on each framework: none hangs, all agree."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.lab import Lab, event
from tests.process.test_run import iris
from tests.process.test_zygote import Zygote

MODELS = Path(__file__).resolve().parents[1] / "plain" / "models"
# Without a word about threads each of these libraries starts a pool of its own in the job.
CONFIGS: dict[str, dict[str, Any]] = {
    "sklearn": {
        "algorithm": "HistGradientBoostingClassifier",
        "hyperparameters": {"max_iter": 5},
        "crossValidation": {"folds": 2},
    },
    "xgboost": {"hyperparameters": {"max_depth": 3}, "numRounds": 5},
    "lightgbm": {"hyperparameters": {"num_leaves": 7, "verbose": -1}, "numRounds": 5},
    "pytorch": {
        "modelScript": "mlp.py",
        "lossFunction": "cross_entropy",
        "epochs": 2,
        "modelArgs": {"hidden": 128},
    },
}


@pytest.fixture(params=sorted(CONFIGS))
def framework(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def zygote(lab: Lab, framework: str) -> Iterator[Zygote]:
    made = Zygote(
        lab.runner(
            "zygote", "--framework", framework, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    )
    assert made.hear()["type"] == "hello"
    assert made.hear()["missing"] == []
    yield made
    made.stdin.close()


@pytest.mark.parametrize("count", [4, pytest.param(200, marks=pytest.mark.soak)])
def test_forked_trainings(lab: Lab, framework: str, zygote: Zygote, count: int) -> None:
    write_data(lab)
    reports = []
    for first in range(0, count, 2):
        jobs = [train(lab, framework, f"run{number}", threads=2) for number in (first, first + 1)]
        supervisors = [zygote.start(job) for job in jobs]
        for job, supervisor in zip(jobs, supervisors, strict=True):
            answer = lab.answer(job, within=30)
            assert "executionReport" in answer, answer
            # Forked, not started afresh.
            assert event(job, "started")["supervisorPid"] == supervisor
            reports.append(answer["executionReport"]["metrics"])
    assert all(report == reports[0] for report in reports)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fork_trains_as_a_fresh_process_does(
    lab: Lab, framework: str, zygote: Zygote, threads: int
) -> None:
    write_data(lab)
    forked = train(lab, framework, "forked", threads=threads)
    zygote.start(forked)
    spawned = train(lab, framework, "spawned", threads=threads)
    lab.runner("supervise", str(spawned))
    reports = [lab.answer(job, within=60)["executionReport"] for job in (forked, spawned)]
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert [report["metadata"]["threads"] for report in reports] == [threads, threads]
    key = "model" if "model" in reports[0]["artifacts"] else "bestModel"
    models = [(lab.work / report["artifacts"][key]).read_bytes() for report in reports]
    assert models[0] == models[1]


def write_data(lab: Lab) -> None:
    iris(lab)
    shutil.copy(MODELS / "mlp.py", lab.work)


def train(lab: Lab, framework: str, output: str, **record: Any) -> Path:
    request = {
        "framework": framework,
        "config": {"dataPath": "iris.csv", "targetColumn": "target", **CONFIGS[framework]},
        "outputDir": output,
    }
    return lab.job(request=json.loads(json.dumps(request)), **record)
