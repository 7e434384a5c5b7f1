"""What is installed in a site-packages directory, read from its files: nothing is imported."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import os
import re
import shutil
from functools import lru_cache
from pathlib import Path


def canonical(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find(site_packages: Path, name: str) -> Path | None:
    """The ``.dist-info`` directory of a distribution, or ``None``."""
    wanted = canonical(name)
    for path in site_packages.glob("*.dist-info"):
        if canonical(path.name.removesuffix(".dist-info").rsplit("-", 1)[0]) == wanted:
            return path
    return None


def importable(module: str) -> bool:
    """Whether this interpreter finds a module (without importing it)."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def size_bytes(directory: Path) -> int:
    """The bytes of all files below a directory; 0 where it is not there."""
    total = 0
    stack = [os.fspath(directory)]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            # pip moves things about while this looks.
            continue
    return total


def remove_broken(site_packages: Path) -> list[str]:
    """Takes out every distribution that is not whole; returns their names.

    Whole is one whose RECORD was written by the installer (it names INSTALLER, which is no part of
    a wheel) and whose files are all there with the sizes that RECORD gives.
    """
    removed: list[str] = []
    for leftover in site_packages.glob("~*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for info in sorted(site_packages.glob("*.dist-info")):
        if _whole(info):
            continue
        for relative, _size in _record(info):
            target = site_packages / relative
            if site_packages in target.parents and ".." not in target.parts:
                target.unlink(missing_ok=True)
        shutil.rmtree(info, ignore_errors=True)
        removed.append(info.name.removesuffix(".dist-info"))
    return removed


def _whole(info: Path) -> bool:
    entries = _record(info)
    if not any(relative == f"{info.name}/INSTALLER" for relative, _size in entries):
        return False
    for relative, size in entries:
        try:
            status = os.stat(info.parent / relative)
        except OSError:
            # Byte code is written again when it is missing.
            if relative.endswith(".pyc"):
                continue
            return False
        if size is not None and status.st_size != size:
            return False
    return True


def _record(info: Path) -> list[tuple[str, int | None]]:
    try:
        with (info / "RECORD").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [(row[0], int(row[2]) if len(row) > 2 and row[2].isdigit() else None) for row in rows]


@lru_cache(maxsize=64)
def _versions(names: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def versions(*names: str) -> dict[str, str]:
    """Distribution → version, of those that this interpreter has; looked up once a process."""
    return dict(_versions(names))
