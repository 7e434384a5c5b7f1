"""What a process sees once it has activated the environment of its interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNNERS = Path(__file__).resolve().parents[2]
MAKE = RUNNERS.parent / "test" / "plain" / "environments.py"
TELL = (
    "import json, os, shutil, sys; sys.path.insert(0, sys.argv[1])\n"
    "from ml_runner import activation; activation.activate()\n"
    "print(json.dumps({**os.environ, 'python': shutil.which('python'),"
    " 'problems': activation.problems(), 'arguments': sys.argv[2:]}))"
)
# Another environment of each kind is active in the server.
INHERITED = {
    "HOME": "/nonexistent",
    "PATH": "/other/venv/bin:/other/conda/bin:/usr/local/bin:/usr/bin:/bin",
    "VIRTUAL_ENV": "/other/venv",
    "VIRTUAL_ENV_PROMPT": "other",
    "CONDA_PREFIX": "/other/conda",
    "CONDA_DEFAULT_ENV": "other",
    "REMOVED": "by the environment",
}


def made(kind: str, directory: Path) -> Path:
    """The interpreter of a new environment of ``kind``."""
    command = [sys.executable, str(MAKE), kind, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def activated(python: Path, **more: str) -> dict[str, object]:
    """The variables of a process of ``python`` that has activated its environment."""
    command = [str(python), "-c", TELL, str(RUNNERS), "an argument"]
    env = {**INHERITED, **more}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    told = json.loads(done.stdout)
    assert told["arguments"] == ["an argument"]
    return told


@pytest.mark.parametrize("kind", ["venv-without-pip", "uv"])
def test_a_virtual_environment_is_the_only_one_active(kind: str, tmp_path: Path):
    python = made(kind, tmp_path / "environment")
    told = activated(python)
    assert told["VIRTUAL_ENV"] == str(tmp_path / "environment")
    assert told["python"] == str(python)
    assert told["PATH"] == f"{python.parent}:/usr/local/bin:/usr/bin:/bin"
    assert not {"CONDA_PREFIX", "CONDA_DEFAULT_ENV"} & told.keys()
    assert told["problems"] == []


def test_conda_brings_its_variables_and_those_of_its_scripts(tmp_path: Path):
    python = made("conda", tmp_path / "envs" / "research")
    prefix = str(tmp_path / "envs" / "research")
    told = activated(python)
    assert told["CONDA_PREFIX"] == prefix
    assert told["CONDA_DEFAULT_ENV"] == "research"
    assert told["PATH"] == f"{prefix}/bin:/usr/local/bin:/usr/bin:/bin"
    assert told["python"] == str(python)
    assert told["ENV_VAR"] == "of this environment"
    assert told["FROM_SCRIPT"] == f"{prefix}/lib"
    assert told["LD_LIBRARY_PATH"] == f"{prefix}/lib"
    assert not {"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "REMOVED"} & told.keys()


def test_variables_of_the_conda_environment_that_was_left_go(tmp_path: Path):
    left = made("conda", tmp_path / "left").parents[1]
    python = made("venv-without-pip", tmp_path / "entered")
    told = activated(python, CONDA_PREFIX=str(left), ENV_VAR="of this environment")
    assert "ENV_VAR" not in told
    told = activated(python, CONDA_PREFIX=str(left), ENV_VAR="the user's own")
    assert told["ENV_VAR"] == "the user's own"


def test_a_script_that_ends_the_shell_is_told_and_ends_nothing_else(tmp_path: Path):
    python = made("conda", tmp_path / "conda")
    scripts = tmp_path / "conda" / "etc" / "conda" / "activate.d"
    (scripts / "zz-exits.sh").write_text("echo noise; exit 3\n")
    told = activated(python)
    assert told["ENV_VAR"] == "of this environment"
    assert told["CONDA_PREFIX"] == str(tmp_path / "conda")
    assert "FROM_SCRIPT" not in told
    (problem,) = told["problems"]  # pyright: ignore[reportGeneralTypeIssues]
    assert "zz-exits.sh" in problem


def test_a_pyenv_version_is_what_its_shims_mean(tmp_path: Path):
    python = made("pyenv", tmp_path / "root")
    told = activated(python)
    assert told["PYENV_VERSION"] == python.parents[1].name
    assert told["python"] == str(python)
    assert not {"VIRTUAL_ENV", "CONDA_PREFIX"} & told.keys()


def test_a_home_of_another_python_is_not_handed_on(tmp_path: Path):
    python = made("venv-without-pip", tmp_path / "environment")
    # Python itself reads it at its start, so it has to be one that fits this process.
    home = os.path.dirname(os.path.dirname(os.__file__))
    told = activated(python, PYTHONHOME=os.path.dirname(home))
    assert "PYTHONHOME" not in told
