"""Reports: words for durations and sizes, finite numbers, eight kilobytes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_runner import report
from ml_runner.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    record = {
        "protocol": 1,
        "id": "a",
        "request": {"action": "train", "config": {}, "outputDir": "out"},
        "baseDir": str(tmp_path),
        "roots": None,
        "threads": 2,
        "python": {"executable": sys.executable, "kind": "venv", "why": "test", "warnings": []},
    }
    (tmp_path / "request.json").write_text(json.dumps(record))
    return Job(tmp_path, light=True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5025, "1h 23m 45s"),
        (323, "5m 23s"),
        (3600, "1h 0m 0s"),
        (59.96, "1m 0s"),
        (45, "45.0s"),
        (12.34, "12.3s"),
        (0.9996, "1.0s"),
        (0.4321, "432ms"),
        (0.0318, "31.8ms"),
        (0.032, "32ms"),
        (0.00042, "0.42ms"),
        (0.0000042, "4.2µs"),
        (0, "0µs"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert report.duration_words(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(12, "12B"), (1536, "1.5KB"), (int(45.3 * 1024**2), "45.3MB"), (3 * 1024**4, "3.0TB")],
)
def test_sizes(size: int, words: str) -> None:
    assert report.size_words(size) == words


def _finish(job: Job, **body: Any) -> dict[str, Any]:
    answer = report.finish(job, {"framework": "sklearn", **body})
    json.dumps(answer, allow_nan=False)
    return answer["executionReport"]


def test_what_is_not_finite_is_null_and_named(job: Job) -> None:
    numpy = pytest.importorskip("numpy")
    found = _finish(
        job,
        metrics={"a": float("nan"), "b": [1.0, float("inf"), float("nan")], "c": numpy.float32(2)},
    )
    assert found["metrics"] == {"a": None, "b": [1.0, None, None], "c": 2.0}
    assert found["warnings"] == ["Not finite, and so null in this report: metrics.a, metrics.b"]


def test_a_short_report_is_whole(job: Job) -> None:
    found = _finish(job, metrics={"a": list(range(300))}, artifacts={"model": "out/m"})
    assert found["metrics"]["a"] == list(range(300))
    assert "truncated" not in found


def test_a_long_one_is_trimmed_in_order_and_whole_in_a_file(job: Job, tmp_path: Path) -> None:
    matrix = [[1] * 30 for _ in range(30)]
    found = _finish(job, metrics={"scores": [0.123456789] * 900, "confusionMatrix": matrix})
    assert found["metrics"]["scores"][-2:] == ["...", 0.123456789]
    # That was enough: the matrix stays.
    assert found["metrics"]["confusionMatrix"] == matrix
    assert found["truncated"] == ["out/report_full.json"]
    whole = json.loads((tmp_path / "out/report_full.json").read_text())
    assert len(whole["metrics"]["scores"]) == 900


@pytest.mark.parametrize(
    "body",
    [
        {"metrics": {f"m{i}": list(range(40)) for i in range(80)}},
        {"metrics": {"confusionMatrix": [[10] * 300] * 300}},
        {"metrics": {"classificationReport": {f"class_{i}": {"f1": i / 7} for i in range(999)}}},
        {"predictions": {"samplePredictions": [{"probabilities": [0.1234] * 1000}] * 5}},
        {"metadata": {"classes": [f"a long name {i}" for i in range(5000)]}},
        {"metadata": {"text": "x" * 50_000}},
    ],
)
def test_any_report_fits(body: dict[str, Any], job: Job) -> None:
    found = _finish(job, **body)
    text = json.dumps({"executionReport": found}, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) <= 8192
    assert found["truncated"]


def test_many_warnings_fit(job: Job) -> None:
    for number in range(100):
        job.warn(f"{number}: " + "words " * 100)
    found = _finish(job)
    assert len(json.dumps(found)) <= 8192
    assert len(found["warnings"]) == 6
