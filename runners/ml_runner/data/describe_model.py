"""What ``describe`` says of a model: its descriptor, without loading it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ml_runner import bounds, descriptors, errors, frameworks
from ml_runner.data import bounded
from ml_runner.data.profile import clip
from ml_runner.frameworks.base import KeepsDirectories
from ml_runner.report import size_words
from ml_runner.training import run_directory

_HEAD_BYTES = 4096
_LISTS = ("features", "classes", "parameters", "versions")


def find(path: Path) -> Path | None:
    """The model that a path means, if any: a described file, a run's, one that is a directory."""
    if path.is_dir():
        path = frameworks.model_in(path) or run_directory.model_in(path) or path
        if path.is_dir():
            path = frameworks.model_in(path) or path
    if frameworks.model_in(path.parent) == path:
        return path
    return path if descriptors.path_of(path).is_file() and path.is_file() else None


def recognised(path: Path) -> bool:
    """Whether some framework takes the file for a model of its, by its first bytes and its name."""
    return _adapter(path) is not None


def describe(path: Path, sent: str) -> dict[str, Any]:
    """What is known of a model without running anything of it, within 2 KB of JSON.

    Args:
        path: absolute path of the model's file.
        sent: the caller's form of the path.

    Returns:
        ``path``, ``kind`` (``"model"``), ``framework``, ``modelSize``, ``modelSizeBytes``,
        ``described`` (its descriptor is there, signed by this machine and of this very file) and
        ``warnings``; where described, also ``algorithm``, ``task``, ``classes``, ``parameters``,
        ``versions``, ``created``, and ``target`` and ``features`` (name → type) of a table, or
        ``inputs`` (their shapes); else whether loading it needs ``allowPickle``, and what a
        directory's own files say (``algorithm``, ``modelType``, ``classes``). ``truncated`` names
        lists that were cut.

    Raises:
        ModelLoadingError: the file cannot be read.
    """
    try:
        data = bounds.read_bytes(path)
    except OSError as error:
        raise errors.ModelLoadingError(
            f"'{path}' cannot be read: {error.strerror}",
            solution="Name the model's file, and make it readable.",
            metadata={"path": str(path)},
        ) from error
    descriptor, warnings = descriptors.read(path, data)
    answer: dict[str, Any] = {"path": clip(sent, 300), "kind": "model"}
    if descriptor is not None:
        schema = descriptor.get("schema")
        answer |= {key: descriptor[key] for key in ("framework", "algorithm", "task")}
        answer["classes"] = descriptor["classes"]
        if schema is None:
            answer["inputs"] = descriptor["signature"]["inputs"]
        else:
            answer["target"] = schema["target"]
            answer["features"] = {
                name: "category" if name in schema["categorical"] else schema["dtypes"].get(name)
                for name in schema["features"]
            }
        answer["parameters"] = descriptor["parameters"]
        answer["versions"] = descriptor["versions"]
        answer["created"] = descriptor["created"]
    else:
        adapter = _adapter(path)
        answer["framework"] = None if adapter is None else adapter.name
        answer["needsAllowPickle"] = adapter is not None and not adapter.is_safe(path)
        if isinstance(adapter, KeepsDirectories) and adapter.model_in(path.parent) == path:
            answer |= adapter.directory_facts(path.parent)
    answer["described"] = descriptor is not None
    answer["modelSize"], answer["modelSizeBytes"] = size_words(len(data)), len(data)
    answer["warnings"] = [clip(text, 300) for text in warnings]
    known = {key: value for key, value in answer.items() if value is not None}
    return bounded.cut_lists(known, _LISTS)


def _adapter(path: Path) -> Any:
    try:
        with os.fdopen(bounds.open_file(path), "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    return next((a for a in frameworks.all_adapters() if a.recognises(path, head)), None)
