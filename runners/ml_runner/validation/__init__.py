"""Checks a request against the manifest: the twin of ``src/contract/validate.ts``.

Both find the same problems and say them in the same words; ``test/golden/validation.json`` holds
them together.
"""

from __future__ import annotations

import copy
from typing import Any

from ml_runner import errors, manifest
from ml_runner.nearest import nearest
from ml_runner.validation import rules, schema
from ml_runner.validation.problems import Json, Problem
from ml_runner.validation.usable import unusable

_MOST_PROBLEMS = 5


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
    problems = rules.framework_problems(action, arguments, config)
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
    beyond_use = unusable(arguments, "")
    if beyond_use:
        return beyond_use
    action = manifest.action(name)
    problems = schema.check(action["input"], arguments, "")
    if not isinstance(arguments, dict):
        return problems
    rules.name_right_level(action["input"], arguments, problems)
    config: Any = arguments.get("config")
    if not isinstance(config, dict):
        return problems
    return [
        *problems,
        *rules.framework_problems(name, arguments, config),
        *rules.rule_problems(
            action["rules"], config, action["input"]["properties"]["config"]["properties"]
        ),
    ]


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
            into = mended if value == "top" else mended.setdefault("config", {})
            into[name] = problem.details["sent"]
    if _action_problems(tool, mended):
        return None
    return {"tool": tool, "arguments": mended}
