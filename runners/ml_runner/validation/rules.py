"""What a call's schema cannot say: levels, frameworks, rules between keys.

The twin of ``src/contract/call-rules.ts``.
"""

from __future__ import annotations

import json
from typing import Any

from ml_runner import manifest
from ml_runner.validation.problems import Json, Problem


def name_right_level(schema: Json, arguments: Json, problems: list[Problem]) -> None:
    """Says of an unknown key that it is known on the other level: beside, or inside, config."""
    top: Json = schema["properties"]
    inner: Json = top["config"].get("properties", {})
    # A call that has forgotten config altogether is mended by making it.
    config: Any = arguments.get("config", {})
    for found in problems:
        if "is not a known parameter" not in found.message:
            continue
        in_config = found.key.startswith("config.")
        name = found.key.removeprefix("config.")
        if not in_config and name in inner:
            found.message = f"'{name}' belongs into 'config'"
            free = isinstance(config, dict) and name not in config
            found.mend = ("move", "config") if free else None
        elif in_config and name != "config" and name in top:
            found.message = f"'{name}' belongs beside 'config', not into it"
            found.mend = ("move", "top") if name not in arguments else None
        else:
            continue
        found.details = {"sent": found.details["sent"]}


def framework_problems(action: str, arguments: Json, config: Json) -> list[Problem]:
    """Config keys that the framework does not use, or lacks."""
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


def rule_problems(rules: list[Json], config: Json, known: Json) -> list[Problem]:
    """Broken rules between config keys; ``known`` are the schemas of all of them."""
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
            values = known.get(keys[0], {}).get("enum") if len(keys) == 1 else None
            choices = f" ({', '.join(map(json.dumps, values))})" if values else ""
            problems.append(
                Problem(
                    f"config.{rule['key']}",
                    f"'config.{rule['key']}' needs {one_of}{_listed(keys)}{choices} beside it",
                    {"sent": config[rule["key"]]},
                )
            )
    return problems


def _listed(keys: list[str]) -> str:
    return ", ".join(f"'config.{key}'" for key in keys)
