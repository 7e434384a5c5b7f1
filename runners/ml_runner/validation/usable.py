"""What no parameter may hold, of whatever type it is; the twin of ``src/contract/usable.ts``.

Text that cannot be written as UTF-8 or passed to the system, numbers that JSON cannot carry, depths
that no reader follows.
"""

from __future__ import annotations

import math
import re
from typing import Any, cast

from ml_runner.validation.problems import Problem

_DEEPEST = 50
_SURROGATE = re.compile("[\ud800-\udfff]")


def unusable(value: Any, key: str, depth: int = 0) -> list[Problem]:
    """What of ``value`` cannot be passed on to a job; ``key`` is its dotted path."""
    name = key or "arguments"
    if isinstance(value, str):
        return _text_problems(value, name, f"'{name}'")
    if isinstance(value, float) and not math.isfinite(value):
        return [Problem(name, f"'{name}' is beyond the range of a number")]
    if not isinstance(value, (dict, list)):
        return []
    if depth >= _DEEPEST:
        return [Problem(name, f"'{name}' is nested deeper than {_DEEPEST} levels")]
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [
            found
            for index, item in enumerate(items)
            for found in unusable(item, f"{name}[{index}]", depth + 1)
        ]
    return [
        found
        for inner, item in cast("dict[str, Any]", value).items()
        for found in _text_problems(inner, name, f"a key of '{name}'")
        or unusable(item, f"{key}.{inner}" if key else inner, depth + 1)
    ]


def _text_problems(text: str, key: str, subject: str) -> list[Problem]:
    if "\0" in text:
        return [Problem(key, f"{subject} holds a NUL character")]
    if _SURROGATE.search(text):
        return [Problem(key, f"{subject} holds half a surrogate pair, which is no character")]
    return []
