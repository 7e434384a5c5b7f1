"""What an interpreter tells of itself, with the standard library alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_runner import environment, gpus

RUNNERS = Path(__file__).resolve().parents[2]


def told_by(python: str | Path) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-m", "ml_runner", "environment"],
        env={**os.environ, "PYTHONPATH": str(RUNNERS)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_bare_venv_gets_exact_commands(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    told = told_by(python)
    assert told["kind"] == "venv"
    assert told["executable"] == str(python)
    assert told["prefix"] == str(tmp_path / "bare")
    assert told["packages"] == {}
    for row in told["frameworks"]:
        assert row["version"] is None
        assert str(python) in row["install"]


def test_uv_and_conda_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.9.1\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert environment.kind() == "uv"
    assert environment.frameworks({})[0]["install"].startswith("uv pip install --python ")
    (tmp_path / "conda-meta").mkdir()
    assert environment.kind() == "conda"
    assert environment.frameworks({})[0]["install"].startswith(f"conda install -p {tmp_path} ")


def test_older_framework_is_told() -> None:
    rows = environment.frameworks({"scikit-learn": "0.22.1", "xgboost-cpu": "3.2.0"})
    by_name = {row["name"]: row for row in rows}
    assert by_name["sklearn"]["tooOld"]
    assert by_name["sklearn"]["tooOld"] in by_name["sklearn"]["install"]
    assert by_name["xgboost"]["version"] == "3.2.0"
    assert "tooOld" not in by_name["xgboost"]


def test_versions_agree_with_pip(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    versions = {row["name"]: row["version"] for row in json.loads(done.stdout)}
    told = told_by(sys.executable)
    assert told["packages"]
    for name, version in told["packages"].items():
        assert versions[name] == version


def test_gpus_are_whatever_the_drivers_say() -> None:
    for gpu in gpus.find():
        assert gpu["kind"] in {"cuda", "rocm", "mps"}
        assert gpu["name"]
        assert gpu.get("memoryTotalBytes", 1) > 0


def test_amd_is_read_from_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = tmp_path / "nodes"
    for index, simd in enumerate((0, 440)):
        bank = nodes / str(index) / "mem_banks" / "0"
        bank.mkdir(parents=True)
        (nodes / str(index) / "properties").write_text(f"cpu_cores_count 16\nsimd_count {simd}\n")
        (nodes / str(index) / "name").write_text("gfx90a\n")
        (bank / "properties").write_text("heap_type 1\nsize_in_bytes 68702699520\n")
    monkeypatch.setattr(gpus, "KFD_NODES", nodes)
    (gpu,) = gpus.amd()
    assert gpu["name"] == "gfx90a"
    assert gpu["memoryTotalBytes"] == 68702699520
