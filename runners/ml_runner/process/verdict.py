"""What a supervisor adds to its job's answer: what the job took of the machine."""

from __future__ import annotations

from typing import Any

from ml_runner import errors
from ml_runner.process import ending
from ml_runner.process.gpu_watch import GpuWatch
from ml_runner.process.memory_limit import MemoryWatch
from ml_runner.report import size_words


def with_figures(
    answer: ending.Answer, memory: MemoryWatch | None, gpus: GpuWatch | None
) -> ending.Answer:
    """The answer with the peak memory of the job's processes, and of its GPUs, where they matter.

    What the job has said itself stays.

    Args:
        answer: a report or an error.
        memory: the watch over its processes; ``None`` where it never ran.
        gpus: likewise over its GPUs.
    """
    if memory is None or gpus is None:
        return answer
    peak = size_words(memory.peak)
    report = answer.get("executionReport")
    if report is not None:
        found: dict[str, Any] = {"peakMemory": peak, "peakMemoryBytes": memory.peak}
        if report.get("gpuUsed"):
            found.update(gpus.figures())
            if gpus.model is not None:
                report.setdefault("gpuModel", gpus.model)
        _add(report, found)
    elif answer["error"]["type"] == errors.OutOfMemory.type:
        limit = {} if memory.limit.bytes is None else {"limitBytes": memory.limit.bytes}
        _add(answer["error"], {"peakMemory": peak, "peakBytes": memory.peak, **limit})
    elif answer["error"]["type"] in (errors.CudaOutOfMemory.type, errors.CudaError.type):
        model = {} if gpus.model is None else {"gpuModel": gpus.model}
        _add(answer["error"], {**model, **gpus.figures()})
    gpus.close()
    return answer


def _add(part: dict[str, Any], figures: dict[str, Any]) -> None:
    metadata = part.setdefault("metadata", {})
    for name, value in figures.items():
        metadata.setdefault(name, value)
