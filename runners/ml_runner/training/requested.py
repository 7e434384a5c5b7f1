"""Which metrics a call wants: the usual ones of the task, and those that it names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ml_runner import errors, frameworks, unknown_name
from ml_runner.frameworks.base import CLASSIFICATION, MULTI_LABEL
from ml_runner.training.metrics import (
    ALIASES,
    CORE,
    Metric,
    Outputs,
    Truth,
    core,
    default_average,
)

__all__ = ["by_name", "check_average", "for_task", "measure", "of_call"]

USUAL = {
    "classification": ("accuracy", "f1"),
    "multilabel": ("accuracy", "f1"),
    "regression": ("rmse", "r2"),
}


def by_name(name: str) -> Metric:
    """A core metric, or one that a framework has under this name.

    Raises:
        InvalidConfiguration: nobody knows it; says the nearest.
    """
    found = core(name) or frameworks.metric(name)
    if found is not None:
        return found
    known = sorted({*CORE, *ALIASES, *frameworks.metric_names()})
    raise unknown_name.refusal(
        f"There is no metric '{name}'",
        f"Usual ones: {', '.join(CORE)}; beside them the frameworks' own by name.",
        key="config.metrics",
        sent=name,
        known=known,
        allowed=CORE,
    )


def of_call(config: dict[str, Any]) -> list[Metric]:
    """The metrics that ``config.metrics`` names. Raises as ``by_name``."""
    return [by_name(name) for name in config.get("metrics") or []]


def for_task(task: str, usual: Iterable[str], asked: list[Metric]) -> list[Metric]:
    """The usual metrics and those asked for, each once.

    Raises:
        InvalidConfiguration: one that does not fit the task.
    """
    chosen = {name: CORE[name] for name in usual}
    for metric in asked:
        if not metric.fits(task):
            raise errors.InvalidConfiguration(
                f"The metric '{metric.name}' is for {metric.task}, and this is a {task}",
                solution="Leave it out. For a "
                f"{task} there are: {', '.join(m.name for m in CORE.values() if m.fits(task))}.",
                metadata={"key": "config.metrics", "sent": metric.name},
            )
        chosen.setdefault(metric.name, metric)
    return list(chosen.values())


def check_average(average: str | None, task: str, classes: list[Any] | None) -> str | None:
    """The averaging that holds; None for numbers.

    Raises:
        InvalidConfiguration: ``binary`` for other than two classes, or any for numbers.
    """
    if task == MULTI_LABEL:
        if average == "binary":
            raise errors.InvalidConfiguration(
                "average is 'binary', and a row may have several labels at once",
                solution="Use macro, micro or weighted.",
                metadata={
                    "key": "config.average",
                    "sent": average,
                    "allowed": ["macro", "micro", "weighted"],
                },
            )
        return average or "macro"
    if task != CLASSIFICATION or classes is None:
        if average is not None:
            raise errors.InvalidConfiguration(
                f"average is '{average}', and a regression has no classes to average over",
                solution="Leave average out.",
                metadata={"key": "config.average", "sent": average},
            )
        return None
    if average == "binary" and len(classes) != 2:
        raise errors.InvalidConfiguration(
            f"average is 'binary', and there are {len(classes)} classes",
            solution="Use macro, micro or weighted.",
            metadata={
                "key": "config.average",
                "sent": average,
                "allowed": ["macro", "micro", "weighted"],
            },
        )
    return average or default_average(classes)


def measure(metric: Metric, truth: Truth, outputs: Outputs) -> Any:
    """The metric's value.

    Raises:
        InvalidConfiguration: it needs what this model does not give, or refuses the values.
    """
    lacking = metric.needs == "probabilities" and outputs.probabilities is None
    if metric.needs == "scores":
        lacking = outputs.probabilities is None and outputs.decision is None
    if lacking:
        raise errors.InvalidConfiguration(
            f"The metric '{metric.name}' needs probabilities, and this model gives none",
            solution="Leave it out, or train with parameters that give probabilities.",
            metadata={"key": "config.metrics", "sent": metric.name},
        )
    try:
        return metric.compute(truth, outputs)
    except (ValueError, TypeError) as error:
        raise errors.InvalidConfiguration(
            f"The metric '{metric.name}' cannot be computed here: {error}",
            solution="Leave it out, or choose another.",
            metadata={"key": "config.metrics", "sent": metric.name},
        ) from error
