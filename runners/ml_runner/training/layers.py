"""Layers named by patterns: which are frozen, which have a learning rate of their own.

A pattern is a dotted path, or a part of one: ``embeddings`` and ``encoder.layer`` both mean tensors
of ``bert.encoder.layer.0.output.weight``'s kind. Each step is a name, a glob (``*``, ``?``), or has
a range of numbers in it: ``0-8``, ``block1-3``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ml_runner import calls, errors
from ml_runner.nearest import nearest

if TYPE_CHECKING:
    from ml_runner.job import Job

_RANGE = re.compile(r"(.*?)(\d+)-(\d+)(.*)")
_SHOWN, _LARGEST = 12, 10**9
FREEZE, RATES = "freezeLayers", "layerLearningRates"


@dataclass(frozen=True)
class Matched:
    """What a pattern means in a model.

    Attributes:
        pattern: as sent.
        modules: paths of the modules (or single tensors) that it names.
        tensors: names of all tensors in them.
    """

    pattern: str
    modules: tuple[str, ...]
    tensors: tuple[str, ...]

    def facts(self, most: int) -> dict[str, Any]:
        """For a report: ``pattern``, ``modules`` (the first ``most``), number of ``tensors``."""
        shown = list(self.modules[:most])
        if len(self.modules) > most:
            shown.append(f"… and {len(self.modules) - most} more")
        return {"pattern": self.pattern, "modules": shown, "tensors": len(self.tensors)}


def match(pattern: str, tensors: Iterable[str]) -> Matched:
    """What a pattern means among dotted names of tensors; where nothing, ``tensors`` is empty.

    Its steps are looked for from the beginning of the names; where no name begins so, anywhere in
    them. A number at its beginning means one at the beginning of names: any part may have a
    first or a second.
    """
    steps = pattern.split(".")
    names = [(name, name.split(".")) for name in tensors]
    for anywhere in (False,) if steps[0][:1].isdecimal() else (False, True):
        modules: dict[str, None] = {}
        found: list[str] = []
        for name, parts in names:
            last = len(parts) - len(steps) if anywhere else 0
            at = next((at for at in range(last + 1) if _fits(steps, parts[at:])), None)
            if at is not None:
                modules[".".join(parts[: at + len(steps)])] = None
                found.append(name)
        if found:
            return Matched(pattern, tuple(modules), tuple(found))
    return Matched(pattern, (), ())


def frozen(job: Job, tensors: Sequence[str], model: str) -> list[Matched]:
    """What ``freezeLayers`` means.

    Args:
        job: the call's.
        tensors: dotted names of all tensors of the model, parameters and buffers.
        model: its name, for messages.

    Raises:
        InvalidConfiguration: a pattern that matches nothing; names the nearest modules.
    """
    patterns: list[str] = job.config.get(FREEZE) or []
    result: list[Matched] = []
    for pattern in patterns:
        found = match(pattern, tensors)
        if not found.tensors:
            near = _near(pattern, tensors)
            mended = [near if each == pattern else each for each in patterns]
            call = None if near is None else calls.repeat(job, {FREEZE: mended})
            raise _matches_nothing(FREEZE, pattern, pattern, tensors, model, near, call)
        _warn_of_ends(job, found, tensors)
        result.append(found)
    return result


def rates(
    job: Job, tensors: Sequence[str], still: Iterable[str], model: str
) -> list[tuple[Matched, float]]:
    """What ``layerLearningRates`` means: (layers, their rate); no tensor is in two of them.

    Where several patterns match a tensor the one with the most steps holds, of as long ones the
    last.

    Args:
        job: the call's.
        tensors: dotted names of the model's parameters.
        still: of them, those that are not trained.
        model: its name, for messages.

    Raises:
        InvalidConfiguration: a pattern that matches nothing, or only what is frozen.
    """
    sent: Mapping[str, float] = job.config.get(RATES) or {}
    fixed, owner = set(still), dict[str, str]()
    by_pattern: dict[str, Matched] = {}
    for pattern in sorted(sent, key=lambda pattern: pattern.count(".")):
        found = match(pattern, tensors)
        if not found.tensors:
            near = _near(pattern, tensors)
            mended = {near if each == pattern else each: rate for each, rate in sent.items()}
            call = None
            if near is not None:
                call = calls.repeat(job, {RATES: None})
                call["arguments"]["config"][RATES] = mended
            raise _matches_nothing(RATES, pattern, sent[pattern], tensors, model, near, call)
        if fixed.issuperset(found.tensors):
            raise errors.InvalidConfiguration(
                f"{RATES} gives '{pattern}' a rate, and all its {len(found.tensors)} tensors are"
                " frozen",
                solution=f"Take '{pattern}' out of {RATES}, or out of {FREEZE}.",
                metadata={"key": f"config.{RATES}", "sent": {pattern: sent[pattern]}},
            )
        by_pattern[pattern] = found
        owner.update(dict.fromkeys(found.tensors, pattern))
    result: list[tuple[Matched, float]] = []
    for pattern, rate in sent.items():
        found = by_pattern[pattern]
        own = tuple(name for name in found.tensors if owner[name] == pattern and name not in fixed)
        result.append((Matched(pattern, found.modules, own), float(rate)))
    return result


def nothing_left(job: Job, parameters: int, model: str) -> errors.InvalidConfiguration:
    """The error where every parameter is frozen."""
    return errors.InvalidConfiguration(
        f"{FREEZE} freezes all {parameters:,} parameters of {model}: nothing is left to train",
        solution="Leave at least the output layer out of it; predict and evaluate use a model as it"
        " is.",
        metadata={"key": f"config.{FREEZE}", "sent": job.config.get(FREEZE)},
    )


# -- inside ----------------------------------------------------------------------------------------


def _fits(steps: Sequence[str], parts: Sequence[str]) -> bool:
    return len(parts) >= len(steps) and all(
        _fits_step(step, part) for step, part in zip(steps, parts, strict=False)
    )


def _fits_step(step: str, part: str) -> bool:
    if step == part:
        return True
    spread = _RANGE.fullmatch(step)
    if spread is None:
        return ("*" in step or "?" in step) and fnmatchcase(part, step.replace("[", "[[]"))
    before, low, high, after = spread.groups()
    number = part[len(before) : len(part) - len(after)]
    return (
        part.startswith(before)
        and part.endswith(after)
        and number.isdecimal()
        and int(low) <= int(number) <= int(high)
    )


def _warn_of_ends(job: Job, found: Matched, tensors: Sequence[str]) -> None:
    """Tells of a range that goes beyond the model's numbers.

    Numbers that are missing between them are as usual: what has no weights has no name here.
    """
    steps = found.pattern.split(".")
    for place, step in enumerate(steps):
        spread = _RANGE.fullmatch(step)
        end = len(steps) - place
        if spread is None or any(module.split(".")[-end] == step for module in found.modules):
            continue
        before, _, high, after = spread.groups()
        every = ".".join([*steps[:place], f"{before}0-{_LARGEST}{after}", *steps[place + 1 :]])
        names = [module.split(".")[-end] for module in match(every, tensors).modules]
        last = max(int(name[len(before) : len(name) - len(after)]) for name in names)
        if last < int(high):
            job.warn(
                f"{FREEZE} '{found.pattern}' goes to {high}, and the last of these in the model is"
                f" {last}"
            )


def _matches_nothing(
    key: str,
    pattern: str,
    sent: Any,
    tensors: Sequence[str],
    model: str,
    near: str | None,
    call: dict[str, Any] | None,
) -> errors.InvalidConfiguration:
    parts = list(dict.fromkeys(name.rpartition(".")[0] for name in tensors))
    top = list(dict.fromkeys(name.split(".")[0] for name in tensors))
    there = _numbered(pattern, tensors)
    # Wrappers (bert.encoder …) say nothing by their first step alone.
    shown = top if len(top) > 1 else list(dict.fromkeys(".".join(p.split(".")[:2]) for p in parts))
    return errors.InvalidConfiguration(
        f"{key} '{pattern}' matches nothing in {model}",
        solution=(f"Did you mean '{near}'? " if near else "")
        + (f"There are: {there}. " if there else "")
        + f"Its parts are: {', '.join(shown[:_SHOWN])}. Each step of a name counts whole, or has a"
        " * in it.",
        metadata={
            "key": f"config.{key}",
            "sent": sent if key == FREEZE else {pattern: sent},
            "allowed": shown[:50],
            **({"nearest": near} if near else {}),
        },
        next_call=call,
    )


def _numbered(pattern: str, tensors: Sequence[str]) -> str | None:
    """Of a pattern whose numbers alone are wrong, that with the numbers which there are."""
    steps = pattern.split(".")
    for place, step in enumerate(steps):
        spread = _RANGE.fullmatch(f"{step}-{step}" if step.isdecimal() else step)
        if spread is None:
            continue
        before, _, _, after = spread.groups()
        every = ".".join([*steps[:place], f"{before}0-{_LARGEST}{after}", *steps[place + 1 :]])
        end = len(steps) - place
        names = [module.split(".")[-end] for module in match(every, tensors).modules]
        if names:
            numbers = sorted(int(name[len(before) : len(name) - len(after)]) for name in names)
            ends = f"{before}{numbers[0]}-{numbers[-1]}{after}"
            return ".".join([*steps[:place], ends, *steps[place + 1 :]])
    return None


def _near(pattern: str, tensors: Sequence[str]) -> str | None:
    """The pattern that was most likely meant: of as many steps, its ranges kept, that matches."""
    forwards = re.sub(
        r"(\d+)-(\d+)", lambda found: "-".join(sorted(found.groups(), key=int)), pattern
    )
    if match(forwards, tensors).tensors:
        return forwards
    if _numbered(pattern, tensors):
        return None  # another number would be another layer
    steps = pattern.split(".")
    windows: dict[str, str] = {}
    for name in tensors:
        parts = name.split(".")
        for at in range(len(parts) - len(steps) + 1):
            window = parts[at : at + len(steps)]
            meant = [
                step if _fits_step(step, part) else part
                for step, part in zip(steps, window, strict=True)
            ]
            windows.setdefault(".".join(window), ".".join(meant))
    literal = re.sub(r"(\d+)-\d+", r"\1", pattern)
    found = nearest(literal, windows)
    return None if found is None else windows[found]
