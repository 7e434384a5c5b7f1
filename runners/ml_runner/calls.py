"""The literal call that a report or an error proposes next."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_runner.nearest import nearest

if TYPE_CHECKING:
    from ml_runner.job import Job


def repeat(job: Job, config: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    """This job's own call, with some of it changed.

    Args:
        job: whose request is repeated.
        config: keys to set in ``config``; one that is None is left out, a mapping is merged in.
        **arguments: arguments beside ``config`` to set.
    """
    call = {name: value for name, value in job.request.items() if name != "action"}
    call = copy.deepcopy({**call, **arguments})
    for name, value in (config or {}).items():
        if value is None:
            call["config"].pop(name, None)
        elif isinstance(value, dict):
            call["config"][name] = {**(call["config"].get(name) or {}), **value}
        else:
            call["config"][name] = value
    return {"tool": job.action, "arguments": call}


def with_nearest(job: Job, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """This job's own call with a misspelt name or value as it was most likely meant.

    Args:
        job: whose request is repeated.
        facts: an error's metadata; ``key``, ``sent`` and ``nearest`` say what was meant.

    Returns:
        The call; None where the facts do not tell.
    """
    key, near = facts.get("key"), facts.get("nearest")
    if not isinstance(key, str) or not isinstance(near, str):
        return None
    if not near.isprintable():  # a name of a file that no call can hold
        return None
    call = repeat(job)
    *parents, last = key.split(".")
    place: Any = call["arguments"]
    for parent in parents:
        place = _inner(place, parent)
    sent = _inner(place, last)
    if sent is None or sent != facts.get("sent"):
        return None
    if isinstance(sent, str) and nearest(sent, [near]):
        place[last] = near
    elif nearest(last, [near]) and near not in place:
        place[near] = place.pop(last)
    else:
        return None
    return call


def _inner(value: Any, key: str) -> Any:
    try:
        return value[key]
    except (KeyError, TypeError, IndexError):
        return None
