"""What can be wrong with a call, and how it is worded; twin of ``src/contract/problems.ts``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

# Where None is a value.
ABSENT: Any = object()


@dataclass
class Problem:
    """One thing wrong with a call.

    Attributes:
        key: dotted path of the parameter.
        message: what is wrong with it.
        details: ``sent``, ``allowed``, ``nearest``, as far as they are known.
        mend: how to put it right, where that is beyond doubt: (kind, value).
    """

    key: str
    message: str
    details: Json = field(default_factory=dict)
    mend: tuple[str, Any] | None = None


def problem(key: str, must: str, sent: Any, allowed: Any = ABSENT) -> Problem:
    """A parameter that must be something else."""
    name = key or "arguments"
    details = {"sent": sent, **({} if allowed is ABSENT else {"allowed": allowed})}
    return Problem(name, f"'{name}' {must}, not {show(sent)}", details)


def show(value: Any) -> str:
    """A value as it reads in a sentence: JSON as JavaScript writes it, cut short."""
    text = json.dumps(plain_number(value), ensure_ascii=False, separators=(",", ":"))
    text = re.sub(r"(?<=\d)e([+-])0+(?=\d)", r"e\1", text)
    return text if len(text) <= 60 else f"{text[:57]}…"


def plain_number(value: Any) -> Any:
    """A number as JSON has it: 5.0 is 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
