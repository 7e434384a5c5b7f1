"""Runs the plain scripts as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_SCRIPTS = Path(__file__).resolve().parents[1] / "plain"


def run(script: str, data: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the script prints for each case."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(_SCRIPTS / script), str(data)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=data,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
