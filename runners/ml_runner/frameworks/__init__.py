"""The registry of frameworks: the one place that knows which there are."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

from ml_runner import errors, manifest, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Set
    from pathlib import Path

    import numpy as np

    from ml_runner.frameworks.base import Adapter, Estimator
    from ml_runner.training.metrics import Metric


def names() -> list[str]:
    """The frameworks of the manifest; each has a module of its name here."""
    return [row["name"] for row in manifest.load()["frameworks"]]


@cache
def get(name: str) -> Adapter:
    """The adapter of a framework, by name or alias. Raises ``KeyError`` for an unknown one."""
    module = importlib.import_module(f"{__name__}.{manifest.framework(name)['name']}")
    return module.ADAPTER


def all_adapters() -> list[Adapter]:
    """Every adapter, in the manifest's order."""
    return [get(name) for name in names()]


def resolve_training(
    framework: str,
    config: dict[str, Any],
    imports: Callable[[], Set[str] | None] = lambda: None,
) -> tuple[Adapter, str | None]:
    """The adapter that trains what the call asks for, and for ``auto`` why it is that one.

    Args:
        framework: of the call.
        config: of the call.
        imports: what ``modelScript`` imports; None where it cannot be read.

    Raises:
        InvalidConfiguration: ``auto``, and no framework has such an algorithm, or several could
            take the script.
    """
    if framework != "auto":
        return get(framework), None
    algorithm = config.get("algorithm")
    if config.get("modelScript") is not None:
        return _of_script(config, imports())
    if algorithm is None:
        raise errors.InvalidConfiguration(
            "framework is 'auto', and config.algorithm does not say what to train",
            solution=f"Name the algorithm, or the framework: {', '.join(names())}.",
            metadata={"key": "config.algorithm", "allowed": names()},
        )
    claims = [(adapter.claims(algorithm), adapter) for adapter in all_adapters()]
    strength = max(claim for claim, _ in claims)
    if strength == 0:
        known = [name for adapter in all_adapters() for name in adapter.algorithms()]
        raise unknown_name.refusal(
            f"No framework here has an algorithm '{algorithm}'",
            f"Name an estimator's class, or one of the frameworks: {', '.join(names())}.",
            key="config.algorithm",
            sent=algorithm,
            known=known,
        )
    adapter = next(adapter for claim, adapter in claims if claim == strength)
    return adapter, f"{algorithm} is an algorithm of {adapter.title}"


def _of_script(config: Mapping[str, Any], imports: Set[str] | None) -> tuple[Adapter, str | None]:
    takers = [
        get(row["name"])
        for row in manifest.load()["frameworks"]
        if "modelScript" in row["actions"].get("train", {}).get("keys", [])
    ]
    if imports is None:
        return takers[0], None  # whichever it is: its own error says what is wrong with the script
    meant = [adapter for adapter in takers if not imports.isdisjoint(adapter.script_imports)]
    if len(meant) == 1:
        name = next(name for name in meant[0].script_imports if name in imports)
        return meant[0], f"the modelScript imports {name}"
    able = [adapter for adapter in meant or takers if _has_keys(adapter.name, config)]
    if len(able) == 1:
        return able[0], f"of such a call's keys {able[0].title} has every one"
    which = [adapter.name for adapter in able or meant or takers]
    raise errors.InvalidConfiguration(
        "framework is 'auto', and config.modelScript does not tell which one it is written for",
        solution=f"Name the framework: {', '.join(which)}.",
        metadata={"key": "framework", "sent": "auto", "allowed": which},
    )


def _has_keys(name: str, config: Mapping[str, Any]) -> bool:
    return set(config) <= set(manifest.framework(name)["actions"]["train"]["keys"])


def array_reader(path: Path) -> Callable[[Path], dict[str, np.ndarray]] | None:
    """What reads arrays of data from a file in a framework's own format; None for any other."""
    from ml_runner.frameworks.base import ReadsArrays

    suffix = path.suffix.lower()
    for adapter in all_adapters():
        if isinstance(adapter, ReadsArrays) and suffix in adapter.array_suffixes:
            return adapter.arrays
    return None


def model_in(directory: Path) -> Path | None:
    """The model file of a directory in a framework's own form; None for any other directory."""
    from ml_runner.frameworks.base import KeepsDirectories

    for adapter in all_adapters():
        if isinstance(adapter, KeepsDirectories):
            found = adapter.model_in(directory)
            if found is not None:
                return found
    return None


def taking_categories() -> list[str]:
    """Names of the algorithms that take columns of categories as they are."""
    return [name for adapter in all_adapters() for name in adapter.taking_categories]


def estimator_class(name: str) -> Estimator | None:
    """The scikit-learn-compatible estimator of that name, from whichever framework has it.

    Raises:
        FrameworkNotFound: a framework that is not installed has it.
    """
    for adapter in all_adapters():
        found = adapter.estimator_class(name)
        if found is not None:
            return found
    return None


def metric(name: str) -> Metric | None:
    """The metric of that name, from whichever installed framework has it."""
    for adapter in all_adapters():
        found = adapter.metric(name)
        if found is not None:
            return found
    return None


def metric_names() -> list[str]:
    """Every name that ``metric`` knows."""
    return [name for adapter in all_adapters() for name in adapter.metrics()]
