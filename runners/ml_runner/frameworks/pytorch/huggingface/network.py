"""Fine-tuning of a text model: what differs from the training of a module by samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ml_runner import distributions
from ml_runner.data.samples import TextSamples
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.frameworks.pytorch.feed import LoaderFeed
from ml_runner.frameworks.pytorch.huggingface.batches import TextBatches, as_tensors, call
from ml_runner.frameworks.pytorch.huggingface.model import TextModel
from ml_runner.frameworks.pytorch.huggingface.source import TextSource
from ml_runner.frameworks.pytorch.network import TorchNetwork
from ml_runner.training.epochs.sources import Part, Sources, TrainingData

if TYPE_CHECKING:
    from ml_runner.job import Job

_LIBRARIES = ("transformers", "tokenizers", "safetensors")
# More distinct whole numbers than this are amounts rather than classes.
_MOST_CLASSES = 100


class TextNetwork(TorchNetwork):
    """A text model of a directory in Hugging Face form, with a new output layer.

    Args:
        job: the call's.
        path: the directory.
    """

    def __init__(self, job: Job, path: Path) -> None:
        self._texts = TextSource(job, path)
        super().__init__(job, self._texts)
        self.tokenizer = self._texts.tokenizer

    def versions(self) -> dict[str, str]:
        """Those of the adapter, and of what texts and models are read with."""
        return {
            **super().versions(),
            **distributions.versions(
                *_LIBRARIES, *(["peft"] if "lora" in self._job.config else [])
            ),
        }

    def task_for(self, targets: np.ndarray) -> str | None:
        """As the library has it: whole numbers are classes, where the loss leaves it open."""
        task = super().task_for(targets)
        if task is not None or self._takes is not None or targets.dtype.kind not in "iu":
            return task
        return CLASSIFICATION if len(np.unique(targets)) <= _MOST_CLASSES else REGRESSION

    def prepare(self, data: TrainingData) -> None:
        """See ``TorchNetwork.prepare``."""
        assert isinstance(data, Sources)
        samples = data.train.samples
        assert isinstance(samples, TextSamples)
        self._texts.words = samples.of_words
        super().prepare(data)
        self.algorithm = self._texts.name  # adapters are around it, and not in what is saved

    @property
    def parameters(self) -> dict[str, Any]:
        """What the call says of the training, for the descriptor."""
        config = self._job.config
        more = {key: config[key] for key in ("maxLength", "lora") if key in config}
        return {**super().parameters, **more}

    def _call(self, model: nn.Module, inputs: Any) -> torch.Tensor:
        return call(model, inputs)

    def _first(self, part: Part) -> Any:
        return as_tensors(TextBatches(part.samples, None).__getitems__([0]))[0]

    def _feed(self, part: Any, seed: int | None) -> LoaderFeed:
        workers = int(self._job.config.get("numWorkers") or 0)
        how = self._feeding.order(len(part), seed)
        return LoaderFeed(
            TextBatches(part.samples, part.encoded.values),
            how,
            self._device,
            workers=min(workers, how.batches),
            seed=self._seed,
            collate=as_tensors,
        )

    def _trained(self, best: dict[str, Any] | None, **more: Any) -> TextModel:
        return TextModel.saved(
            self.model,
            best=best,
            optimizer=self._optimizer,
            tokenizer=self._texts.tokenizer,
            scratch=self._job.directory,
            **more,
        )
