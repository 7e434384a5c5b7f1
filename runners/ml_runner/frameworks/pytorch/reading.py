"""Samples as a data set of torch that reads whole batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ml_runner.data.samples import Inputs, Samples


class Batches(Dataset[Any]):
    """Samples with encoded targets, read a batch at a time.

    Args:
        samples: the inputs.
        targets: (n, …) as a loss takes them, or None.
    """

    def __init__(self, samples: Samples, targets: np.ndarray | None) -> None:
        self.samples = samples
        self.targets = targets

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, positions: list[int]) -> tuple[Inputs, np.ndarray | None]:
        """Inputs and targets of a batch, each in one array."""
        targets = None if self.targets is None else self.targets[positions]
        return self.samples.batch(positions), targets

    def __getitem__(self, position: int) -> tuple[Inputs, np.ndarray | None]:
        return self.__getitems__([position])


def array_tensor(inputs: Inputs) -> torch.Tensor:
    """Inputs that are one array as a tensor, without a copy."""
    assert isinstance(inputs, np.ndarray)
    return torch.from_numpy(inputs)


def as_tensors(batch: tuple[np.ndarray, np.ndarray | None]) -> Any:
    """A batch of arrays as one of tensors, without a copy."""
    inputs, targets = batch
    return torch.from_numpy(inputs), None if targets is None else torch.from_numpy(targets)
