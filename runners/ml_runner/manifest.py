"""Reads ``tools.manifest.json``, the contract that the TypeScript side generates.

Nothing in it is declared a second time in Python: schemas, error types, exit codes and
capabilities all come from here.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[2] / "tools.manifest.json"


@lru_cache(maxsize=1)
def load() -> dict[str, Any]:
    """The parsed manifest.

    Raises:
        FileNotFoundError: the package was copied without its manifest.
    """
    return json.loads(PATH.read_bytes())


def sha256() -> str:
    """Digest of the manifest's content; server and runner compare it in their first message."""
    return load()["sha256"]


def action(name: str) -> dict[str, Any]:
    """The manifest's entry of an action. Raises ``KeyError`` where there is none of that name."""
    return load()["actions"][name]


def framework(name: str) -> dict[str, Any]:
    """The capability row of a framework, by name or alias. Raises ``KeyError`` for others."""
    for row in load()["frameworks"]:
        if name == row["name"] or name in row["aliases"]:
            return row
    raise KeyError(name)
