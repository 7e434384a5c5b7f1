"""Pretrained models to train further: each kind of source in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_runner import calls, descriptors, errors, models
from ml_runner.frameworks.pytorch.huggingface import directory
from ml_runner.frameworks.pytorch.network import TorchNetwork
from ml_runner.frameworks.pytorch.pretrained.ours import OurModel
from ml_runner.frameworks.pytorch.pretrained.weights import BareWeights

if TYPE_CHECKING:
    from ml_runner.job import Job


def network(job: Job, path: Path) -> TorchNetwork:
    """The network that begins from what lies at ``path``; see ``frameworks.base.FineTunes``.

    Raises:
        InvalidConfiguration, ModelLoadingError: the model will not do, or the call does not say
            what it needs.
    """
    held = path if path.is_dir() else directory.holding(path)
    if held is not None and (path.is_dir() or job.config.get("modelScript") is None):
        # Its library is imported for no other model.
        from ml_runner.frameworks.pytorch.huggingface.network import TextNetwork

        return TextNetwork(job, held)
    if job.config.get("lora") is not None:
        raise errors.InvalidConfiguration(
            f"config.lora is for text models in Hugging Face form, and '{path}' is none",
            solution="Leave config.lora out; freezeLayers trains a part of the layers.",
            metadata={"key": "config.lora", "sent": job.config["lora"]},
            next_call=calls.repeat(job, {"lora": None}),
        )
    data = models.content(path)
    descriptor, warnings = descriptors.read(path, data)
    if descriptor is not None:
        return TorchNetwork(job, OurModel(job, path, data, descriptor))
    return TorchNetwork(job, BareWeights(job, path, data, warnings))
