"""The literal call that a report or an error proposes next."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

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
