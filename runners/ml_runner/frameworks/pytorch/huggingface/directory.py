"""A directory in Hugging Face form, read file by file within the job's bound."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ml_runner import bounds, descriptors, errors
from ml_runner.data.source import some

# How a description names such a model.
FORM = "huggingface"
CONFIG = "config.json"
INDEX = ".index.json"
_SAFETENSORS, _PICKLE = "model.safetensors", "pytorch_model.bin"
# Files of weights, the one that the library itself would take first.
_WEIGHTS = (_SAFETENSORS, _SAFETENSORS + INDEX, _PICKLE, _PICKLE + INDEX)
_OF_OTHERS = ("tf_model.h5", "flax_model.msgpack", "model.onnx", "rust_model.ot")
_ADAPTER = "adapter_config.json"
# Whatever of a tokenizer may lie there: vocabularies, merges, SentencePiece models.
_TOKENIZER = (".json", ".txt", ".model", ".jinja")
_LARGEST_PART = 256 << 20


def is_one(path: Path) -> bool:
    """Whether a directory is a model in Hugging Face form (or an adapter of one)."""
    if not path.is_dir():
        return False
    if (path / _ADAPTER).is_file():
        return True
    config = _json(path / CONFIG)
    return config is not None and ("model_type" in config or "architectures" in config)


def weights_in(path: Path) -> Path | None:
    """The file of weights of such a directory; None where it is none, or has none."""
    if not is_one(path):
        return None
    return next((path / name for name in _WEIGHTS if (path / name).is_file()), None)


def holding(weights: Path) -> Path | None:
    """The directory that a file is the weights of; None where it stands alone."""
    if weights.name not in _WEIGHTS or not (weights.parent / CONFIG).is_file():
        return None
    return weights.parent if is_one(weights.parent) else None


def facts(path: Path) -> dict[str, Any]:
    """What the config of such a directory says: ``algorithm``, ``modelType``, ``classes``."""
    config = _json(path / CONFIG) or {}
    classes, named = config.get("architectures"), config.get("id2label")
    found: dict[str, Any] = {"modelType": config.get("model_type")}
    if isinstance(classes, list) and classes:
        found["algorithm"] = classes[0]
    if isinstance(named, dict):
        found["classes"] = list(named.values())
    return {key: value for key, value in found.items() if value is not None}


def is_described(weights: Path, description: Mapping[str, Any] | None) -> bool:
    """Whether a file is to be loaded with the directory that it lies in.

    Args:
        weights: a model file.
        description: what its descriptor says of the model; None where it has none.
    """
    if description is not None:
        return description.get("form") == FORM
    return holding(weights) is not None


class Directory:
    """Such a directory, of which config and weights are there.

    Args:
        path: absolute.
        key: the config key that names it, for messages.

    Attributes:
        weights: its file of weights, or the index of several.

    Raises:
        ModelLoadingError: no weights of ours, or no model but an adapter of one.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key
        found = weights_in(path)
        if (path / _ADAPTER).is_file() and not (path / CONFIG).is_file():
            raise self.bad(
                "holds an adapter alone, without the model that it belongs to",
                "Merge it into its model first (peft: merge_and_unload, save_pretrained), and name"
                " that directory.",
            )
        if found is None:
            raise self._no_weights()
        self.weights = found

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its config.json. Raises ``ModelLoadingError`` where it cannot be read."""
        found = _json(self.path / CONFIG)
        if found is None:
            raise self.bad(f"has no {CONFIG} that can be read", "Copy it again.")
        return found

    def parts(self) -> list[Path]:
        """The files of weights: one, or those that the index names.

        Raises:
            ModelLoadingError: the index cannot be read, names a file that is not there, or one of
                another directory.
        """
        if not self.weights.name.endswith(INDEX):
            return [self.weights]
        index = _json(self.weights) or {}
        places = index.get("weight_map")
        names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
        if not names or any("/" in name or name.startswith(".") for name in names):
            raise self.bad(f"has a {self.weights.name} that names no files", "Copy it again.")
        missing = [name for name in names if not (self.path / name).is_file()]
        if missing:
            raise self.bad(
                f"lacks {some(missing, 5)}, which its {self.weights.name} names", "Copy them too."
            )
        return [self.path / name for name in names]

    def small_files(self) -> dict[str, bytes]:
        """Name → content of config and tokenizer.

        Raises:
            ModelLoadingError: one cannot be read.
            InvalidConfiguration: a link that leads out of the roots.
        """
        found: dict[str, bytes] = {}
        with bounds.scan(self.path) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            file = self.path / name
            if not name.endswith(_TOKENIZER) or name.startswith(".") or not file.is_file():
                continue
            if name.endswith(descriptors.SUFFIX):
                continue
            if name in _WEIGHTS or name.endswith(INDEX) or file.stat().st_size > _LARGEST_PART:
                continue
            try:
                found[name] = bounds.read_bytes(file)
            except OSError as error:
                raise self.bad(
                    f"has a {name} that cannot be read: {error.strerror}", "Make it readable."
                ) from error
        return found

    def bad(
        self, what: str, solution: str, metadata: Mapping[str, Any] | None = None
    ) -> errors.ModelLoadingError:
        """The error for a directory that will not do."""
        return errors.ModelLoadingError(
            f"'{self.path}' {what}",
            solution=solution,
            metadata={"key": self.key, "path": str(self.path), **(metadata or {})},
        )

    def _no_weights(self) -> errors.ModelLoadingError:
        names = sorted(file.name for file in self.path.iterdir())
        others = [name for name in _OF_OTHERS if name in names]
        what = f"holds {some(others, 4)} only, no weights" if others else "holds no weights"
        return self.bad(
            f"{what} ({some(names, 10)})",
            f"Save the model with save_pretrained of PyTorch: {_SAFETENSORS} beside {CONFIG}.",
            {"found": names[:20]},
        )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(bounds.read_bytes(path))
    except errors.InvalidConfiguration:  # outside the roots, as what a root itself lies in
        return None
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
