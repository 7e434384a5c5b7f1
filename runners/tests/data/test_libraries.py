"""A library that is absent: named, with the command for exactly this environment.

Each test makes a real environment, which is how the command's ingredients are found out.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUNNERS = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
from pathlib import Path
from ml_runner import errors
from ml_runner.data import read_table
from ml_runner.libraries import need
try:
    if sys.argv[1] == "csv":
        read_table(Path(sys.argv[2]), warn=print)
    else:
        need(sys.argv[1], sys.argv[2], conda="of-conda")
except errors.FrameworkNotFound as error:
    answer = {"message": error.message, "solution": error.solution, "stderr": error.stderr}
    print(json.dumps({**answer, **error.metadata}))
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with nothing in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "my env"], check=True)
    return tmp_path / "my env"


def ask(environment: Path, *arguments: str) -> dict[str, Any]:
    result = subprocess.run(
        [environment / "bin" / "python", "-c", PROGRAM, *arguments],
        cwd=RUNNERS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_pandas_is_named(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    answer = ask(environment, "csv", str(tmp_path / "t.csv"))
    python = shlex.quote(str(environment / "bin" / "python"))
    assert answer["distribution"] == "pandas"
    assert "pandas is not in the Python environment" in answer["message"]
    assert f"{python} -m pip install pandas" in answer["solution"]
    assert "No module named 'pandas'" in answer["stderr"]


def test_uv(environment: Path) -> None:
    with (environment / "pyvenv.cfg").open("a") as file:
        file.write("uv = 0.9.1\n")
    python = shlex.quote(str(environment / "bin" / "python"))
    answer = ask(environment, "nowhere", "the-thing")
    assert answer["command"] == f"uv pip install --python {python} the-thing"


def test_conda(environment: Path) -> None:
    (environment / "conda-meta").mkdir()
    prefix = shlex.quote(str(environment))
    answer = ask(environment, "nowhere.inside", "the-thing")
    assert answer["command"] == f"conda install -p {prefix} -c conda-forge of-conda"


@pytest.mark.parametrize(
    "content", ["import something_else_missing", "raise OSError('libgomp.so.1: cannot open')"]
)
def test_broken_installation(content: str, environment: Path) -> None:
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "broken.py").write_text(content)
    answer = ask(environment, "broken", "broken-dist")
    assert "is installed" in answer["message"]
    assert "cannot be imported" in answer["message"]
