"""Keeps a description within its 2 KB, whatever the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ml_runner import files
from ml_runner.data.profile import clip

LIMIT_BYTES = 2048
# No more columns than these fit in any case; the rest is not even looked at.
_MOST_COLUMNS = 60
_WARNINGS = 4
_WARNING_CHARACTERS = 240
_PATH_CHARACTERS = 300


def candidates(names: list[str]) -> list[str]:
    """The columns that may be shown: the first, and the last, which is often the target."""
    return names if len(names) <= _MOST_COLUMNS else [*names[: _MOST_COLUMNS - 1], names[-1]]


def fit(description: dict[str, Any]) -> dict[str, Any]:
    """The description in at most 2 KB of JSON: first with fewer figures a column, then with fewer
    columns, which ``truncated`` says. The first columns and the last one stay.
    """
    total = description.pop("columnCount")
    columns: list[dict[str, Any]] = description["columns"]
    warnings = [clip(text, _WARNING_CHARACTERS) for text in description["warnings"]]
    if len(warnings) > _WARNINGS:
        more = len(warnings) - _WARNINGS + 1
        warnings = [*warnings[: _WARNINGS - 1], f"{more} more warnings"]
    base = {
        **description,
        "path": clip(description["path"], _PATH_CHARACTERS),
        "warnings": warnings,
    }
    for thin in (_all, _without_extras, _least):
        shown = _thinned(columns, thin)
        if len(shown) == total and _size(answer := {**base, "columns": shown}) <= LIMIT_BYTES:
            return answer
    # Even the least of every column is too much: some have to go, and the others may say more.
    answer = _shorten(base, columns, total, _least)
    for thin in (_without_extras, _all):
        fuller = _shorten(base, columns, total, thin)
        if len(fuller["columns"]) >= min(12, len(answer["columns"])):
            answer = fuller
    return answer


def cut_lists(answer: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Cuts the longest of some lists or mappings by half until the answer fits into 2 KB.

    ``truncated`` then says how much of each is left.
    """
    lengths = {key: len(answer[key]) for key in keys if key in answer}
    while _size(answer) > LIMIT_BYTES:
        key = max((k for k in lengths if answer[k]), key=lambda k: _size(answer[k]), default=None)
        if key is None:
            break
        kept = len(answer[key]) // 2
        value = answer[key]
        answer[key] = dict(list(value.items())[:kept]) if isinstance(value, dict) else value[:kept]
        answer["truncated"] = [
            f"{k}: {len(answer[k])} of {length}"
            for k, length in lengths.items()
            if len(answer[k]) < length
        ]
    return answer


def _shorten(
    base: dict[str, Any],
    columns: list[dict[str, Any]],
    total: int,
    thin: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    for count in range(len(columns) - 1, -1, -1):
        shown = _thinned([*columns[:count], columns[-1]] if count else [], thin)
        left_out = total - len(shown)
        note = f"{left_out} of {total} columns are left out, before the last one"
        answer = {**base, "columns": shown, "truncated": [note]}
        if _size(answer) <= LIMIT_BYTES:
            return answer
    return {**base, "columns": [], "warnings": [], "truncated": [f"{total} columns are left out"]}


def _thinned(
    columns: list[dict[str, Any]], thin: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Any]]:
    # The last column, often the target, keeps what is known of it as long as anything does.
    if not columns or thin is _least:
        return [thin(column) for column in columns]
    return [*(thin(column) for column in columns[:-1]), columns[-1]]


def _all(column: dict[str, Any]) -> dict[str, Any]:
    return column


def _without_extras(column: dict[str, Any]) -> dict[str, Any]:
    thinner = {k: v for k, v in column.items() if k not in ("mean", "examples", "unique")}
    if "min" in thinner:
        thinner.pop("classCounts", None)
    return thinner


def _least(column: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in column.items()
        if key in ("name", "type", "others", "infinite") or (key == "missing" and value)
    }


def _size(value: Any) -> int:
    return len(files.to_json(value, separators=(",", ":")))
