"""Which columns are meant: names checked against those that are there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_runner import errors
from ml_runner.data.source import some


def near(name: str, known: Sequence[str]) -> str | None:
    """The column that was most likely meant by a name that is not there."""
    plain: dict[str, str] = {}
    for other in known:
        plain.setdefault(other.strip().lower(), other)
    found = difflib.get_close_matches(name.strip().lower(), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def no_such_column(path: Path, key: str, sent: str, known: Sequence[str]) -> errors.ExecutorError:
    """The error for a column that the caller names and the table does not have."""
    meant = near(sent, known)
    guess = f" Did you mean '{meant}'?" if meant is not None else ""
    return errors.InvalidConfiguration(
        f"{key} '{sent}' is not a column of '{path}', which has: {some(list(known), 30)}",
        solution=f"Send one of the table's columns as {key}.{guess}",
        metadata={
            "key": key,
            "sent": sent,
            "file": str(path),
            "allowed": list(known)[:50],
            **({"nearest": meant} if meant is not None else {}),
        },
    )


def check_named(
    path: Path,
    known: Sequence[str],
    *,
    target: str | None,
    features: Sequence[str] | None,
    weight: str | None,
    group: str | None,
    categorical: Sequence[str],
) -> list[str]:
    """The features, after all names have been checked.

    Returns:
        The columns named, or all but target, weight and group in file order.

    Raises:
        InvalidConfiguration: a column that is not there (with the nearest match), named twice, or
            named for two things that exclude each other; no feature at all.
    """
    present = set(known)
    for key, name in (
        ("targetColumn", target),
        ("sampleWeightColumn", weight),
        ("groupColumn", group),
    ):
        if name is not None and name not in present:
            raise no_such_column(path, key, name, known)
    _refuse_same("sampleWeightColumn", weight, "targetColumn", target)
    _refuse_same("groupColumn", group, "targetColumn", target)
    if features is None:
        chosen = [name for name in known if name not in (target, weight, group)]
        if not chosen:
            raise _invalid(
                "featureColumns",
                None,
                f"'{path}' has no column beside {some(list(known), 5)}, so no feature",
                "Name a table that has feature columns.",
            )
    else:
        chosen = _named_features(path, known, features, target)
    for name in categorical:
        if name not in present:
            raise no_such_column(path, "categorical", name, known)
        if name not in chosen:
            raise _invalid(
                "categorical",
                name,
                f"categorical names '{name}', which is not among the features",
                "Add it to featureColumns, or leave it out of categorical.",
            )
    return chosen


def _named_features(
    path: Path, known: Sequence[str], features: Sequence[str], target: str | None
) -> list[str]:
    if not features:
        raise _invalid(
            "featureColumns",
            [],
            "featureColumns is an empty list",
            f"Name at least one column, or leave it out for all but the target: "
            f"{some(list(known), 30)}.",
        )
    present = set(known)
    for name in features:
        if name not in present:
            raise no_such_column(path, "featureColumns", name, known)
    twice = sorted({name for name in features if list(features).count(name) > 1})
    if twice:
        raise _invalid(
            "featureColumns",
            twice[0],
            f"featureColumns names '{twice[0]}' more than once",
            "Name each column once.",
        )
    if target is not None and target in features:
        raise _invalid(
            "featureColumns",
            target,
            f"featureColumns names '{target}', which is the target",
            "Leave the target out of featureColumns: a model that sees it has nothing to learn.",
        )
    return list(features)


def _refuse_same(key: str, name: str | None, other_key: str, other: str | None) -> None:
    if name is not None and name == other:
        raise _invalid(key, name, f"{key} and {other_key} are both '{name}'", "Name two columns.")


def _invalid(key: str, sent: Any, message: str, solution: str) -> errors.InvalidConfiguration:
    return errors.InvalidConfiguration(
        message, solution=solution, metadata={"key": key, "sent": sent}
    )
