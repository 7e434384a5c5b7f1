"""Tensors that ``torch.save`` has written, as arrays: data, not weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ml_runner import bounds, errors
from ml_runner.data.source import fault
from ml_runner.frameworks.pytorch import weights

_FORMS = "a dict of tensors ({'inputs': X, 'targets': y}), or a pair (X, y)"


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Name → array of the tensors in a file; nothing in it can run code.

    A pair is ``inputs`` and ``targets``, a lone tensor ``inputs``.

    Raises:
        DataLoadingError: not such a file, not whole, or holding something else.
    """
    try:
        data = bounds.read_bytes(path)
    except OSError as error:
        raise fault(
            path, f"'{path}' cannot be read: {error.strerror}", solution="Make the file readable."
        ) from error
    try:
        found = weights.read(path, data)
    except errors.ModelLoadingError as error:
        said = error.message.replace("holds no weights that", "holds no tensors that")
        raise fault(
            path, said.replace("loaded as weights", "loaded"), solution=f"Save {_FORMS}."
        ) from error
    named = _named(found)
    if not named:
        raise fault(
            path,
            f"'{path}' holds {_words(found)}, where tensors of data are expected",
            solution=f"Save {_FORMS}: torch.save(…, '{path.name}').",
            found=type(found).__name__,
        )
    return {name: _array(tensor) for name, tensor in named.items()}


def _named(found: Any) -> dict[str, torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return {"inputs": found}
    if isinstance(found, (tuple, list)) and all(isinstance(one, torch.Tensor) for one in found):
        names = ["inputs", "targets"] if len(found) == 2 else map(str, range(len(found)))
        return dict(zip(names, found, strict=True))
    if isinstance(found, Mapping):
        # Beside the tensors there may be names of classes, a version, …
        return {str(key): one for key, one in found.items() if isinstance(one, torch.Tensor)}
    return {}


def _array(tensor: torch.Tensor) -> np.ndarray:
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    if dense.dtype == torch.bfloat16:  # which NumPy does not have
        dense = dense.float()
    return dense.numpy()


def _words(found: Any) -> str:
    if isinstance(found, (Mapping, tuple, list)):
        inside = found.values() if isinstance(found, Mapping) else found
        kinds = ", ".join(sorted({type(one).__name__ for one in inside})) or "nothing"
        return f"a {type(found).__name__} of {kinds}"
    return f"a {type(found).__name__}"
