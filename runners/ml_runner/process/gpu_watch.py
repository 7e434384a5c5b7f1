"""What a job makes of its GPUs, asked of the driver while it runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from ml_runner import gpu_choice, gpus, nvml
from ml_runner.process import descendants
from ml_runner.report import size_words

_PAUSE = 1.0


class GpuWatch:
    """Samples memory and utilisation of the GPUs that a job was given, once a second.

    Args:
        chosen: the job's GPUs.
    """

    def __init__(self, chosen: Sequence[gpu_choice.Gpu]) -> None:
        self._chosen = [gpu for gpu in chosen if gpu.kind in ("cuda", "rocm")]
        self._devices: list[gpu_choice.Device] | None = None
        self._before = 0
        self._due = 0.0
        self._peak = 0
        self._total = 0
        self._rates: list[float] = []
        self._open = contextlib.ExitStack()

    def look(self) -> float:
        """Looks where that is due; returns when to come back, in terms of ``time.monotonic``."""
        if not self._chosen:
            return float("inf")
        if time.monotonic() < self._due:
            return self._due
        if self._devices is None:
            # The job has not touched its GPUs yet: what is in use now is other programs'.
            self._devices = self._find()
            self._before = self._in_use(self._devices)
        else:
            self._sample(self._devices)
        self._due = time.monotonic() + _PAUSE
        return self._due

    def figures(self) -> dict[str, Any]:
        """For the metadata of a report: what was seen, where there was anything to see."""
        found: dict[str, Any] = {}
        if self._peak:
            found["peakGPUMemory"] = size_words(self._peak)
            found["peakGPUMemoryBytes"] = self._peak
        if self._total:
            found["gpuMemoryTotal"] = size_words(self._total)
        if self._rates:
            mean = sum(self._rates) / len(self._rates)
            found["gpuUtilization"] = {"mean": round(mean, 1), "max": round(max(self._rates), 1)}
        return found

    @property
    def model(self) -> str | None:
        """The product name of the first of them."""
        return next((device.name for device in self._devices or () if device.name), None)

    def close(self) -> None:
        """Lets the driver's library go."""
        self._open.close()

    def _find(self) -> list[gpu_choice.Device]:
        if self._chosen[0].kind == "rocm":
            return [gpus.AmdDevice(int(gpu.name)) for gpu in self._chosen if gpu.name.isdigit()]
        library = self._open.enter_context(nvml.open_nvml())
        found = (library and library.device(gpu.name) for gpu in self._chosen)
        return [device for device in found if device]

    def _in_use(self, devices: list[gpu_choice.Device]) -> int:
        used = 0
        self._total = 0
        for device in devices:
            memory = device.memory()
            if memory is not None:
                self._total += memory[0]
                used += memory[1]
        return used

    def _sample(self, devices: list[gpu_choice.Device]) -> None:
        ours = set(descendants.descendants())
        by_process: dict[int, int] = {}
        for device in devices:
            for pid, size in device.memory_by_process().items():
                if pid in ours:
                    by_process[pid] = by_process.get(pid, 0) + size
        # In a container the driver tells the pids of the host, or none at all.
        grown = max(0, self._in_use(devices) - self._before)
        self._peak = max(self._peak, sum(by_process.values()) or grown)
        rates = [rate for device in devices if (rate := device.utilization()) is not None]
        if rates:
            self._rates.append(sum(rates) / len(rates))
