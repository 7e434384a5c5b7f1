"""Holds a value against the part of JSON Schema that zod emits for our inputs.

The twin of ``src/contract/schema-check.ts``.
"""

from __future__ import annotations

import re
from typing import Any

from ml_runner.nearest import nearest
from ml_runner.validation.problems import ABSENT, Json, Problem, plain_number, problem, show

_NONE = type(None)


def check(schema: Json, value: Any, key: str) -> list[Problem]:
    """What is wrong with ``value`` by a schema of the manifest; ``key`` is its dotted path."""
    if "anyOf" in schema:
        return _check_union(schema["anyOf"], value, key)
    if "const" in schema and value != schema["const"]:
        return [problem(key, f"must be {show(schema['const'])}", value, [schema["const"]])]
    if "enum" in schema and value not in schema["enum"]:
        return [_enum_problem(key, schema["enum"], value)]
    mismatch = _type_problem(schema["type"], value, key) if "type" in schema else None
    if mismatch:
        return [mismatch]
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, (int, float)):
        return _bound_problems(schema, value, key)
    if isinstance(value, str):
        return _length_problems(schema, value, key)
    if isinstance(value, list):
        return _check_array(schema, value, key)
    return _check_object(schema, value, key) if schema.get("type") == "object" else []


def _check_union(options: list[Json], value: Any, key: str) -> list[Problem]:
    results = [check(option, value, key) for option in options]
    if any(not result for result in results):
        return []
    # An option of the right type is the one that was meant: its own complaint says more.
    for option, result in zip(options, results, strict=True):
        if "type" in option and _type_problem(option["type"], value, key) is None:
            return result
    types = " or ".join(option.get("type", "a fixed value") for option in options)
    return [problem(key, f"must be {types}", value, types)]


def _check_array(schema: Json, value: list[Any], key: str) -> list[Problem]:
    least = schema.get("minItems", 0)
    if len(value) < least:
        return [problem(key, f"must have at least {least} item{'' if least == 1 else 's'}", value)]
    if "items" not in schema:
        return []
    return [
        found
        for index, item in enumerate(value)
        for found in check(schema["items"], item, f"{key}[{index}]")
    ]


def _check_object(schema: Json, value: Json, key: str) -> list[Problem]:
    known: Json | None = schema.get("properties")
    prefix = f"{key}." if key else ""
    if known is None:
        each = schema.get("additionalProperties")
        if not isinstance(each, dict):
            return []
        return [found for name in value for found in check(each, value[name], prefix + name)]
    problems = [
        Problem(prefix + name, f"'{prefix}{name}' is required")
        for name in schema.get("required", [])
        if name not in value
    ]
    for name, inner in value.items():
        if name in known:
            problems += check(known[name], inner, prefix + name)
        else:
            problems.append(_unknown_key(prefix + name, name, inner, list(known), value))
    return problems


def _unknown_key(key: str, name: str, sent: Any, known: list[str], siblings: Json) -> Problem:
    near = nearest(name, known)
    return Problem(
        key,
        f"'{key}' is not a known parameter" + (f"; did you mean '{near}'?" if near else ""),
        {"sent": sent, "allowed": known, **({"nearest": near} if near else {})},
        ("rename", near) if near and near not in siblings else None,
    )


_TYPE_NAMES = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _type_problem(type: str, value: Any, key: str) -> Problem | None:
    if _has_type(type, value):
        return None
    found = problem(key, f"must be {_TYPE_NAMES.get(type, type)}", value, type)
    mended = _coerce(type, value)
    if mended is not ABSENT:
        found.mend = ("set", mended)
    return found


def _has_type(type: str, value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if type == "integer":
        # JSON has one kind of number: 5.0 is an integer there.
        return number and float(value).is_integer()
    if type == "number":
        return number and value == value and abs(value) != float("inf")
    kinds: dict[str, Any] = {
        "array": list,
        "object": dict,
        "null": _NONE,
        "string": str,
        "boolean": bool,
    }
    return isinstance(value, kinds[type])


def _coerce(type: str, value: Any) -> Any:
    """What the value means beyond doubt in the type asked for; ``ABSENT`` where there is doubt."""
    if not isinstance(value, str):
        return ABSENT
    if type == "array" and value:
        return [value]
    if type == "boolean" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if type == "integer" and re.fullmatch(r"-?\d{1,15}", value, re.ASCII):
        return int(value)
    if type == "number" and re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", value, re.ASCII):
        return plain_number(float(value))
    return ABSENT


def _bound_problems(schema: Json, value: float, key: str) -> list[Problem]:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts: list[str] = []
    if above is not None:
        parts.append(f"greater than {above}")
    elif least is not None:
        parts.append(f"at least {least}")
    if below is not None:
        parts.append(f"less than {below}")
    elif most is not None:
        parts.append(f"at most {most}")
    broken = (
        (least is not None and value < least)
        or (most is not None and value > most)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )
    words = " and ".join(parts)
    return [problem(key, f"must be {words}", value, words)] if broken else []


def _length_problems(schema: Json, value: str, key: str) -> list[Problem]:
    if len(value) < schema.get("minLength", 0):
        return [problem(key, "must not be empty", value)]
    most = schema.get("maxLength")
    if most is not None and len(value) > most:
        return [problem(key, f"must have at most {most} characters", f"{value[:40]}…")]
    return []


def _enum_problem(key: str, allowed: list[Any], value: Any) -> Problem:
    near = nearest(value, [str(one) for one in allowed]) if isinstance(value, str) else None
    words = ", ".join(show(one) for one in allowed)
    found = problem(key, f"must be one of {words}", value, allowed)
    if near:
        found.details["nearest"] = near
        found.mend = ("set", near)
    return found
