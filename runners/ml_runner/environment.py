"""This interpreter, as ``doctor`` shows it: kind, packages, frameworks, GPUs.

The standard library alone, from Python 3.10; no framework is imported for it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from ml_runner import distributions, gpus, libraries, manifest

# Beside the frameworks themselves: what results, formats and plots depend on.
COMPANIONS = (
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "polars",
    "matplotlib",
    "seaborn",
    "joblib",
    "threadpoolctl",
    "tensorboard",
    "transformers",
    "accelerate",
    "safetensors",
    "optuna",
    "onnx",
    "onnxruntime",
    "skops",
)


def kind() -> str:
    """What sort of environment this is: ``venv``, ``uv``, ``conda``, ``pyenv`` or ``system``."""
    prefix = Path(sys.prefix)
    if (prefix / "conda-meta").is_dir():
        return "conda"
    if sys.prefix != sys.base_prefix:
        return "uv" if libraries.made_by_uv(prefix) else "venv"
    # Its root may be anywhere; beside the versions it keeps the shims.
    if prefix.parent.name == "versions" and (prefix.parents[1] / "shims").is_dir():
        return "pyenv"
    return "system"


def versions() -> dict[str, str]:
    """The version of every distribution on the path, by its canonical name."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        # The first on the path is the one that an import finds.
        if name:
            found.setdefault(distributions.canonical(name), distribution.version)
    return found


def frameworks(installed: dict[str, str]) -> list[dict[str, Any]]:
    """A row for each framework of the manifest.

    Args:
        installed: as ``versions`` gives it.

    Returns:
        ``{"name", "title", "version", "distribution"}`` where it is there, else ``version`` is
        ``None`` and ``install`` is the command that installs it here. ``tooOld`` names the oldest
        version that works, where the one here is older.
    """
    rows: list[dict[str, Any]] = []
    for row in manifest.load()["frameworks"]:
        known = {
            name: installed.get(distributions.canonical(name)) for name in row["distributions"]
        }
        present = next((name for name, version in known.items() if version), None)
        version = known[present] if present else None
        entry: dict[str, Any] = {"name": row["name"], "title": row["title"], "version": version}
        if present:
            entry["distribution"] = present
        if version is None:
            entry["install"] = libraries.install_command(row["distributions"][0])
        elif _numbers(version) < _numbers(row["oldest"]):
            entry["tooOld"] = row["oldest"]
            entry["install"] = libraries.install_command(f"'{present}>={row['oldest']}'")
        rows.append(entry)
    return rows


def report() -> dict[str, Any]:
    """All of it, ready for JSON."""
    installed = versions()
    rows = frameworks(installed)
    names = [row["distribution"] for row in rows if row["version"]] + list(COMPANIONS)
    packages = {
        name: installed[distributions.canonical(name)]
        for name in names
        if distributions.canonical(name) in installed
    }
    return {
        "executable": sys.executable,
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "prefix": sys.prefix,
        "kind": kind(),
        "packages": packages,
        "packageCount": len(installed),
        "frameworks": rows,
        "gpus": gpus.find(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }


def main() -> int:
    """Prints the report and returns the exit code."""
    print(json.dumps(report(), ensure_ascii=False))  # noqa: T201
    return 0


def _numbers(version: str) -> tuple[int, ...]:
    parts: list[int] = []
    for part in version.split("+")[0].split("."):
        digits = "".join(c for c in part if c.isdigit())
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


if __name__ == "__main__":
    sys.exit(main())
