"""The names that ``config.algorithm`` and ``config.metrics`` may have in this environment."""

from __future__ import annotations

import importlib.util
from typing import Any

from ml_runner import errors, frameworks, manifest
from ml_runner.training.metrics import ALIASES, CORE


def report() -> dict[str, Any]:
    """What there is to choose from, for completions.

    Returns:
        ``algorithms``: framework → names, of the frameworks that are installed; ``metrics``: names,
        the usual ones first.
    """
    algorithms: dict[str, list[str]] = {}
    metrics = [*CORE, *ALIASES]
    for row in manifest.load()["frameworks"]:
        if any(importlib.util.find_spec(module) is None for module in row["modules"]):
            continue
        adapter = frameworks.get(row["name"])
        try:
            algorithms[adapter.name] = sorted(adapter.algorithms())
            metrics += sorted(adapter.metrics())
        except errors.FrameworkNotFound:
            # It is there, and what it is built upon is not.
            continue
    return {"algorithms": algorithms, "metrics": list(dict.fromkeys(metrics))}
