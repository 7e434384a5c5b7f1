"""Which layers of a model learn and how fast: ``freezeLayers`` and ``layerLearningRates``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ml_runner.frameworks.pytorch import building
from ml_runner.training import layers
from ml_runner.training.layers import Matched

if TYPE_CHECKING:
    from ml_runner.job import Job

# Names of modules in a report, over all patterns.
_SHOWN = 40


@dataclass
class Layers:
    """What of a model learns.

    Attributes:
        groups: for the optimizer: those with its own rate first, then those with rates of theirs.
        still: modules that stay in inference mode while the model is trained: their buffers
            (running statistics) are frozen.
        frozen: (layers, numbers in their parameters).
        rates: (layers, their learning rate).
    """

    groups: list[dict[str, Any]]
    still: list[nn.Module] = field(default_factory=list[nn.Module])
    frozen: list[tuple[Matched, int]] = field(default_factory=list[tuple[Matched, int]])
    rates: list[tuple[Matched, float]] = field(default_factory=list[tuple[Matched, float]])

    def facts(self) -> dict[str, Any]:
        """For the report's metadata: ``frozen`` and ``layerLearningRates``, by pattern."""
        facts: dict[str, Any] = {}
        most = max(2, _SHOWN // max(1, len(self.frozen) + len(self.rates)))
        if self.frozen:
            facts["frozen"] = [{**one.facts(most), "parameters": size} for one, size in self.frozen]
        if self.rates:
            facts["layerLearningRates"] = [
                {**one.facts(most), "learningRate": rate} for one, rate in self.rates
            ]
        return facts


def apply(job: Job, model: nn.Module) -> Layers:
    """Freezes what the call says, and groups the rest by learning rate.

    Raises:
        InvalidConfiguration: a pattern that matches nothing or only what is frozen; nothing is left
            to train.
    """
    name = type(model).__name__
    parameters = dict(model.named_parameters(remove_duplicate=False))
    tensors = [*parameters, *(key for key, _ in model.named_buffers(remove_duplicate=False))]
    frozen = layers.frozen(job, tensors, name)
    names = {tensor for one in frozen for tensor in one.tensors}
    fixed = {id(parameters[tensor].requires_grad_(False)) for tensor in names & parameters.keys()}
    size, trained = building.count(model)
    if frozen and not trained:
        raise layers.nothing_left(job, size, name)
    # What the script itself has frozen stays with the optimizer: the script may free it again.
    learning = {key: tensor for key, tensor in parameters.items() if id(tensor) not in fixed}
    rates = layers.rates(job, list(parameters), parameters.keys() - learning.keys(), name)
    groups: list[dict[str, Any]] = [{"params": []}, *({"params": [], "lr": r} for _, r in rates)]
    # By what they are: a tensor of two names learns once, at the rate of either.
    place = {
        id(learning[key]): number for number, (one, _) in enumerate(rates, 1) for key in one.tensors
    }
    for tensor in {id(tensor): tensor for tensor in learning.values()}.values():
        groups[place.get(id(tensor), 0)]["params"].append(tensor)
    return Layers(
        groups=[group for group in groups if group["params"]],
        still=[module for path, module in model.named_modules() if _is_still(path, module, names)],
        frozen=[(one, _numbers(parameters.get(key) for key in one.tensors)) for one in frozen],
        rates=rates,
    )


def _is_still(path: str, module: nn.Module, frozen: set[str]) -> bool:
    """Whether a module has buffers of numbers of its own, and all its own tensors are frozen.

    Such buffers (of BatchNorm, say) change in training mode though no gradient reaches them. What
    has none (Dropout) works as in training: freezing a layer's weights does not take it away.
    """
    buffers = dict(module.named_buffers(recurse=False))
    own = {*buffers, *(key for key, _ in module.named_parameters(recurse=False))}
    measures = any(buffer.is_floating_point() for buffer in buffers.values())
    return measures and {f"{path}.{key}" if path else key for key in own} <= frozen


def _numbers(tensors: Iterable[torch.Tensor | None]) -> int:
    sizes = {id(tensor): tensor.numel() for tensor in tensors if tensor is not None}
    return sum(sizes.values())
