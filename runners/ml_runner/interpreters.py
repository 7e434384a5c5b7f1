"""Which Python a call means by ``pythonEnv``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_runner import environment, errors
from ml_runner.process import launch

_SECONDS = 60.0


def resolve(sent: str, base_dir: Path) -> str:
    """The interpreter that ``pythonEnv`` names: its path, an environment's, or ``conda:NAME``.

    Raises:
        InvalidConfiguration: there is none.
    """
    if sent.startswith("conda:"):
        candidates = list(_conda_environments(sent.removeprefix("conda:")))
    else:
        candidates = [base_dir / Path(sent).expanduser()]
    for candidate in candidates:
        for path in (candidate, candidate / "bin" / "python", candidate / "bin" / "python3"):
            if path.is_file() and os.access(path, os.X_OK):
                # Not the link's target: a venv is known by where its interpreter is called.
                return os.path.abspath(path)
    looked = f": looked at {', '.join(map(str, candidates))}" if candidates else ""
    raise errors.InvalidConfiguration(
        f"pythonEnv '{sent}' holds no Python interpreter{looked}",
        solution="Send the path of an interpreter or of an environment, or conda:NAME.",
        metadata={"key": "pythonEnv", "sent": sent},
    )


def describe(executable: str, why: str) -> dict[str, Any]:
    """The ``python`` part of a ``JobRequest`` for an interpreter.

    Raises:
        InvalidConfiguration: it cannot run this package.
    """
    if os.path.abspath(executable) == os.path.abspath(sys.executable):
        kind = environment.kind()
    else:
        kind = _ask(executable)["kind"]
    return {"executable": executable, "kind": kind, "why": why, "warnings": []}


def _ask(executable: str) -> dict[str, Any]:
    command = launch.command(executable, "environment")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        stderr = getattr(error, "stderr", None)
        raise errors.InvalidConfiguration(
            f"'{executable}' does not run as a Python of 3.10 or newer: {error}",
            solution="Name another interpreter or environment as pythonEnv.",
            metadata={"key": "pythonEnv", "sent": executable},
            stderr=stderr[-2000:] if isinstance(stderr, str) else None,
        ) from error


def _conda_environments(name: str) -> Iterator[Path]:
    conda = os.environ.get("CONDA_EXE")
    roots = [Path(conda).parents[1]] if conda else []
    roots += [
        Path.home() / found for found in ("miniconda3", "anaconda3", "miniforge3", "mambaforge")
    ]
    for root in roots:
        yield root if name == "base" else root / "envs" / name
    listed = Path.home() / ".conda" / "environments.txt"
    if listed.exists():
        for line in listed.read_text().splitlines():
            if Path(line).name == name:
                yield Path(line)
