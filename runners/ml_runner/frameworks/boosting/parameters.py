"""Parameters of a boosting call that mean the same in every library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import errors
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.nearest import nearest
from ml_runner.training import targets

if TYPE_CHECKING:
    from ml_runner.job import Job

# So few distinct whole numbers may be classes.
_FEW = 20


def only_two(objective: str, classes: int, other: str) -> errors.InvalidConfiguration:
    """An objective for two classes, and a target of more; ``other`` is the objective for those."""
    return errors.InvalidConfiguration(
        f"The objective '{objective}' is for two classes, and the target has {classes}",
        solution=f"Use {other}, or leave the objective out.",
        metadata={"key": "config.hyperparameters.objective", "sent": objective},
    )


def miscounted(sent: Any, classes: int) -> errors.InvalidConfiguration:
    """``num_class`` is not the number of the target's labels."""
    return errors.InvalidConfiguration(
        f"hyperparameters.num_class is {sent}, and the target has {classes} classes",
        solution="Leave num_class out: it is counted.",
        metadata={"key": "config.hyperparameters.num_class", "sent": sent},
    )


def take_rounds(job: Job, parameters: dict[str, Any], aliases: Iterable[str], default: int) -> int:
    """Takes the number of rounds out of ``parameters`` or ``numRounds``; notes the default.

    A new total of a resumed run comes before all of them.

    Raises:
        InvalidConfiguration: two that differ, or one that is no positive whole number.
    """
    given: dict[str, Any] = {}
    if job.config.get("numRounds") is not None:
        given["config.numRounds"] = job.config["numRounds"]
    for alias in aliases:
        if alias in parameters:
            given[f"config.hyperparameters.{alias}"] = parameters.pop(alias)
    if job.new_total is not None:
        return job.new_total
    if not given:
        job.default("numRounds", default)
        return default
    key, value = next(iter(given.items()))
    if len(set(map(str, given.values()))) > 1:
        raise errors.InvalidConfiguration(
            "The number of rounds is given twice: "
            + ", ".join(f"{name} = {number}" for name, number in given.items()),
            solution="Send numRounds alone.",
            metadata={"key": key, "sent": given},
        )
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise errors.InvalidConfiguration(
            f"{key} is {value!r}",
            solution="Send a whole number of rounds, 1 or more.",
            metadata={"key": key, "sent": value, "allowed": "an integer of 1 or more"},
        )
    return value


def refuse_unknown(
    sent: Mapping[str, Any],
    known: Iterable[str],
    title: str,
    hints: Mapping[str, str],
    *,
    preferred: Iterable[str] = (),
) -> None:
    """Raises ``InvalidConfiguration`` for a hyperparameter that the library does not know.

    Args:
        sent: the hyperparameters.
        known: names that are fine.
        preferred: those of them to suggest, where some are only other names of others.
        title: the library, for the message.
        hints: name → what to use instead, for names of the library's other interfaces.
    """
    names = sorted(known)
    shown = sorted(set(preferred) & set(names)) or names
    for name, value in sent.items():
        if name in names:
            continue
        key = f"config.hyperparameters.{name}"
        if name in hints:
            raise errors.InvalidConfiguration(
                f"'{name}' is not a parameter of {title}'s native training",
                solution=hints[name],
                metadata={"key": key, "sent": value},
            )
        near = nearest(name, shown) or nearest(name, names)
        raise errors.InvalidConfiguration(
            f"{title} has no parameter '{name}'",
            solution=f"Did you mean '{near}'? All that it has are in metadata.allowed."
            if near
            else f"It has: {', '.join(shown)}.",
            metadata={
                "key": key,
                "sent": value,
                "allowed": shown,
                **({"nearest": near} if near else {}),
            },
        )


def set_seed(job: Job, parameters: dict[str, Any], aliases: Iterable[str]) -> None:
    """Puts ``config.seed`` among the parameters; the library's own stays where there is none.

    Raises:
        InvalidConfiguration: the hyperparameters have another one.
    """
    seed = job.config.get("seed")
    own = [alias for alias in aliases if alias in parameters]
    if seed is None:
        return
    if own and parameters[own[0]] != seed:
        raise errors.InvalidConfiguration(
            f"config.seed is {seed}, and hyperparameters.{own[0]} is {parameters[own[0]]}",
            solution="Send one of the two.",
            metadata={"key": "config.seed", "sent": seed},
        )
    if not own:
        parameters["seed"] = seed


def guess_task(job: Job, target: Any, how: str) -> str:
    """The task where neither algorithm nor objective names one: by the target's type.

    Numbers are a regression, as the libraries themselves have it; few whole numbers are warned of.

    Args:
        job: who is warned.
        target: Series.
        how: what to send for a classification, for the warning.
    """
    if targets.holds_labels(target):
        return CLASSIFICATION
    values = target.to_numpy()
    distinct = np.unique(values)
    few = len(distinct) <= _FEW and len(distinct) * 5 <= len(values)
    if few and np.all(distinct == np.floor(distinct)):
        job.warn(
            f"The target '{target.name}' holds {len(distinct)} distinct whole numbers and is"
            f" learned as a regression, the library's default; for classes {how}"
        )
    return REGRESSION
