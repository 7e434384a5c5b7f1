"""Activates the environment of this interpreter, as its own tool would in a shell.

A process is started with whatever environment its server had: another virtual environment may be
active there, or none. What a job starts (``python``, ``pip``, a compiler) must be what the user
gets after activating the job's own environment. The standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import cast

Variables = MutableMapping[str, str]

# Names the prefix that is active in this process and its children.
_MARK = "ML_EXECUTOR_ACTIVATED"
_PROBLEM = "ML_EXECUTOR_ACTIVATION_PROBLEM"
_SCRIPTS_SECONDS = 30.0
_OF_SHELLS = ("SHLVL", "_", "PWD", "OLDPWD")
# What conda writes for a variable that the environment wants to be absent.
_CONDA_UNSET = "***unset***"
_OF_VENV = ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT")
_OF_CONDA = ("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_PROMPT_MODIFIER", "CONDA_SHLVL")
# What they print is for a person.
_SOURCE = (
    'for script in "$@"; do . "$script"; done >&2;'
    ' exec "$ML_EXECUTOR_PYTHON" -ISc "$ML_EXECUTOR_TELL"'
)
_TELL = "import os, json; os.write({}, json.dumps(dict(os.environ)).encode() + b'\\n')"


def activate() -> None:
    """Activates this interpreter's environment in this process.

    Where the environment brings variables of its own (conda's), the process is executed anew with
    them: the dynamic linker and Python itself read theirs at the start alone. To be called before
    anything else was done with descriptors or threads. Does nothing a second time.
    """
    if os.environ.get(_MARK) == sys.prefix:
        return
    variables = dict(os.environ)
    variables.pop(_PROBLEM, None)
    # Here, since a supervisor that is started afresh needs none of it: 20 ms of imports.
    from ml_runner import environment

    kind = environment.kind()
    switch(variables, kind, Path(sys.prefix), sys.executable)
    own = dict(variables)
    if kind == "conda":
        problem = _add_conda_variables(own, Path(sys.prefix))
        if problem:
            own[_PROBLEM] = problem
    own[_MARK] = sys.prefix
    if {**own, _MARK: "", _PROBLEM: ""} != {**variables, _MARK: "", _PROBLEM: ""}:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], own)
    for name in set(os.environ) - set(own):
        del os.environ[name]
    os.environ.update(own)


def problems() -> list[str]:
    """What the caller should know of the activation of this process's environment."""
    told = os.environ.get(_PROBLEM)
    return [told] if told else []


def switch(variables: Variables, kind: str, prefix: Path, executable: str) -> None:
    """Makes ``variables`` those of one environment, and of no other.

    Args:
        variables: as inherited; changed in place.
        kind: as ``environment.kind`` tells it.
        prefix: the environment's directory.
        executable: its interpreter.
    """
    here = str(Path(executable).parent)
    leaving = [variables.get("VIRTUAL_ENV"), variables.get("CONDA_PREFIX")]
    gone = {os.path.join(left, "bin") for left in leaving if left}
    path = [part for part in variables.get("PATH", os.defpath).split(os.pathsep) if part]
    path = [part for part in path if part not in gone]
    before = variables.get("CONDA_PREFIX")
    # A home of Python's that was set for another one keeps this one from finding its library.
    for name in (*_OF_VENV, *_OF_CONDA, "PYTHONHOME"):
        variables.pop(name, None)
    if before is not None and kind != "conda":
        _remove_conda_variables(variables, Path(before))
    if kind == "system" and _is_first(executable, path):
        # Its directory holds much else, and stays where the user has it.
        variables["PATH"] = os.pathsep.join(path)
        return
    variables["PATH"] = os.pathsep.join([here, *(part for part in path if part != here)])
    if kind in ("venv", "uv"):
        variables["VIRTUAL_ENV"] = str(prefix)
        variables["VIRTUAL_ENV_PROMPT"] = prefix.name
    elif kind == "conda":
        if before not in (None, str(prefix)):
            _remove_conda_variables(variables, Path(str(before)))
        root = _conda_root(prefix)
        base = root == prefix
        name = "base" if base else prefix.name if prefix.parent.name == "envs" else str(prefix)
        variables["CONDA_PREFIX"] = str(prefix)
        variables["CONDA_DEFAULT_ENV"] = name
        variables["CONDA_PROMPT_MODIFIER"] = f"({name}) "
        variables["CONDA_SHLVL"] = "1"
        if root is not None and (root / "bin" / "conda").exists():
            variables.setdefault("CONDA_EXE", str(root / "bin" / "conda"))
    elif kind == "pyenv":
        # So that pyenv's shims, which may come before in a shell of the job's, mean this version.
        variables["PYENV_VERSION"] = prefix.name


def _is_first(executable: str, path: list[str]) -> bool:
    for name in ("python3", "python"):
        found = shutil.which(name, path=os.pathsep.join(path))
        if found is not None and os.path.realpath(found) == os.path.realpath(executable):
            return True
    return False


def _conda_root(prefix: Path) -> Path | None:
    for root in (prefix, prefix.parent.parent):
        if (root / "condabin").is_dir() or (root / "envs").is_dir():
            return root
    return None


# -- what a conda environment brings of its own ----------------------------------------------------


def _add_conda_variables(variables: dict[str, str], prefix: Path) -> str | None:
    """Adds them, and what the packages' activation scripts set; returns what went wrong."""
    for name, value in _conda_variables(prefix).items():
        if value == _CONDA_UNSET:
            variables.pop(name, None)
        else:
            variables[name] = value
    scripts = sorted((prefix / "etc" / "conda" / "activate.d").glob("*.sh"))
    return _source(scripts, variables) if scripts else None


def _remove_conda_variables(variables: Variables, prefix: Path) -> None:
    """Takes away those of an environment that was active, as deactivating it would."""
    for name, value in _conda_variables(prefix).items():
        if variables.get(name) == value:
            del variables[name]


def _conda_variables(prefix: Path) -> dict[str, str]:
    """Those of its packages, then those of ``conda env config vars``."""
    found: dict[str, str] = {}
    files = sorted((prefix / "etc" / "conda" / "env_vars.d").glob("*.json"))
    for file in [*files, prefix / "conda-meta" / "state"]:
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(file.read_bytes())
            rows = told.get("env_vars", {}) if file.name == "state" else told
            if isinstance(rows, dict):
                rows = cast("dict[object, object]", rows)
                found.update({str(name): str(value) for name, value in rows.items()})
    # conda itself refuses to reset this one.
    found.pop("PATH", None)
    return found


def _source(scripts: list[Path], variables: dict[str, str]) -> str | None:
    """Runs the scripts in a shell and takes over the variables that they set or remove."""
    shell = shutil.which("bash") or "/bin/sh"
    reader, writer = os.pipe()
    added = {"ML_EXECUTOR_PYTHON": sys.executable, "ML_EXECUTOR_TELL": _TELL.format(writer)}
    try:
        process = subprocess.Popen(
            [shell, "-c", _SOURCE, shell, *map(str, scripts)],
            env={**variables, **added},
            stdin=subprocess.DEVNULL,
            # Our own stdout may be a protocol.
            stdout=sys.stderr,
            pass_fds=[writer],
            start_new_session=True,
        )
        told = _read(reader, process)
    except OSError as error:
        return f"the activation scripts of {sys.prefix} could not be run: {error}"
    finally:
        os.close(reader)
        os.close(writer)
    if not told:
        names = ", ".join(script.name for script in scripts)
        return f"the activation scripts of {sys.prefix} ({names}) did not come to their end"
    # These are not the scripts' doing.
    own = (*added, *_OF_SHELLS)
    kept = {name: variables[name] for name in own if name in variables}
    variables.clear()
    variables.update({name: value for name, value in told.items() if name not in own})
    variables.update(kept)
    return None


def _read(reader: int, process: subprocess.Popen[bytes]) -> dict[str, str] | None:
    """The line that comes, unless the process ends or its time is over before."""
    data = bytearray()
    end = time.monotonic() + _SCRIPTS_SECONDS
    try:
        while not data.endswith(b"\n") and time.monotonic() < end:
            # This process has the writing end too: its end is told by that of the shell.
            ready = select.select([reader], [], [], 0.02)[0]
            if ready:
                data += os.read(reader, 65536)
            elif process.poll() is not None:
                break
        return cast("dict[str, str]", json.loads(data))
    except ValueError:
        return None
    finally:
        # With whatever the scripts have left running.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
