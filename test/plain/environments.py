"""Makes a Python environment of some kind: ``environments.py KIND DIRECTORY [--with-libraries]``.

``venv`` and ``venv-without-pip`` are real. ``uv`` is real where uv is on the path, else a virtual
environment with the line in ``pyvenv.cfg`` by which uv's are known. ``conda`` and ``pyenv`` are
layouts: a copy of this interpreter, with a library of its own, in the directories that conda and
pyenv use. Prints the path of the interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

MINOR = f"python{sys.version_info.major}.{sys.version_info.minor}"
VARIABLES = {"ENV_VAR": "of this environment", "REMOVED": "***unset***"}
SCRIPT = 'export FROM_SCRIPT="$CONDA_PREFIX/lib"\nexport LD_LIBRARY_PATH="$CONDA_PREFIX/lib"\n'


def make(kind: str, directory: Path) -> Path:
    """Makes it; returns its prefix."""
    if kind.startswith("venv"):
        venv.create(directory, with_pip=kind == "venv", symlinks=True)
        return directory
    if kind == "uv":
        return _uv(directory)
    if kind == "pyenv":
        (directory / "shims").mkdir(parents=True)
        return _own_interpreter(directory / "versions" / platform.python_version())
    prefix = _own_interpreter(directory)
    meta = prefix / "conda-meta"
    meta.mkdir()
    (meta / "history").write_text("==> 2026-01-01 00:00:00 <==\n")
    (meta / f"python-{platform.python_version()}-0.json").write_text("{}")
    (meta / "state").write_text(json.dumps({"version": 1, "env_vars": VARIABLES}))
    scripts = prefix / "etc" / "conda" / "activate.d"
    scripts.mkdir(parents=True)
    (scripts / "library.sh").write_text(SCRIPT)
    return prefix


def _uv(directory: Path) -> Path:
    uv = shutil.which("uv")
    if uv:
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, directory], check=True)
        return directory
    venv.create(directory, symlinks=True)
    with (directory / "pyvenv.cfg").open("a") as file:
        file.write("uv = 0.9.0\n")
    return directory


def _own_interpreter(prefix: Path) -> Path:
    """A copy of this interpreter that takes ``prefix`` for its own."""
    base = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    (prefix / "bin").mkdir(parents=True)
    shutil.copy(base, prefix / "bin" / MINOR)
    for name in ("python", "python3"):
        (prefix / "bin" / name).symlink_to(MINOR)
    library = prefix / "lib" / MINOR
    (library / "site-packages").mkdir(parents=True)
    for entry in Path(sysconfig.get_path("stdlib")).iterdir():
        if entry.name not in ("site-packages", "EXTERNALLY-MANAGED"):
            (library / entry.name).symlink_to(entry)
    return prefix


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser()
    kinds = ["venv", "venv-without-pip", "uv", "conda", "pyenv"]
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--with-libraries", action="store_true")
    options = parser.parse_args()
    prefix = make(options.kind, options.directory)
    if options.with_libraries:
        # A path file is how an environment shares libraries that lie elsewhere.
        site = prefix / "lib" / MINOR / "site-packages"
        (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    print(prefix / "bin" / "python")
    return 0


if __name__ == "__main__":
    sys.exit(main())
