"""A lock directory so small that a whole environment takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RUNNERS = Path(__file__).resolve().parents[2]


def write(directory: Path) -> Path:
    """Writes two layers of pure Python: ``low`` (six) and ``high`` (packaging), which needs it."""
    directory.mkdir()
    layers = {
        "low": {"title": "six", "needs": [], "lock": "low.txt", "megabytes": 1},
        "high": {"title": "packaging", "needs": ["low"], "lock": "high.txt", "megabytes": 1},
    }
    rows = {"oldestPython": "3.11", "newestPython": "3.13", "layers": layers}
    (directory / "layers.json").write_text(json.dumps(rows))
    (directory / "low.txt").write_text("# The lower one.\nsix==1.17.0\n")
    (directory / "high.txt").write_text("packaging==26.3\n")
    return directory


def start(locks: Path, environments: Path, layers: str) -> subprocess.Popen[str]:
    """Starts a setup, whose messages come on stdout."""
    command = [sys.executable, "-P", "-m", "ml_runner.setup_environment"]
    command += ["--locks", str(locks), "--environments", str(environments), "--layers", layers]
    environment = {**os.environ, "PYTHONPATH": str(RUNNERS)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]]]:
    """Waits for a setup and returns its exit code and messages."""
    output, _ = process.communicate(timeout=180)
    return process.returncode, [json.loads(line) for line in output.splitlines()]


def set_up(locks: Path, environments: Path, layers: str) -> list[dict[str, Any]]:
    """Runs a setup to its end, which must be good."""
    code, messages = finish(start(locks, environments, layers))
    assert code == 0, messages
    return messages


def modules_work(environment: Path, *modules: str) -> bool:
    """Whether the environment's own interpreter imports the modules."""
    code = "; ".join(f"import {module}" for module in modules)
    done = subprocess.run([environment / "bin" / "python", "-I", "-c", code], check=False)
    return done.returncode == 0
