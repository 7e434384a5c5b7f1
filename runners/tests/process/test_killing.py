"""Supervisors killed at any moment: each job gets exactly one answer, and nothing of it remains."""

from __future__ import annotations

import json
import random
import subprocess
import time

import pytest

from ml_runner.process import leftovers
from tests.process.lab import Lab, events


@pytest.mark.parametrize("count", [10, pytest.param(300, marks=pytest.mark.soak)])
def test_a_supervisor_killed_at_a_random_moment(lab: Lab, count: int) -> None:
    seed = random.randrange(10**9)
    generator = random.Random(seed)
    for number in range(count):
        job = lab.job()
        supervisor = lab.supervise(job, "work_and_answer")
        while not (job / "control").exists():
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.15))
        supervisor.kill()
        supervisor.wait()
        adopter = lab.runner("adopt", str(job), stdout=subprocess.PIPE)
        outcome = json.loads(adopter.communicate(timeout=60)[0])["outcome"]
        adopter.wait()
        where = f"round {number} of seed {seed}: {outcome}"
        # Killed before it had started the job: then the adopter starts it, as the action it names.
        assert outcome in ("reported", "published", "crashed", "supervising"), where
        answer = lab.answer(job)
        kinds = [event["type"] for event in events(job)]
        assert kinds.count("started") == 1, where
        assert kinds.count("ended") == 1, where
        assert kinds[-1] == "ended", where
        assert [e["seq"] for e in events(job)] == list(range(1, len(kinds) + 1)), where
        if outcome in ("reported", "published"):
            assert "executionReport" in answer, where
        elif outcome == "crashed":
            assert answer["error"]["type"] == "runner-crashed", where
        assert leftovers.find(job.name, job) == [], where
