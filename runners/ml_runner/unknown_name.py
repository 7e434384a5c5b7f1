"""The refusal of a name that is none of those known, with the one that was most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ml_runner import errors
from ml_runner.nearest import nearest


def refusal(
    message: str,
    solution: str,
    *,
    key: str,
    sent: Any,
    known: Iterable[str],
    name: str | None = None,
    allowed: Iterable[str] | None = None,
) -> errors.InvalidConfiguration:
    """``invalid-configuration`` for a name; the next call follows from its metadata (``calls``).

    Args:
        message: that there is no such name.
        solution: what there is; "Did you mean …?" is set before it where a name is near.
        key: where it stands in the call.
        sent: what stands there: the name, or the value of a key that is the name.
        known: the names among which the nearest is looked for.
        name: the name, where it is not ``sent``.
        allowed: the names that are listed; left out: none.
    """
    near = nearest(sent if name is None else name, known)
    return errors.InvalidConfiguration(
        message,
        solution=(f"Did you mean '{near}'? " if near else "") + solution,
        metadata={
            "key": key,
            "sent": sent,
            **({} if allowed is None else {"allowed": list(allowed)}),
            **({"nearest": near} if near else {}),
        },
    )
