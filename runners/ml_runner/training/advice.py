"""What can be done about columns that an algorithm does not take; only ways that there are."""

from __future__ import annotations

from ml_runner import frameworks, manifest


def for_text(*, accepts_categories: bool) -> str:
    """What to do about columns of text among the features."""
    ways = ["leave them out of config.featureColumns"]
    if accepts_categories:
        ways.append("name them in config.categorical")
    else:
        ways += _other_algorithms()
    return _sentence(ways + _encoding())


def for_categories() -> str:
    """What to do where ``categorical`` is sent for an algorithm that takes none."""
    return _sentence(["leave config.categorical out", *_other_algorithms(), *_encoding()])


def for_missing() -> str:
    """What to do about missing values that an algorithm does not take."""
    ways = ["leave these columns out of config.featureColumns", "drop the rows"]
    ways.append("use an algorithm that takes missing values")
    if "preprocess" in manifest.load()["actions"]:
        ways.append("fill them in first (preprocess: fillna)")
    else:
        ways += [f"fill them in {way}" for way in _own_pipeline()]
    return _sentence(ways)


def _other_algorithms() -> list[str]:
    takers = ", ".join(frameworks.taking_categories())
    return [f"use an algorithm that takes them as config.categorical ({takers})"]


def _encoding() -> list[str]:
    if "preprocess" in manifest.load()["actions"]:
        return ["encode them first (preprocess: encode)"]
    return [f"encode them {way}" for way in _own_pipeline()]


def _own_pipeline() -> list[str]:
    return ["in a pipeline of your own (config.modelScript)"]


def _sentence(ways: list[str]) -> str:
    *first, last = ways
    text = f"{'; '.join(first)}; or {last}." if first else f"{last}."
    return text[0].upper() + text[1:]
