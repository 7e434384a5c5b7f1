"""Weights of unknown origin: the call's script has the model that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch import weights
from ml_runner.frameworks.pytorch.pretrained import transfer
from ml_runner.frameworks.pytorch.source import Asked, FromScript

if TYPE_CHECKING:
    from ml_runner.job import Job


class BareWeights(FromScript):
    """See ``Source``: the model of the call's script with the tensors of a file.

    Args:
        job: the call's: ``modelScript``, ``modelClass``, ``modelArgs``, ``allowPickle``.
        path: of the file.
        data: its content: a state dict, or safetensors.
        reasons: why a description that stands beside it was of no use.

    Raises:
        InvalidConfiguration: no ``modelScript``.
        ModelLoadingError: it holds no weights that can be read.
    """

    def __init__(self, job: Job, path: Path, data: bytes, reasons: Sequence[str]) -> None:
        if job.config.get("modelScript") is None:
            raise errors.InvalidConfiguration(
                "; ".join(
                    (f"'{path}' holds weights, and not the model that they belong to", *reasons)
                ),
                solution="Send config.modelScript (and modelClass, modelArgs) of the model; or name"
                " the outputDir of its training, where train has saved it.",
                metadata={"key": "config.modelScript", "path": str(path)},
            )
        for reason in reasons:
            job.warn(reason)
        allowed = bool(job.config.get("allowPickle"))
        self._read = weights.load_file(path, data, allow_pickle=allowed)
        self._path, self._job = path, job
        self._taken = transfer.Taken([])
        super().__init__(job)

    def build(self, asked: Asked) -> nn.Module:
        """The script's model with the file's weights; see ``Source.build``.

        Its output layer is new where the file's gave another number of outputs.
        """
        model = super().build(asked)
        self._taken = transfer.take_over(model, self._read.state, self._path, asked.outputs)
        for note in (*self._read.notes, *self._taken.notes):
            self._job.warn(note)
        width = transfer.width_of(model, asked)
        if width is not None and asked.outputs not in (None, width):
            seed = int(self._job.config.get("seed") or 0)
            head = transfer.renew_head(model, asked, self._taken, width=width, seed=seed)
            self.making = {**self.making, "head": head}
        return model

    def facts(self) -> dict[str, Any]:
        """``pretrained``: where it came from, what was taken over, what is new."""
        path = self._job.config["pretrainedModel"]
        return {"pretrained": {"path": path, **self._taken.facts()}}

    def origins(self) -> dict[str, dict[str, Any]]:
        """Its file."""
        return transfer.origin(self._path)
