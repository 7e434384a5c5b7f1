"""The names that completions offer: only what a call takes, only what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ml_runner import frameworks
from ml_runner.training import requested, vocabulary

RUNNER = Path(vocabulary.__file__).parents[1]


def test_every_name_is_one_that_a_call_takes():
    names = vocabulary.report()
    assert list(names["algorithms"]) == frameworks.names()
    for algorithms in names["algorithms"].values():
        assert algorithms == sorted(set(algorithms))
        # Its own name or not: a call that leaves the framework out is understood.
        for name in algorithms:
            frameworks.resolve_training("auto", {"algorithm": name})
    assert len(names["metrics"]) == len(set(names["metrics"])) > 20
    for metric in names["metrics"]:
        requested.by_name(metric)


def test_a_framework_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    monkeypatch.delitem(sys.modules, "xgboost", raising=False)
    algorithms = vocabulary.report()["algorithms"]
    assert "lightgbm" not in algorithms
    assert "RandomForestClassifier" in algorithms["sklearn"]


def test_the_command_prints_it_alone():
    done = subprocess.run(
        [sys.executable, str(RUNNER), "vocabulary"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == vocabulary.report()
