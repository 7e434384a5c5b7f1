"""Weights that came without a description: the script has the model, the data tell the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ml_runner import errors
from ml_runner.frameworks.pytorch import building, losses, shapes, weights
from ml_runner.frameworks.pytorch.loss import Loss
from ml_runner.frameworks.pytorch.model import TorchModel
from ml_runner.frameworks.pytorch.reading import array_tensor
from ml_runner.frameworks.pytorch.targets import CLASSES, MULTILABEL, NUMBERS, Target

if TYPE_CHECKING:
    from ml_runner.data.samples import Samples
    from ml_runner.data.samples.base import Warn
    from ml_runner.scripts import Script


@dataclass(frozen=True)
class _Meaning:
    """What outputs mean: the kind of target, and the labels of classes."""

    kind: str
    classes: list[Any] | None = None


class BareModel(TorchModel):
    """A module with weights of unknown origin; what its outputs mean is known after ``meet``.

    Args:
        path: of the weights, for messages.
        data: their file.
        script: of the model, imported.
        config: the call's: ``modelClass``, ``modelArgs``, ``lossFunction``.
        allow_pickle: as for ``weights.load_file``.

    Raises:
        ModelLoadingError: no weights, or not those of such a model; names tensors and both shapes.
        InvalidConfiguration: arguments or a loss that there are not.
    """

    def __init__(
        self,
        path: Path,
        data: bytes,
        script: Script,
        config: Mapping[str, Any],
        *,
        allow_pickle: bool,
    ) -> None:
        self._takes = losses.takes(config)
        self._sent = config.get("lossFunction")
        self._path = path
        module = building.build(script, config, {}, 0)
        read = weights.load_file(path, data, allow_pickle=allow_pickle)
        self.notes = [*read.notes, *weights.load_into(module, read.state, path)]
        super().__init__(
            module,
            loss=Loss("outputs", torch.nn.Identity(), None, Target(NUMBERS)),
            algorithm=type(module).__name__,
            task=None,
            classes=None,
            shape=None,
            making={},
        )

    def meet(self, samples: Samples, warn: Warn) -> None:
        """Learns of the first samples what the outputs mean; see ``frameworks.base.TakesSamples``.

        With targets these are held against the outputs; without, several outputs a row are classes.

        Raises:
            DataLoadingError: the samples do not go through the model.
            InvalidConfiguration: outputs and targets do not go together; quotes both.
        """
        super().meet(samples, warn)
        first = array_tensor(samples.batch(np.arange(min(2, len(samples)))))
        scores = shapes.tensor_of(self._tried(first))
        width = scores.shape[1] if scores.ndim > 1 else 1
        found = self._meaning(width, samples.targets, warn)
        target = Target(found.kind, found.classes)
        config = {} if self._sent is None else {"lossFunction": self._sent}
        self.loss = losses.build(config, target, lambda _key, _value: None)
        if self._sent is None and found.kind == CLASSES and width == 1:
            self.loss = losses.build(
                {"lossFunction": "bce_with_logits"}, target, lambda _key, _value: None
            )
        self.task, self.classes = target.task, found.classes

    def _meaning(self, width: int, targets: np.ndarray | None, warn: Warn) -> _Meaning:
        takes = self._takes or (CLASSES, NUMBERS, MULTILABEL)
        if targets is None:
            if CLASSES not in takes or (width == 1 and self._takes is None):
                return _Meaning(NUMBERS if NUMBERS in takes else MULTILABEL)
            if self._takes is not None and MULTILABEL in takes and width > 1:
                return _Meaning(MULTILABEL)
            count = max(2, width)
            warn(
                f"'{self._path}' does not say what its {width} outputs mean: taken for"
                f" {count} classes, numbered from 0"
            )
            return _Meaning(CLASSES, list(range(count)))
        if targets.ndim == 2 and targets.shape[1] > 1:
            zeros_and_ones = targets.dtype.kind in "iufb" and bool(np.isin(targets, (0, 1)).all())
            several = zeros_and_ones and MULTILABEL in takes
            return _Meaning(MULTILABEL if several else NUMBERS)
        whole = targets.dtype.kind not in "f" or bool(np.all(targets == np.floor(targets)))
        labels = targets.dtype.kind not in "iuf"
        if CLASSES in takes and (labels or (whole and (width > 1 or NUMBERS not in takes))):
            return _Meaning(CLASSES, self._labels(width, targets, warn))
        return _Meaning(NUMBERS)

    def _labels(self, width: int, targets: np.ndarray, warn: Warn) -> list[Any]:
        found = np.unique(np.asarray(targets.tolist())).tolist()
        count = max(2, width)
        if len(found) == count:
            shown = ", ".join(map(str, found[:10])) + (", …" if len(found) > 10 else "")
            warn(
                f"'{self._path}' does not name its classes: taken to be the labels of the data,"
                f" sorted ({shown})"
            )
            return found
        if all(isinstance(one, (int, float)) and one in range(count) for one in found):
            warn(f"'{self._path}' does not name its classes: numbered from 0 to {count - 1}")
            return list(range(count))
        raise errors.InvalidConfiguration(
            f"{self.algorithm} gives {width} outputs a row, and the data have {len(found)} labels:"
            f" {', '.join(map(str, found[:10]))}",
            solution="Give data that hold every class of the model, or number the labels as in its"
            " training (0, 1, …).",
            metadata={"key": "config.dataPath", "outputs": width, "labels": found[:50]},
        )

    def _tried(self, first: torch.Tensor) -> Any:
        device = next(self.module.parameters()).device
        try:
            return building.try_out(self.module, first.to(device))
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise errors.DataLoadingError(
                f"Samples of shape {tuple(first.shape[1:])} do not go through {self.algorithm}:"
                f" {' '.join(str(error).split())[:300]}",
                solution="Send data of the shape that it was trained on: for a table featureColumns"
                " (and targetColumn), for images imageSize, colorMode and normalize.",
                metadata={
                    "key": "config.featureColumns",
                    "shape": list(first.shape[1:]),
                    "dtype": str(first.dtype),
                },
            ) from error
