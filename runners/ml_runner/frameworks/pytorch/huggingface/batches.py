"""Batches of texts as tensors, and the call of a model with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from ml_runner.data.samples import Samples, TextSamples

# Beside the inputs of a model whose words have labels: which pieces begin a word that has one.
COUNTED = "counted"

_Batch = tuple[dict[str, np.ndarray], np.ndarray | None]


class TextBatches(Dataset[Any]):
    """Texts with encoded targets, padded a batch at a time.

    Args:
        samples: ``TextSamples`` of n texts.
        targets: (n,) as a loss takes them; of words (n,) arrays of labels; or None.
    """

    def __init__(self, samples: Samples, targets: np.ndarray | None) -> None:
        assert isinstance(samples, TextSamples)
        self.samples = samples
        self.targets = targets

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, positions: list[int]) -> _Batch:
        """Inputs by name, each (b, longest), and (b,) targets; of words (words of the batch,)."""
        inputs = self.samples.batch(positions)
        if not self.samples.of_words:
            return inputs, None if self.targets is None else self.targets[positions]
        words = self.samples.words_of(positions)
        inputs[COUNTED] = words >= 0
        if self.targets is None:
            return inputs, None
        labels = [
            self.targets[position][row[row >= 0]]
            for position, row in zip(positions, words, strict=True)
        ]
        return inputs, np.concatenate(labels)

    def __getitem__(self, position: int) -> _Batch:
        return self.__getitems__([position])


def as_tensors(batch: _Batch) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """A batch of arrays as one of tensors, without a copy."""
    inputs, targets = batch
    tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
    return tensors, None if targets is None else torch.from_numpy(targets)


def call(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """A model's scores of a batch: (b, outputs), or (words of the batch, outputs).

    What is no beginning of a word is left out before loss and metrics see it, which gives the mean
    over words that the library's own loss takes with labels of -100 elsewhere.
    """
    named = dict(inputs)
    counted = named.pop(COUNTED, None)
    scores = model(**named).logits
    return scores if counted is None else scores[counted]
