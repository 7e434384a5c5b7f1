"""What a network's outputs say of the rows of a training, and what is true of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.frameworks.pytorch.loss import Loss
from ml_runner.training.metrics import Outputs

if TYPE_CHECKING:
    from ml_runner.training.epochs.measured import Measured


class Meaning:
    """Reads outputs and targets as positions of the labels, or as numbers.

    Args:
        loss: what says how outputs are to be read.
        task: of the training; None where only the script knows.
        mixes: targets of the training are mixed with one another.
    """

    def __init__(self, loss: Loss, task: str | None, *, mixes: bool) -> None:
        self._loss = loss
        self._task = task
        self._mixes = mixes

    def truth(self, targets: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Targets as predictions are: of shares of the classes, the greatest."""
        if self._task == CLASSIFICATION and targets.ndim > values.ndim:
            return targets.argmax(dim=1) if targets.shape[1] > 1 else targets.squeeze(1)
        if self._mixes and self._task != REGRESSION:
            return (targets > 0.5).to(values.dtype)
        return targets

    def figures(
        self, measured: Measured, outputs: list[Any], truth: list[torch.Tensor]
    ) -> dict[str, float]:
        """Metric → value over all batches."""
        said, true = self.said(outputs, truth)
        return measured.figures(true, said.predictions, said.probabilities)

    def said(self, outputs: list[Any], truth: list[torch.Tensor]) -> tuple[Outputs, np.ndarray]:
        """What all batches' outputs mean, and what is true, both by positions of the labels."""
        parts = [self._loss.predictions(output) for output in outputs]
        pairs = zip(truth, parts, strict=True)
        true = torch.cat([self.truth(targets, part.values) for targets, part in pairs])
        scores = [part.probabilities for part in parts if part.probabilities is not None]
        decision = [part.decision for part in parts if part.decision is not None]
        said = Outputs(
            numpy_of(torch.cat([part.values for part in parts])),
            numpy_of(torch.cat(scores)) if scores else None,
            numpy_of(torch.cat(decision)) if decision else None,
        )
        if self._task == CLASSIFICATION and true.ndim > 1:  # a label for each place of a sample
            return Outputs(said.predictions.reshape(-1)), numpy_of(true).reshape(-1)
        return said, numpy_of(true)


def numpy_of(values: torch.Tensor) -> np.ndarray:
    """A tensor in the host's memory, as an array."""
    return values.detach().cpu().numpy()
