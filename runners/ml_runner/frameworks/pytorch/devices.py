"""Where a job computes: a GPU where there is one and the call does not refuse it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from ml_runner import report

if TYPE_CHECKING:
    from ml_runner.job import Job


def choose(job: Job) -> torch.device:
    """The device of a job; a warning where a GPU was asked for and none was found."""
    wanted = job.request.get("gpuEnabled")
    if wanted is False:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    mps = getattr(torch.backends, "mps", None)
    if mps is not None and mps.is_available():
        return torch.device("mps")
    if wanted:
        why = "this PyTorch is built without CUDA" if not _built_for_gpus() else "none was found"
        job.warn(f"gpuEnabled: computed on the CPU, since there is no GPU to use ({why})")
    return torch.device("cpu")


def _built_for_gpus() -> bool:
    return torch.version.cuda is not None or torch.version.hip is not None


def be_deterministic(wanted: bool, device: torch.device) -> None:
    """Takes deterministic algorithms alone, where that was asked for."""
    if not wanted:
        return
    # cuBLAS reads it when it is first used; without it the algorithms below would be refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def peak(device: torch.device) -> dict[str, Any]:
    """``peakGPUMemory`` of the training, in words and bytes."""
    size = torch.cuda.max_memory_allocated(device)
    return {"peakGPUMemory": report.size_words(size), "peakGPUMemoryBytes": size}
