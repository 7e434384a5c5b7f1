"""Arrays as samples: in memory, or mapped from a file."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml_runner import bounds, errors, files
from ml_runner.data.samples.array_checks import check_arrays, refuse_not_finite, sums_finite
from ml_runner.data.samples.base import Positions, digest
from ml_runner.data.samples.normalisation import Normalisation

INPUT_TYPES = ("float32", "int64")


@dataclass(frozen=True)
class ArrayOptions:
    """How an array's values become inputs.

    Attributes:
        dtype: ``"float32"``, or ``"int64"`` for whole numbers such as token ids.
        normalisation: of pixel values, or None to take values as they are.
        white: the greatest value of a pixel where pixels are whole numbers, else None.
        axis: of the channels in a sample, where ``normalisation`` has means.
    """

    dtype: str
    normalisation: Normalisation | None = None
    white: float | None = None
    axis: int = 0

    def convert(self, values: np.ndarray) -> np.ndarray:
        """(b, …) as a network takes them, C-contiguous."""
        if self.normalisation is None:
            # Too large a value becomes infinite, which is looked for afterwards.
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(values, dtype=self.dtype)
        axis = self.axis + 1 if self.axis >= 0 else self.axis
        return np.ascontiguousarray(self.normalisation.apply(values, axis, self.white))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, by the names of the configuration."""
        value: dict[str, Any] = {"inputDtype": self.dtype}
        if self.normalisation is not None:
            value["normalize"] = self.normalisation.to_json()
        return value


class ArraySamples:
    """Arrays as ``Samples``; see there. For data that an adapter read itself as well.

    Args:
        inputs: (n, …) numbers or booleans; a memory map stays one.
        targets: (n,) or (n, k), or None.
        source: absolute path of the file they came from.
        key: the array's name in it, for messages.
        options: how values are converted; as their type suggests where left out (``options_for``).
        names: (n,) what a person finds a row again by.
        rows: positions in ``inputs`` that are the samples; all where left out.

    Raises:
        DataLoadingError: not numbers, no samples, targets of another length, NaN or infinities (of
            a memory map: when a batch is read).
    """

    kind = "arrays"
    in_memory = True

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray | None,
        *,
        source: Path,
        key: str = "inputs",
        options: ArrayOptions | None = None,
        names: Sequence[str] | None = None,
        rows: np.ndarray | None = None,
        checked: bool = False,
    ) -> None:
        if not checked:
            check_arrays(inputs, targets, source, key)
        self._inputs = inputs
        self._rows = rows
        self._key = key
        self._mapped = isinstance(inputs, np.memmap)
        self.options = options or options_for(inputs, {}, source, key)
        self.targets = targets
        self.names = names
        self.source = source
        self.inputs_shape: tuple[int, ...] = inputs.shape[1:]
        if not checked and not self._mapped:
            refuse_not_finite(inputs, source, key)

    def __len__(self) -> int:
        return len(self._inputs) if self._rows is None else len(self._rows)

    @property
    def spec(self) -> dict[str, Any]:  # noqa: D102
        return {
            "kind": self.kind,
            "inputKey": self._key,
            "shape": list(self.inputs_shape),
            "sourceDtype": str(self._inputs.dtype),
            **self.options.to_json(),
        }

    def read(self, position: int) -> np.ndarray:
        """One sample; see ``Samples``."""
        return self.batch((position,))[0]

    def batch(self, positions: Positions) -> np.ndarray:
        """(b, *inputs_shape); see ``Samples``.

        Raises:
            DataLoadingError: NaN or infinities in a memory map.
        """
        chosen = np.asarray(positions, dtype=np.intp)
        rows = chosen if self._rows is None else self._rows[chosen]
        values = self.options.convert(np.asarray(self._inputs[rows]))
        if self._mapped and values.dtype.kind == "f" and not sums_finite(values):
            refuse_not_finite(self._inputs, self.source, self._key, rows=rows)
        return values

    def take(self, positions: Positions) -> ArraySamples:
        """Those samples alone, without a copy of the inputs."""
        chosen = np.asarray(positions, dtype=np.intp)
        # Not by __init__: a table's samples have more to carry over, and nothing is to be checked.
        taken = object.__new__(type(self))
        taken.__dict__.update(self.__dict__)
        taken._rows = chosen if self._rows is None else self._rows[chosen]
        taken.targets = None if self.targets is None else self.targets[chosen]
        taken.names = None if self.names is None else [self.names[place] for place in chosen]
        return taken

    def facts(self) -> dict[str, Any]:
        """``features``, or of more dimensions ``inputShape``."""
        shape = self.inputs_shape
        return {"features": shape[0]} if len(shape) == 1 else {"inputShape": list(shape)}

    def whole(self) -> np.ndarray:
        """All inputs at once, (n, *inputs_shape), as ``batch`` gives them."""
        return self.batch(np.arange(len(self)))

    def fingerprint(self) -> str:
        """Of the file (its size, beginning and end), the array's form, the rows and the targets."""
        form = f"{self._key} {self._inputs.shape} {self._inputs.dtype}"
        rows = b"" if self._rows is None else self._rows.astype(np.int64)
        targets = "" if self.targets is None else _bytes_of(self.targets)
        if self.source.is_file():
            return digest(files.fingerprint(self.source), form, rows, targets)
        return digest(self._inputs, form, rows, targets)

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled with all that it maps.
        state = dict(self.__dict__)
        if isinstance(self._inputs, np.memmap) and isinstance(self._inputs.base, mmap.mmap):
            state["_inputs"] = None
            state["_map"] = (
                self._inputs.dtype,
                self._inputs.shape,
                self._inputs.offset,
                "F" if self._inputs.flags.f_contiguous and self._inputs.ndim > 1 else "C",
            )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        place = state.pop("_map", None)
        self.__dict__.update(state)
        if place is not None:
            dtype, shape, offset, order = place
            with bounds.open_regular(self.source) as file:
                self._inputs = np.memmap(file, dtype, "r", offset, shape, order)


def options_for(inputs: np.ndarray, config: dict[str, Any], source: Path, key: str) -> ArrayOptions:
    """Reads ``inputDtype`` and ``normalize``; without them values are taken as they are.

    Whole numbers stay int64 (they may be token ids), but for bytes and booleans, which become
    float32 as fractions do.

    Raises:
        InvalidConfiguration: a type that the values do not have, normalisation of what are no
            pixels, or of other channels.
    """
    kind, size = inputs.dtype.kind, inputs.dtype.itemsize
    whole = kind in "iu"
    asked = config.get("inputDtype")
    if asked is not None and asked not in INPUT_TYPES:
        raise _refused(
            "inputDtype", asked, f"inputDtype '{asked}' is none of {', '.join(INPUT_TYPES)}"
        )
    if asked == "int64" and not whole and kind != "b":
        raise _refused(
            "inputDtype",
            asked,
            f"array '{key}' of '{source}' holds {inputs.dtype}, not whole numbers",
        )
    dtype = asked or ("int64" if whole and inputs.dtype != np.uint8 else "float32")
    if config.get("normalize") is None:
        return ArrayOptions(dtype)
    if asked == "int64":
        raise _refused("inputDtype", asked, "normalize makes fractions, and inputDtype is int64")
    normalisation = Normalisation.from_config(config["normalize"])
    if whole and not (kind == "u" and size <= 2):
        raise _refused(
            "normalize",
            config["normalize"],
            f"array '{key}' of '{source}' holds {inputs.dtype}, whose range is not that of pixels"
            " (uint8 or uint16)",
        )
    white = {1: 255.0, 2: 65535.0}[size] if whole else None
    axis = _channel_axis(inputs, normalisation, key, source)
    return ArrayOptions("float32", normalisation, white, axis)


def _channel_axis(inputs: np.ndarray, normalisation: Normalisation, key: str, source: Path) -> int:
    if normalisation.mean is None:
        return 0
    channels = len(normalisation.mean)
    shape = inputs.shape[1:]
    if channels == 1:
        return 0  # one mean is for all values, along whatever axis
    found = [axis for axis in (0, -1) if shape[axis] == channels and len(shape) > 1]
    if len(found) != 1:
        raise _refused(
            "normalize",
            normalisation.to_json(),
            f"normalize has {channels} means, and array '{key}' of '{source}' of shape"
            f" {inputs.shape} has {'two' if found else 'no'} axes of {channels} channels",
        )
    return found[0]


def _bytes_of(targets: np.ndarray) -> np.ndarray | str:
    if targets.dtype.kind in "OUS":
        return "\0".join(map(str, targets.tolist()))
    return targets


def _refused(key: str, sent: Any, message: str) -> errors.InvalidConfiguration:
    return errors.InvalidConfiguration(
        message,
        solution=f"Send another value as config.{key}, or leave it out.",
        metadata={"key": f"config.{key}", "sent": sent},
    )
