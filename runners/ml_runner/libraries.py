"""Third-party libraries: imported where they are used, and asked for by name where absent."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from ml_runner import errors, manifest

# What reads the tables of every framework's jobs.
_BESIDE = ("pandas",)


def need(module: str, distribution: str, *, conda: str | None = None) -> ModuleType:
    """Imports ``module`` (dotted names too), or says how to get it into *this* environment.

    Args:
        module: the name to import, such as ``"sklearn"``.
        distribution: the name to install, such as ``"scikit-learn"``; may be several, by spaces.
        conda: its name on conda-forge, where that is another one.

    Raises:
        FrameworkNotFound: it is not installed, or it is and cannot be imported (a missing shared
            library, a version that does not fit); the message says which.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        absent = error.name is not None and (module + ".").startswith(error.name + ".")
        raise _not_found(module, distribution, conda, error, absent=absent) from error
    except (ImportError, OSError, AttributeError) as error:
        # Shared libraries that are missing raise OSError from ctypes; a numpy of another major
        # version raises ImportError or AttributeError from inside compiled modules.
        raise _not_found(module, distribution, conda, error, absent=False) from error


def require_framework(name: str) -> None:
    """Sees that a framework is installed, before anything of ours that needs it is imported.

    Names in one command all that its jobs lack: a caller who mends one absence shall not meet the
    next one.

    Raises:
        FrameworkNotFound: it is not installed here.
    """
    row = manifest.framework(name)
    if all(importlib.util.find_spec(module) is not None for module in row["modules"]):
        return
    others = [other for other in _BESIDE if importlib.util.find_spec(other) is None]
    command = install_command(" ".join([row["distributions"][0], *others]))
    raise errors.FrameworkNotFound(
        f"{row['title']} is not in the Python environment of {sys.executable}",
        solution=f"Install it: {command}",
        stderr=f"ModuleNotFoundError: No module named {row['modules'][0]!r}",
        metadata={
            "module": row["modules"][0],
            "distribution": row["distributions"][0],
            "python": sys.executable,
            "command": command,
        },
    )


def _not_found(
    module: str, distribution: str, conda: str | None, error: Exception, *, absent: bool
) -> errors.FrameworkNotFound:
    command = install_command(distribution, conda=conda)
    what = f"{type(error).__name__}: {error}"
    if absent:
        message = f"{distribution} is not in the Python environment of {sys.executable}"
        solution = f"Install it: {command}"
    else:
        message = (
            f"{distribution} is installed for {sys.executable} and cannot be imported: {error}"
        )
        solution = f"Mend what the message names, or install it again: {command}"
    return errors.FrameworkNotFound(
        message,
        solution=solution,
        stderr=what,
        metadata={
            "module": module,
            "distribution": distribution,
            "python": sys.executable,
            "command": command,
        },
    )


def install_command(distribution: str, *, conda: str | None = None) -> str:
    """The shell command that installs ``distribution`` into the environment of this interpreter."""
    prefix = Path(sys.prefix)
    python = shlex.quote(sys.executable)
    # From conda-forge, since that channel has every library that we ask for.
    if (prefix / "conda-meta").is_dir():
        return f"conda install -p {shlex.quote(str(prefix))} -c conda-forge {conda or distribution}"
    if made_by_uv(prefix):
        return f"uv pip install --python {python} {distribution}"
    if _externally_managed():
        return (
            f"{python} -m venv .venv && .venv/bin/python -m pip install {distribution}"
            " (this Python belongs to the system; then send pythonEnv: '.venv')"
        )
    install = f"{python} -m pip install {distribution}"
    if importlib.util.find_spec("pip") is None:
        return f"{python} -m ensurepip && {install}"
    return install


def made_by_uv(prefix: Path) -> bool:
    """Whether uv made the virtual environment at ``prefix``."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


def _externally_managed() -> bool:
    # PEP 668: pip refuses to install into such a Python.
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    return sys.prefix == sys.base_prefix and marker.exists()
