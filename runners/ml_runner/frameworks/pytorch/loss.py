"""A loss with all that a loop needs of it: shapes, predictions, probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch import shapes
from ml_runner.frameworks.pytorch.targets import CLASSES, MULTILABEL, NUMBERS, Target

# How targets stand against outputs.
BY_CLASS, ONE_FOR_ONE = "by class", "one for one"
# What makes probabilities (or the predicted number) of outputs.
SOFTMAX, SIGMOID, EXP, IDENTITY, SCORES = "softmax", "sigmoid", "exp", "identity", "scores"


@dataclass(frozen=True)
class Kind:
    """What is known of a loss of the library.

    Attributes:
        takes: kinds of target that it can learn.
        compares: ``by class`` ((n, k) scores with n indices) or ``one for one``.
        activation: what turns outputs into probabilities or predicted numbers; ``scores``: none,
            the outputs only rank.
        signs: its targets are -1 and 1 instead of 0 and 1.
        positions: its targets are lists of label indices, ended by -1.
        weights: the constructor's argument for class weights; None: it takes none.
    """

    takes: tuple[str, ...]
    compares: str
    activation: str = IDENTITY
    signs: bool = False
    positions: bool = False
    weights: str | None = None


@dataclass(frozen=True)
class Predictions:
    """What outputs say about n rows, as tensors on the outputs' device.

    Attributes:
        values: class indices (n,), numbers (n,) or (n, c), or for several labels (n, k) of 0 and 1.
        probabilities: (n, classes), or (n, k) for several labels; None where the loss gives none.
        decision: scores where there are no probabilities: (n,) for two classes, else (n, k).
    """

    values: torch.Tensor
    probabilities: torch.Tensor | None = None
    decision: torch.Tensor | None = None


class Loss:
    """A loss function, called with a batch's outputs and targets.

    The loss of an epoch is the mean of its batches' losses weighted by their rows, as a plain
    script computes it. Where the loss weighs classes, the library's mean of a batch is the one
    weighted by class, and the epoch's is still weighted by rows.

    Args:
        name: as reports show it (``CrossEntropyLoss``).
        function: (outputs, targets) → a scalar tensor; a module of the library or the script's own.
        kind: what is known of it; None for the script's own, which gets both as they are.
        target: what is learned.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any, Any], torch.Tensor],
        kind: Kind | None,
        target: Target,
    ) -> None:
        self.name = name
        self.function = function
        self.kind = kind
        self.target = target
        self.task = target.task
        self._seen = False
        # Forms of outputs and targets that need no change; to check them anew takes as long as the
        # loss of a small batch.
        self._fitting: set[tuple[Any, ...]] = set()

    def to(self, device: torch.device | str) -> Loss:
        """Moves its class weights to a device."""
        if isinstance(self.function, nn.Module):
            self.function.to(device)
        return self

    def __call__(self, outputs: Any, targets: Any) -> torch.Tensor:
        """The mean loss of a batch, () and differentiable.

        Args:
            outputs: of ``forward``.
            targets: as ``Target`` describes them.

        Raises:
            InvalidConfiguration: shapes, or values of the first batch, that the loss cannot take;
                or a loss of the script's own that gives no number.
        """
        if self.kind is None:
            return self._scalar(self.function(outputs, targets))
        scores = shapes.tensor_of(outputs)
        form = (scores.shape, targets.shape, scores.dtype, targets.dtype)
        if form in self._fitting:
            return self.function(scores, targets)
        sent = scores, targets
        if self.kind.compares == BY_CLASS:
            scores, targets = shapes.class_scores(scores, targets, self.target, self.name)
        else:
            scores, targets = shapes.one_for_one(scores, targets, self.target, self.name)
        if not self._seen:
            self._check_values(scores, targets)
            self._seen = True
        if self.kind.signs:
            targets = targets * 2 - 1
        elif self.kind.positions:
            targets = _positions(targets)
        if scores is sent[0] and targets is sent[1]:
            self._fitting.add(form)
        return self.function(scores, targets)

    def scores(self, outputs: Any) -> torch.Tensor:
        """The tensor in the outputs, without its gradient."""
        return shapes.tensor_of(outputs).detach()

    def values(self, scores: torch.Tensor) -> torch.Tensor:
        """``predictions(scores).values``."""
        return self.predictions(scores, probabilities=False).values

    def predictions(self, outputs: Any, *, probabilities: bool = True) -> Predictions:
        """What the outputs mean: two classes from one output by a threshold of one half.

        Args:
            outputs: of ``forward``.
            probabilities: give these (or the decision scores) too, where they take time.
        """
        scores = shapes.tensor_of(outputs).detach()
        if scores.dtype in (torch.float16, torch.bfloat16):
            scores = scores.float()
        if self.target.kind == NUMBERS:
            return Predictions(_without_last_one(self._activated(scores)))
        if self.target.kind == MULTILABEL:
            if self._activation == SCORES:
                return Predictions((scores > 0).long(), decision=scores)
            shares = self._activated(scores)
            return Predictions((shares > 0.5).long(), shares)
        if self._one_output(scores):
            second = self._activated(_without_last_one(scores))
            return Predictions((second > 0.5).long(), torch.stack([1 - second, second], dim=1))
        if scores.ndim == 1:  # one row whose dimension the model has squeezed away
            scores = scores.unsqueeze(0)
        values = scores.argmax(dim=1)
        if not probabilities:
            return Predictions(values)
        if self._activation == SCORES:
            two = scores.shape[1] == 2
            return Predictions(values, decision=scores[:, 1] - scores[:, 0] if two else scores)
        return Predictions(values, self._activated(scores))

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _activation(self) -> str | None:
        return None if self.kind is None else self.kind.activation

    def _one_output(self, scores: torch.Tensor) -> bool:
        if self.kind is not None:
            return self.kind.compares == ONE_FOR_ONE
        classes = self.target.classes
        squeezed = scores.ndim == 1 and (classes is None or len(classes) == 2)
        return scores.ndim == 0 or squeezed or (scores.ndim == 2 and scores.shape[1] == 1)

    def _activated(self, scores: torch.Tensor) -> torch.Tensor:
        activation = self._activation
        if activation is None:
            # Of the script's own loss only the target is known. Softmax is right for
            # logits and for log-probabilities.
            if self.target.kind == NUMBERS:
                activation = IDENTITY
            elif self.target.kind == CLASSES and not self._one_output(scores):
                activation = SOFTMAX
            else:
                activation = SIGMOID
        if activation == SOFTMAX:
            return scores.softmax(dim=1)
        if activation == SIGMOID:
            return scores.sigmoid()
        # PoissonNLLLoss may be told that outputs are no logarithms, KLDivLoss that targets are.
        as_they_are = getattr(self.function, "log_target", False)
        if activation == EXP and getattr(self.function, "log_input", True) and not as_they_are:
            return scores.exp()
        return scores

    def _check_values(self, scores: torch.Tensor, targets: torch.Tensor) -> None:
        """On the first batch: what would be an assertion on a GPU, or a loss without a floor."""
        name = type(self.function).__name__
        if name == "BCELoss":
            low, high = (float(edge) for edge in scores.detach().aminmax())
            if low < 0 or high > 1:
                raise self._wrong_values(
                    f"takes probabilities, and the model's outputs go from {low:.4g} to {high:.4g}",
                    "Use lossFunction: bce_with_logits, or end the model with a sigmoid.",
                    [low, high],
                )
        if name == "NLLLoss" and (high := float(scores.detach().max())) > 1e-5:
            raise self._wrong_values(
                f"takes logarithms of probabilities, and the model's outputs go up to {high:.4g}",
                "Use lossFunction: cross_entropy, or end the model with log_softmax.",
                [float(scores.detach().min()), high],
            )
        if (
            self.kind is not None
            and self.kind.compares == BY_CLASS
            and not targets.is_floating_point()
        ):
            ignored = getattr(self.function, "ignore_index", None)
            counted = targets if ignored is None else targets[targets != ignored]
            if counted.numel():
                low, high = (int(edge) for edge in counted.aminmax())
                if low < 0 or high >= scores.shape[1]:
                    raise self._wrong_values(
                        f"takes class indices from 0 to {scores.shape[1] - 1} for the model's"
                        f" {scores.shape[1]} outputs, and the targets go from {low} to {high}",
                        f"Let the last layer give {high + 1} outputs; count the classes from 0.",
                        [low, high],
                    )

    def _wrong_values(
        self, what: str, solution: str, edges: list[float]
    ) -> errors.InvalidConfiguration:
        return errors.InvalidConfiguration(
            f"{self.name} {what}",
            solution=solution,
            metadata={"key": "config.lossFunction", "sent": self.name, "range": edges},
        )

    def _scalar(self, value: Any) -> torch.Tensor:
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            if value.requires_grad or not torch.is_grad_enabled():
                return value.reshape(())
            what = "a tensor without a gradient"
        elif isinstance(value, torch.Tensor):
            what = f"a tensor of {tuple(value.shape)}"
        else:
            what = f"a {type(value).__name__}"
        raise errors.InvalidConfiguration(
            f"{self.name} of the script gives {what}, where it must give the loss of the batch: one"
            " number, a tensor that the outputs went into",
            solution="Return the mean over the batch, without detach(), item() or no_grad.",
            metadata={"key": "config.modelScript", "found": what},
        )


def _without_last_one(scores: torch.Tensor) -> torch.Tensor:
    if scores.ndim == 0:
        return scores.reshape(1)
    return scores.squeeze(-1) if scores.ndim > 1 and scores.shape[-1] == 1 else scores


def _positions(targets: torch.Tensor) -> torch.Tensor:
    """(n, k) of 0 and 1 → (n, k) indices of the ones, first in each row, then -1."""
    has = targets > 0.5
    indices = torch.arange(targets.shape[1], device=targets.device).expand_as(has)
    beyond = torch.full_like(indices, targets.shape[1])
    ordered = torch.where(has, indices, beyond).sort(dim=1).values
    return torch.where(ordered == targets.shape[1], -torch.ones_like(ordered), ordered)
