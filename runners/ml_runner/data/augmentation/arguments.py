"""The arguments of an operation, checked against what it takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ml_runner import errors, unknown_name


def argument(default: Any, low: float, high: float = math.inf, *, span: bool = False) -> Any:
    """A field of an operation: a number within bounds, or with ``span`` a pair of such.

    Args:
        default: where the call gives none.
        low: least value.
        high: greatest value.
        span: [least, most]; a single number n stands for [-n, n] where the bounds allow that, else
            for [n, n].
    """
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "span": span})


def checked(operation: type, name: str, sent: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The values for the fields of ``operation``.

    Args:
        operation: a dataclass whose fields ``argument`` has made.
        name: what the call calls it.
        sent: by the call, beside the type.
        key: where it stands in the call, for messages.

    Raises:
        InvalidConfiguration: an argument that it does not have, or a value out of its bounds.
    """
    fields = {field.name: field for field in dataclasses.fields(operation) if field.metadata}
    values: dict[str, Any] = {}
    for argument_name, value in sent.items():
        field = fields.get(argument_name)
        if field is None:
            raise unknown_name.refusal(
                f"'{name}' has no argument '{argument_name}'",
                f"It takes: {', '.join(fields)}.",
                key=f"{key}.{argument_name}",
                sent=value,
                name=argument_name,
                known=fields,
                allowed=fields,
            )
        values[argument_name] = _value(value, field, name, key)
    return values


def _value(value: Any, field: Any, name: str, key: str) -> Any:
    low, high, span = (field.metadata[part] for part in ("low", "high", "span"))
    if not span:
        if _is_number(value, low, high):
            return value
    elif _is_number(value, low, high):
        return (-abs(value), abs(value)) if low < 0 else (value, value)
    elif (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(_is_number(edge, low, high) for edge in value)
        and value[0] <= value[1]
    ):
        return tuple(value)
    bounds = f"from {low:g}" + ("" if math.isinf(high) else f" to {high:g}")
    what = f"a number {bounds}" + (f", or [least, most] {bounds}" if span else "")
    raise errors.InvalidConfiguration(
        f"'{field.name}' of '{name}' is {value!r}",
        solution=f"Send {what}.",
        metadata={"key": f"{key}.{field.name}", "sent": value, "allowed": what},
    )


def _is_number(value: Any, low: float, high: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high
