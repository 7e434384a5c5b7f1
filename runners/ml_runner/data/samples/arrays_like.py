"""Further arrays, read as those of a training were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_runner import errors
from ml_runner.data.samples import array_files
from ml_runner.data.samples.array_files import ArrayHeader, Loaded
from ml_runner.data.samples.arrays import ArrayOptions, ArraySamples, options_for
from ml_runner.data.samples.base import Warn
from ml_runner.data.samples.normalisation import Normalisation


def arrays_of(path: Path, loaded: Loaded, options: ArrayOptions) -> ArraySamples:
    """Loaded arrays as samples; each checked. Raises ``DataLoadingError``."""
    return ArraySamples(loaded.inputs, loaded.targets, source=path, key=loaded.key, options=options)


def arrays_like(
    path: Path,
    spec: Mapping[str, Any],
    config: Mapping[str, Any],
    target_path: Path | None,
    *,
    with_targets: bool,
    warn: Warn,
) -> ArraySamples:
    """See ``reading.read_like``."""
    key = spec["inputKey"]
    named = config.get("inputKey") is not None or array_files.is_usual(key)
    # A name of the caller's own is looked for again; x_train beside x_test would be a guess.
    if not named and len(found := array_files.headers(path)) > 1 and key in found:
        config = {**config, "inputKey": key}
    chosen = array_files.load(path, config, target_path=target_path, warn=warn)
    loaded = one_part(chosen, path)
    if with_targets and loaded.targets is None:
        shown = {name: header.words() for name, header in array_files.headers(path).items()}
        raise errors.DataLoadingError(
            f"'{path}' has no targets beside '{loaded.key}': {shown}",
            solution="Send config.targetColumn, the name of the array of targets, or targetData, an"
            " NPY file.",
            metadata={"file": str(path), "arrays": list(shown)[:50]},
        )
    if not with_targets:
        loaded.targets = None
    shape = list(loaded.inputs.shape[1:])
    if shape != spec["shape"]:
        found = ArrayHeader(loaded.inputs.shape, loaded.inputs.dtype).words()
        warn(
            f"array '{loaded.key}' of '{path}' is {found}; the model was trained on samples of"
            f" shape {tuple(spec['shape'])}"
        )
    asked = {"inputDtype": spec["inputDtype"], "normalize": spec.get("normalize")}
    whole = loaded.inputs.dtype.kind in "iub"
    if spec["inputDtype"] == "int64" and not whole:
        raise errors.DataLoadingError(
            f"array '{loaded.key}' of '{path}' holds {loaded.inputs.dtype}, and the model was"
            " trained on whole numbers",
            solution="Save it as whole numbers: array.astype('int64').",
            metadata={"file": str(path), "array": loaded.key, "dtype": str(loaded.inputs.dtype)},
        )
    options = options_for(loaded.inputs, asked, path, loaded.key)
    if asked["normalize"] is not None and str(loaded.inputs.dtype) != spec["sourceDtype"]:
        _refuse_other_pixels(path, loaded, spec)
    return arrays_of(path, loaded, options)


def _refuse_other_pixels(path: Path, loaded: Loaded, spec: Mapping[str, Any]) -> None:
    """Bytes and fractions are normalised differently: a model needs what it was trained on."""
    was, now = (dtype.startswith("u") for dtype in (spec["sourceDtype"], str(loaded.inputs.dtype)))
    if was == now or Normalisation.from_config(spec["normalize"]).name == "raw":
        return
    raise errors.DataLoadingError(
        f"array '{loaded.key}' of '{path}' holds {loaded.inputs.dtype}, and the model was trained"
        f" on {spec['sourceDtype']} pixels, which are scaled differently",
        solution=f"Save it as {spec['sourceDtype']}.",
        metadata={
            "file": str(path),
            "array": loaded.key,
            "dtype": str(loaded.inputs.dtype),
            "expected": spec["sourceDtype"],
        },
    )


def one_part(parts: Mapping[str, Any], path: Path) -> Any:
    """The only part there is; which of several is meant is for the caller to say."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    names = ", ".join(parts)
    raise errors.InvalidConfiguration(
        f"'{path}' holds several parts ({names}), and which one is meant is not said",
        solution="Name the folder of one of them as the path (…/test), or for an NPZ file send"
        " config.inputKey.",
        metadata={"file": str(path), "parts": list(parts)},
    )
