"""How many GPUs a job waits for: one, unless its call shares a training among several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ml_runner import bounds, errors, files

# So many jobs may have gone on with each other's work.
_GENERATIONS = 100


def of(record: Mapping[str, Any], there: int) -> int:
    """How many of ``there`` GPUs the job of a ``JobRequest`` waits for.

    More than there are would never come: the job then says so itself.
    """
    for config in _configs(record):
        if config.get("distributed") is None and config.get("devices") is None:
            continue
        return min(config.get("devices") or there, there)
    return min(1, there)


def _configs(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The call's own, then those of the calls whose work it goes on with."""
    for _ in range(_GENERATIONS):
        config = record["request"]["config"]
        yield config
        if record["request"].get("action") != "resume":
            return
        before = _before(record, config)
        if before is None:
            return
        record = before


def _before(record: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What says which call the work of a resume began with; None where nothing does."""
    if isinstance(config.get("jobId"), str):
        name = Path(config["jobId"]).name
        return _call(files.state_home() / "jobs" / name / "request.json", None)
    base = Path(record.get("baseDir") or "/")
    if isinstance(config.get("runDir"), str):
        return _call(base / config["runDir"] / "run.json", record.get("roots"))
    if isinstance(config.get("checkpointPath"), str):
        path = (base / config["checkpointPath"]).with_suffix(".json")
        return _call(path, record.get("roots"))
    return None


def _call(path: Path, roots: Sequence[str] | None) -> Mapping[str, Any] | None:
    try:
        with bounds.bound(roots):
            found = json.loads(bounds.read_bytes(path))
    except (OSError, ValueError, errors.InvalidConfiguration):
        return None  # the job will say what is wrong with it
    whole = _mapping(found)
    call = _mapping(whole.get("run")) or whole  # of a checkpoint
    return call if _mapping(_mapping(call.get("request")).get("config")) else None


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
