"""Checks a request against the manifest: the twin of ``src/contract/validate.ts``.

Both find the same problems and say them in the same words; ``test/golden/validation.json`` holds
them together.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from typing import Any

from ml_runner import errors, manifest
from ml_runner.nearest import nearest

_MOST_PROBLEMS = 5
_SAFE_INTEGER = 9007199254740991
_ABSENT: Any = object()
NoneType = type(None)  # types.NoneType by another name: a parameter called type hides it

Json = dict[str, Any]


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
    details: Json = field(default_factory=lambda: {})
    mend: tuple[str, Any] | None = None


def validate(action: str, arguments: Any) -> None:
    """Validates the arguments of an action.

    Raises:
        InvalidConfiguration: naming every key, what was sent and what is allowed.
    """
    if action not in manifest.load()["actions"]:
        raise _unknown_action(action)
    problems = _action_problems(action, arguments)
    if problems:
        raise _refusal(action, arguments, problems)


def check_framework(action: str, framework: str, config: Json) -> None:
    """Refuses config keys that ``framework`` (found for ``auto``) does not use or lacks.

    Raises:
        InvalidConfiguration: as ``validate`` would have for the framework's explicit name.
    """
    arguments = {"framework": framework, "config": config}
    problems = _framework_problems(action, arguments, config)
    if problems:
        raise _refusal(action, arguments, problems)


def default(action: str, key: str) -> Any:
    """The default of one of the arguments that all actions take (``timeout``, ``overwrite``)."""
    return manifest.action(action)["input"]["properties"][key]["default"]


def _unknown_action(name: str) -> errors.InvalidConfiguration:
    known = [*manifest.load()["actions"], *manifest.load()["tools"]]
    near = nearest(name, known)
    listed = f"The actions are: {', '.join(known)}."
    return errors.InvalidConfiguration(
        f"There is no action '{name}'",
        solution=f"Did you mean '{near}'? {listed}" if near else listed,
        metadata={
            "key": "action",
            "sent": name,
            "allowed": known,
            **({"nearest": near} if near else {}),
        },
    )


def _action_problems(name: str, arguments: Any) -> list[Problem]:
    action = manifest.action(name)
    problems = _check(action["input"], arguments, "")
    if not isinstance(arguments, dict) or not isinstance(arguments.get("config"), dict):
        return problems
    config: Json = arguments["config"]
    _name_right_level(action["input"], arguments, problems)
    return [
        *problems,
        *_framework_problems(name, arguments, config),
        *_rule_problems(action["rules"], config),
    ]


# -- the schema ------------------------------------------------------------------------------------


def _check(schema: Json, value: Any, key: str) -> list[Problem]:
    if "anyOf" in schema:
        return _check_union(schema["anyOf"], value, key)
    if "const" in schema and value != schema["const"]:
        return [_problem(key, f"must be {_show(schema['const'])}", value, [schema["const"]])]
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
    results = [_check(option, value, key) for option in options]
    if any(not result for result in results):
        return []
    # An option of the right type is the one that was meant: its own complaint says more.
    for option, result in zip(options, results):
        if "type" in option and _type_problem(option["type"], value, key) is None:
            return result
    types = " or ".join(option.get("type", "a fixed value") for option in options)
    return [_problem(key, f"must be {types}", value, types)]


def _check_array(schema: Json, value: list[Any], key: str) -> list[Problem]:
    least = schema.get("minItems", 0)
    if len(value) < least:
        return [_problem(key, f"must have at least {least} item{'' if least == 1 else 's'}", value)]
    if "items" not in schema:
        return []
    return [
        problem
        for index, item in enumerate(value)
        for problem in _check(schema["items"], item, f"{key}[{index}]")
    ]


def _check_object(schema: Json, value: Json, key: str) -> list[Problem]:
    known: Json | None = schema.get("properties")
    if known is None:
        return []
    prefix = f"{key}." if key else ""
    problems = [
        Problem(prefix + name, f"'{prefix}{name}' is required")
        for name in schema.get("required", [])
        if name not in value
    ]
    for name, inner in value.items():
        if name in known:
            problems += _check(known[name], inner, prefix + name)
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
    found = _problem(key, f"must be {_TYPE_NAMES.get(type, type)}", value, type)
    mended = _coerce(type, value)
    if mended is not _ABSENT:
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
        "null": NoneType,
        "string": str,
        "boolean": bool,
    }
    return isinstance(value, kinds[type])


def _coerce(type: str, value: Any) -> Any:
    """What the value means beyond doubt in the type asked for; ``_ABSENT`` where there is doubt."""
    if not isinstance(value, str):
        return _ABSENT
    if type == "array" and value:
        return [value]
    if type == "boolean" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if type == "integer" and re.fullmatch(r"-?\d{1,15}", value, re.ASCII):
        return int(value)
    if type == "number" and re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", value, re.ASCII):
        return _plain_number(float(value))
    return _ABSENT


def _bound_problems(schema: Json, value: float, key: str) -> list[Problem]:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts: list[str] = []
    if above is not None:
        parts.append(f"greater than {above}")
    elif least is not None and least > -_SAFE_INTEGER:
        parts.append(f"at least {least}")
    if below is not None:
        parts.append(f"less than {below}")
    elif most is not None and most < _SAFE_INTEGER:
        parts.append(f"at most {most}")
    broken = (
        (least is not None and value < least)
        or (most is not None and value > most)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )
    words = " and ".join(parts)
    return [_problem(key, f"must be {words}", value, words)] if broken else []


def _length_problems(schema: Json, value: str, key: str) -> list[Problem]:
    if len(value) < schema.get("minLength", 0):
        return [_problem(key, "must not be empty", value)]
    most = schema.get("maxLength")
    if most is not None and len(value) > most:
        return [_problem(key, f"must have at most {most} characters", f"{value[:40]}…")]
    return []


def _enum_problem(key: str, allowed: list[Any], value: Any) -> Problem:
    near = nearest(value, [str(one) for one in allowed]) if isinstance(value, str) else None
    words = ", ".join(_show(one) for one in allowed)
    found = _problem(key, f"must be one of {words}", value, allowed)
    if near:
        found.details["nearest"] = near
        found.mend = ("set", near)
    return found


def _problem(key: str, must: str, sent: Any, allowed: Any = _ABSENT) -> Problem:
    name = key or "arguments"
    details = {"sent": sent, **({} if allowed is _ABSENT else {"allowed": allowed})}
    return Problem(name, f"'{name}' {must}, not {_show(sent)}", details)


def _show(value: Any) -> str:
    """A value as it reads in a sentence: JSON as JavaScript writes it, cut short."""
    text = json.dumps(_plain_number(value), ensure_ascii=False, separators=(",", ":"))
    text = re.sub(r"(?<=\d)e([+-])0+(?=\d)", r"e\1", text)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _plain_number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# -- what a schema cannot say ----------------------------------------------------------------------


def _name_right_level(schema: Json, arguments: Json, problems: list[Problem]) -> None:
    """Says of an unknown key that it is known on the other level: beside, or inside, config."""
    top: Json = schema["properties"]
    inner: Json = top["config"].get("properties", {})
    for found in problems:
        if "is not a known parameter" not in found.message:
            continue
        in_config = found.key.startswith("config.")
        name = found.key.removeprefix("config.")
        if not in_config and name in inner:
            found.message = f"'{name}' belongs into 'config'"
            found.mend = ("move", "config") if name not in arguments["config"] else None
        elif in_config and name != "config" and name in top:
            found.message = f"'{name}' belongs beside 'config', not into it"
            found.mend = ("move", "top") if name not in arguments else None
        else:
            continue
        found.details = {"sent": found.details["sent"]}


def _framework_problems(action: str, arguments: Json, config: Json) -> list[Problem]:
    sent = arguments.get("framework", "auto")
    if sent == "auto":
        return _required_by_all(action, config)
    rows: list[Json] = manifest.load()["frameworks"]
    row = next((r for r in rows if sent == r["name"] or sent in r["aliases"]), None)
    if row is None:
        return []
    capability = row["actions"].get(action)
    if capability is None:
        able = [r["name"] for r in rows if action in r["actions"]]
        return [
            Problem("framework", f"{row['title']} cannot {action}", {"sent": sent, "allowed": able})
        ]
    known: Json = manifest.action(action)["input"]["properties"]["config"].get("properties", {})
    problems = [
        Problem(f"config.{key}", f"'config.{key}' is required for {action} with {row['name']}")
        for key in capability["requires"]
        if key not in config
    ]
    one_of: list[str] = capability.get("requiresOneOf", [])
    if one_of and not any(key in config for key in one_of):
        names = " or ".join(f"'config.{key}'" for key in one_of)
        problems.append(
            Problem(f"config.{one_of[0]}", f"{names} is required for {action} with {row['name']}")
        )
    for key, value in config.items():
        if key not in known or key in capability["keys"]:
            continue
        users = [r["name"] for r in rows if key in r["actions"].get(action, {}).get("keys", [])]
        problems.append(
            Problem(
                f"config.{key}",
                f"'config.{key}' is not used by {row['name']}"
                + (f"; it is by {', '.join(users)}" if users else ""),
                {"sent": value, "allowed": list(capability["keys"])},
                ("drop", None),
            )
        )
    return problems


def _required_by_all(action: str, config: Json) -> list[Problem]:
    """Where the framework is still to be found: what is required whichever it turns out to be."""
    able = [
        row["actions"][action]["requires"]
        for row in manifest.load()["frameworks"]
        if action in row["actions"]
    ]
    return [
        Problem(f"config.{key}", f"'config.{key}' is required for {action}")
        for key in (able[0] if able else [])
        if all(key in requires for requires in able) and key not in config
    ]


def _rule_problems(rules: list[Json], config: Json) -> list[Problem]:
    problems: list[Problem] = []
    for rule in rules:
        keys: list[str] = rule["keys"]
        there = [key for key in keys if key in config]
        if rule["kind"] == "requiresOneOf" and not there:
            problems.append(
                Problem(
                    f"config.{keys[0]}", f"one of {_listed(keys)} is required", {"allowed": keys}
                )
            )
        elif rule["kind"] == "excludes" and len(there) > 1:
            problems.append(
                Problem(
                    f"config.{there[1]}",
                    f"only one of {_listed(there)} may be given",
                    {"sent": config[there[1]]},
                )
            )
        elif rule["kind"] == "onlyWith" and rule["key"] in config and not there:
            one_of = "one of " if len(keys) > 1 else ""
            problems.append(
                Problem(
                    f"config.{rule['key']}",
                    f"'config.{rule['key']}' needs {one_of}{_listed(keys)} beside it",
                    {"sent": config[rule["key"]]},
                )
            )
    return problems


def _listed(keys: list[str]) -> str:
    return ", ".join(f"'config.{key}'" for key in keys)


# -- the answer ------------------------------------------------------------------------------------


def _refusal(tool: str, arguments: Any, found: list[Problem]) -> errors.InvalidConfiguration:
    problems = found[:_MOST_PROBLEMS]
    message = "; ".join(problem.message for problem in problems)
    if len(found) > len(problems):
        message += f"; and {len(found) - len(problems)} more"
    details = [{"key": problem.key, **problem.details} for problem in problems]
    call = _next_call(tool, arguments, found)
    keys = ", ".join(f"'{problem.key}'" for problem in problems)
    return errors.InvalidConfiguration(
        message,
        solution="Send nextCall: it is this call with that mended."
        if call
        else f'Mend {keys} and call again; describe {{"action": "{tool}"}} shows every parameter.',
        metadata=details[0] if len(problems) == 1 else {"problems": details},
        next_call=call,
    )


def _next_call(tool: str, arguments: Any, problems: list[Problem]) -> Json | None:
    """The call with everything mended that can be beyond doubt, where no problem is left then."""
    if not isinstance(arguments, dict):
        return None
    mended: Json = copy.deepcopy(arguments)
    for problem in problems:
        if problem.mend is None:
            continue
        *steps, name = problem.key.split(".")
        parent: Any = mended
        for step in steps:
            parent = parent.get(step) if isinstance(parent, dict) else None
        if not isinstance(parent, dict) or name not in parent:
            return None
        kind, value = problem.mend
        if kind == "set":
            parent[name] = value
        else:
            del parent[name]
        if kind == "rename":
            parent[value] = problem.details["sent"]
        elif kind == "move":
            (mended if value == "top" else mended["config"])[name] = problem.details["sent"]
    if _action_problems(tool, mended):
        return None
    return {"tool": tool, "arguments": mended}
