"""NPZ and NPY files, and frameworks' own files of arrays, as inputs and targets."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml_runner import errors, frameworks
from ml_runner.data.samples.base import PART_NAMES, Warn
from ml_runner.data.source import Source, fault

INPUT_NAMES = ("x", "data", "input", "inputs", "image", "images", "feature", "features", "samples")
TARGET_NAMES = ("y", "label", "labels", "target", "targets")
# Smaller arrays are read into memory: checked at once, and safe from a file that changes.
_MAPPED_BYTES = 256 * 1024 * 1024
# What NumPy, zipfile and zlib raise for damaged files.
_FAULTS = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ArrayHeader:
    """What a file says of an array before its values are read."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def words(self) -> str:
        """``(100, 28, 28) uint8``."""
        return f"{self.shape} {self.dtype}"


@dataclass
class Loaded:
    """Inputs of one part, and their targets.

    Attributes:
        key: name of the inputs in the file.
        inputs: (n, …), perhaps a memory map.
        targets: (n, …) or None.
    """

    key: str
    inputs: np.ndarray
    targets: np.ndarray | None


def headers(path: Path) -> dict[str, ArrayHeader]:
    """Name, shape and type of each array in an NPZ, or of the one in an NPY by the file's stem.

    Raises:
        DataLoadingError: no such file, or one that is damaged.
    """
    source = Source(path)
    reader = frameworks.array_reader(path)
    if reader is not None:
        return _headers_of(reader(path))
    try:
        if not zipfile.is_zipfile(path):
            with source.open() as file:
                return {path.stem: _header(file)}
        with zipfile.ZipFile(path) as archive:
            found: dict[str, ArrayHeader] = {}
            for member in archive.namelist():
                if not member.endswith(".npy"):
                    continue
                with archive.open(member) as file:
                    found[member.removesuffix(".npy")] = _header(file)
            return found
    except _FAULTS as error:
        raise _damaged(path, error) from error


def load(
    path: Path, config: Mapping[str, Any], *, target_path: Path | None, warn: Warn
) -> dict[str, Loaded]:
    """The arrays of a file by part: ``{"train": …}``, or ``validation`` and ``test`` as well.

    Names are those of ``inputKey`` and ``targetColumn``; without them, the usual ones: ``X``,
    ``data``, ``images``, … and ``y``, ``labels``, ``targets``, …, also by part (``x_train``,
    ``test_labels``). A lone array is the inputs.

    Args:
        path: absolute.
        config: ``inputKey``, ``targetColumn``.
        target_path: an NPY file with the targets, or None.
        warn: gets what is left out.

    Raises:
        InvalidConfiguration: names that say nothing, or are not there; lists the arrays.
        DataLoadingError: a file that is damaged or holds Python objects.
    """
    Source(path)
    reader = frameworks.array_reader(path)
    held = None if reader is None else reader(path)
    found = headers(path) if held is None else _headers_of(held)
    if held is not None or zipfile.is_zipfile(path):
        chosen = _choose(path, found, config, warn)
    else:
        for key in ("inputKey", "targetColumn"):
            if config.get(key) is not None:
                raise _refused(path, key, config[key], found, "an NPY file holds one array")
        chosen = {"train": (path.stem, None)}
    if target_path is not None and (len(chosen) > 1 or chosen["train"][1] is not None):
        raise errors.InvalidConfiguration(
            f"targetData is sent, and '{path}' holds targets itself",
            solution="Leave targetData out.",
            metadata={"key": "config.targetData", "sent": str(target_path)},
        )
    result: dict[str, Loaded] = {}
    for part, (inputs, targets) in chosen.items():
        y = None if targets is None else _array(path, targets, found, held)
        if target_path is not None:
            y = _only_array(target_path)
        result[part] = Loaded(inputs, _array(path, inputs, found, held), y)
    return result


def is_usual(name: str) -> bool:
    """Whether an array's name says by itself that it is the inputs."""
    return _meaning(name)[1] == "inputs"


def _choose(
    path: Path, found: Mapping[str, ArrayHeader], config: Mapping[str, Any], warn: Warn
) -> dict[str, tuple[str, str | None]]:
    asked_x, asked_y = config.get("inputKey"), config.get("targetColumn")
    for key, name in (("inputKey", asked_x), ("targetColumn", asked_y)):
        if name is not None and name not in found:
            raise _refused(path, key, name, found, "there is no such array")
    if asked_x is not None:
        return {"train": (asked_x, asked_y or _partner(found, asked_x))}
    arrays = [name for name, header in found.items() if header.shape]
    roles: dict[tuple[str, str], list[str]] = {}
    for name in arrays:
        part, role = _meaning(name)
        if role is not None and name != asked_y:
            roles.setdefault((part, role), []).append(name)
    for (part, role), names in roles.items():
        if len(names) > 1 and not (role == "targets" and asked_y is not None):
            why = f"{' and '.join(map(repr, names))} may both be the {role} of {part}"
            raise _refused(
                path, "inputKey" if role == "inputs" else "targetColumn", None, found, why
            )
    parts = {part: roles[part, "inputs"][0] for part, role in roles if role == "inputs"}
    if not parts and len(others := [name for name in arrays if name != asked_y]) == 1:
        parts = {"train": others[0]}
    if "train" not in parts and len(parts) == 1:
        parts = {"train": next(iter(parts.values()))}
    if "train" not in parts:
        raise _refused(path, "inputKey", None, found, "none of its names says which is the inputs")
    if asked_y is not None:
        return {"train": (parts["train"], asked_y)}
    chosen = {part: (name, _partner(found, name)) for part, name in parts.items()}
    used = {name for pair in chosen.values() for name in pair}
    left = [name for name in arrays if name not in used]
    if left:
        warn(f"'{path}': arrays left out: {', '.join(map(repr, left[:10]))}")
    return chosen


def _partner(found: Mapping[str, ArrayHeader], inputs: str) -> str | None:
    part = _meaning(inputs)[0]
    names = [name for name in found if name != inputs and _meaning(name) == (part, "targets")]
    return names[0] if len(names) == 1 else None


def _meaning(name: str) -> tuple[str, str | None]:
    """(part, ``"inputs"``, ``"targets"`` or None) that a name speaks of; ``X_train``, ``y``."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    parts = [PART_NAMES[word] for word in words if word in PART_NAMES]
    rest = [word for word in words if word not in PART_NAMES]
    role = None
    if len(rest) == 1 and len(parts) <= 1:
        role = (
            "inputs" if rest[0] in INPUT_NAMES else "targets" if rest[0] in TARGET_NAMES else None
        )
    return (parts[0] if parts else "train"), role


def _headers_of(held: Mapping[str, np.ndarray]) -> dict[str, ArrayHeader]:
    return {name: ArrayHeader(array.shape, array.dtype) for name, array in held.items()}


def _array(
    path: Path,
    name: str,
    found: Mapping[str, ArrayHeader],
    held: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    if held is not None:
        return held[name]
    header = found[name]
    if header.dtype.hasobject:
        raise fault(
            path,
            f"array '{name}' in '{path}' holds Python objects; only pickle reads those, and pickle"
            " can run code",
            solution="Save it as numbers or fixed-length strings: array.astype(float) or"
            " array.astype('U').",
            array=name,
        )
    try:
        if not zipfile.is_zipfile(path):
            mapped = header.dtype.itemsize * int(np.prod(header.shape)) > _MAPPED_BYTES
            return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        with np.load(path, allow_pickle=False) as archive:
            array = archive[name]
    except _FAULTS as error:
        raise _damaged(path, error, name) from error
    return array.astype("U") if array.dtype.kind == "S" else array


def _only_array(path: Path) -> np.ndarray:
    reader = frameworks.array_reader(path)
    held = None if reader is None else reader(path)
    found = headers(path) if held is None else _headers_of(held)
    if len(found) != 1:
        raise fault(
            path,
            f"'{path}' holds {len(found)} arrays; the targets alone are expected",
            solution="Name a file of one array as targetData.",
            arrays=list(found)[:20],
        )
    return _array(path, next(iter(found)), found, held)


def _header(file: Any) -> ArrayHeader:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"its format has version {version}, for structured arrays")
    return ArrayHeader(shape, dtype)


def _damaged(path: Path, error: Exception, name: str | None = None) -> errors.DataLoadingError:
    what = f"'{path}'" if name is None else f"array '{name}' in '{path}'"
    return fault(
        path,
        f"{what} is cut off, damaged or no NumPy file: {str(error)[:200]}",
        solution="Copy or download the file again, or write it again.",
        **({} if name is None else {"array": name}),
    )


def _refused(
    path: Path, key: str, sent: Any, found: Mapping[str, ArrayHeader], why: str
) -> errors.InvalidConfiguration:
    shown = [f"'{name}' {header.words()}" for name, header in list(found.items())[:12]]
    more = f" and {len(found) - 12} more" if len(found) > 12 else ""
    return errors.InvalidConfiguration(
        f"config.{key}{'' if sent is None else f' {sent!r}'}: {why}; '{path}' holds"
        f" {', '.join(shown) or 'no array'}{more}",
        solution="Send config.inputKey and config.targetColumn, the names of two of these arrays.",
        metadata={
            "key": f"config.{key}",
            "sent": sent,
            "file": str(path),
            "allowed": list(found)[:50],
        },
    )
