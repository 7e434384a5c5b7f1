"""Where a job computes: a GPU where there is one and the call does not refuse it."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING, Any

import torch

from ml_runner import report
from ml_runner.process import memory_limit

if TYPE_CHECKING:
    from ml_runner.job import Job

# Of mallopt(3), in malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


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


def keep_freed_memory() -> None:
    """Lets glibc keep what a step has freed for the next one, instead of giving it back each time.

    Without it a step of a small network on the CPU takes its memory from the system anew: hundreds
    of page faults, up to a fifth of its time. For a process that trains and ends.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        libc.mallopt(_M_TRIM_THRESHOLD, 512 << 20)


def give_back(device: torch.device) -> None:
    """Gives freed memory back, after more was asked for than there was.

    On the CPU the opposite of ``keep_freed_memory`` holds from then on: what is large is given back
    as soon as it is freed, so that it leaves no gaps which only smaller blocks fit into.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    else:
        with contextlib.suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
            libc.malloc_trim(0)
        memory_limit.renew()
