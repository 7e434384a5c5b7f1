"""A trained module, in memory and on disk."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ml_runner import errors
from ml_runner.data.samples import Samples, Tokenizer
from ml_runner.data.samples.base import Warn
from ml_runner.frameworks.base import CLASSIFICATION, MULTI_LABEL, Content
from ml_runner.frameworks.pytorch import heads, losses, precision, weights
from ml_runner.frameworks.pytorch.loss import Loss
from ml_runner.frameworks.pytorch.reading import array_tensor
from ml_runner.frameworks.pytorch.targets import CLASSES, MULTILABEL, NUMBERS, Target
from ml_runner.training.history import History
from ml_runner.training.metrics import Outputs

_KINDS = {"classification": CLASSES, "regression": NUMBERS, "multilabel": MULTILABEL}


class TorchModel:
    """See ``frameworks.base.Model``; its inputs are ``Samples``.

    Args:
        module: with its weights, on its device.
        loss: what says how outputs are to be read.
        algorithm: the module's class name.
        task: ``classification``, ``regression`` or ``multilabel``; None where only the script
            knows.
        classes: labels in order; None for numbers.
        shape: of one sample's inputs; None where it is not known, or they are no one tensor.
        making: how the module is made again: ``{"maker", "arguments"}`` and, of an output layer
            that was replaced, ``head``.
        mixed_precision: in which it was trained; outputs are computed likewise where the device
            can.
    """

    history: History | None = None
    importance_type = ""
    channels_first = True
    tokenizer: Tokenizer | None = None
    # Samples that are predicted together where the call does not say.
    batch_size = 256

    def __init__(
        self,
        module: nn.Module,
        *,
        loss: Loss,
        algorithm: str,
        task: str | None,
        classes: list[Any] | None,
        shape: list[int] | None,
        making: Mapping[str, Any],
        mixed_precision: str = precision.OFF,
    ) -> None:
        self.module = module
        self.loss = loss
        self.algorithm = algorithm
        self.task = task or ""
        self.classes = classes
        self.better: dict[str, bool] = {}
        self.metadata: dict[str, Any] = {}
        self._shape = shape
        self._making = dict(making)
        self._mixed_precision = mixed_precision
        self._saved: dict[str, tuple[str, Content]] = {}

    @classmethod
    def trained(
        cls, module: nn.Module, *, best: Mapping[str, Any] | None, optimizer: Any, **more: Any
    ) -> TorchModel:
        """The model that a training gives: the weights of its best epoch.

        Args:
            module: with the weights of the last step; gets those of the best epoch.
            best: state dict of the best epoch; None where there was none.
            optimizer: whose state is saved beside the weights.
            **more: as for the class.
        """
        model = cls(module, **more)
        last = module.state_dict()
        model._saved = {
            "bestModel": ("best_model.pt", bytes_of(last if best is None else best)),
            "lastModel": ("last_model.pt", bytes_of(last)),
            "optimizer": ("optimizer.pt", bytes_of(optimizer.state_dict())),
        }
        if best is not None:
            module.load_state_dict(dict(best))
        return model

    @property
    def has_probabilities(self) -> bool:
        """Whether its loss says how outputs become probabilities."""
        return self.task in (CLASSIFICATION, MULTI_LABEL) and (
            self.loss.kind is None or self.loss.kind.activation != "scores"
        )

    def meet(self, samples: Samples, warn: Warn) -> None:
        """Holds samples that were read without a description against the model's inputs.

        Raises:
            DataLoadingError: another shape.
        """
        if self._shape is None or list(samples.inputs_shape) == self._shape:
            return
        raise errors.DataLoadingError(
            f"{self.algorithm} was trained on samples of shape {tuple(self._shape)} that its script"
            f" brought itself, and those of '{samples.source}' are {tuple(samples.inputs_shape)}",
            solution="Send data of that shape: a table with featureColumns (and targetColumn), an"
            " NPZ file of arrays, or a folder of images with imageSize.",
            metadata={
                "path": str(samples.source),
                "shape": list(samples.inputs_shape),
                "expected": self._shape,
            },
        )

    def outputs(self, X: Samples, *, probabilities: bool = True) -> Outputs:
        """See ``frameworks.base.Model``.

        Args:
            X: n samples, read in batches.
            probabilities: always given where there are any.

        Raises:
            Exception: as the module raises it.
        """
        device = next(self.module.parameters()).device
        self.module.eval()
        parts = []
        used = precision.possible(self._mixed_precision, device)
        if self._mixed_precision != precision.OFF:
            self.metadata["mixedPrecision"] = used
        with torch.no_grad(), precision.autocast(used, device):
            for start in range(0, len(X), self.batch_size):
                rows = np.arange(start, min(start + self.batch_size, len(X)))
                parts.append(self.loss.predictions(self._outputs_of(X, rows)))
        values = _joined([part.values for part in parts])
        assert values is not None
        if self.classes is not None and self.task == CLASSIFICATION:
            values = np.asarray(self.classes)[values]
        return Outputs(
            values,
            _joined([part.probabilities for part in parts]),
            _joined([part.decision for part in parts]),
        )

    def _outputs_of(self, samples: Samples, rows: np.ndarray) -> Any:
        """What the module gives for the samples at some positions."""
        device = next(self.module.parameters()).device
        return self.module(array_tensor(samples.batch(rows)).to(device))

    def feature_importances(self) -> np.ndarray | None:
        """None: a network has none."""
        return None

    def files(self) -> dict[str, tuple[str, Content]]:
        """State dicts: of the best epoch, of the last one, of the optimizer."""
        return self._saved

    def describe(self) -> dict[str, Any]:
        """How the module is made again, and how its outputs are read."""
        target = self.loss.target
        return {
            **self._making,
            "loss": self.loss.name,
            "targetKind": target.kind,
            "task": self.task,
            "classes": self.classes,
            "shape": self._shape,
            "mixedPrecision": self._mixed_precision,
        }


def load(path: Any, data: bytes, description: Mapping[str, Any], script: str) -> TorchModel:
    """A saved model: the class from its script, the weights from ``data``.

    Args:
        path: of the file, for messages.
        data: a state dict, as ``files`` gives it.
        description: as ``describe`` gave it.
        script: name of the module that holds the model's class, imported already.

    Raises:
        ModelLoadingError: the weights are not of such a model.
    """
    module = sys.modules[script]
    making = {key: description[key] for key in ("maker", "arguments", "head") if key in description}
    made = getattr(module, making["maker"])(**making["arguments"])
    if "head" in making:
        heads.replace(made, **making["head"])
    weights.load_into(made, weights.load_file(path, data).state, path)
    target = Target(description["targetKind"], description["classes"])
    name = description["loss"]
    loss = (
        Loss(name, getattr(module, name), None, target)
        if name == "loss"
        else losses.build({"lossFunction": name}, target, lambda _key, _value: None)
    )
    if _KINDS.get(str(description["task"])) is None:
        raise errors.ModelLoadingError(
            f"What the outputs of '{path}' mean is known to its script alone",
            solution="Use the script itself.",
            metadata={"path": str(path)},
        )
    return TorchModel(
        made,
        loss=loss,
        algorithm=type(made).__name__,
        task=description["task"],
        classes=description["classes"],
        shape=description["shape"],
        making=making,
        mixed_precision=description.get("mixedPrecision", precision.OFF),
    )


def bytes_of(state: Mapping[str, Any]) -> bytes:
    """A state dict as a file of ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def _joined(parts: list[torch.Tensor | None]) -> np.ndarray | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there).cpu().numpy() if there else None
