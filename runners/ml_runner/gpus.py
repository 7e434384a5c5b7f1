"""Which GPUs a machine has, asked of the drivers alone: no framework is imported for it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from ml_runner import nvml

KFD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
DRM = Path("/sys/class/drm")


def find() -> list[dict[str, Any]]:
    """Every GPU that a framework could use.

    Returns:
        For each ``{"kind": "cuda" | "rocm" | "mps", "index", "name", "memoryTotalBytes",
        "memoryFreeBytes", "driver", "uuid"}``; what the driver does not tell is left out.
    """
    return [*nvidia(), *amd(), *apple()]


def nvidia() -> list[dict[str, Any]]:
    """NVIDIA's GPUs, through NVML."""
    with nvml.open_nvml() as library:
        if library is None:
            return []
        driver = library.driver
        return [_nvidia_gpu(device, i, driver) for i, device in enumerate(library.devices())]


def amd() -> list[dict[str, Any]]:
    """AMD's GPUs with a ROCm driver, through the kernel's topology."""
    return [_amd_gpu(node, index) for index, node in enumerate(_amd_nodes())]


class AmdDevice:
    """One GPU of AMD, as the kernel shows it: the figures that ROCm SMI shows too.

    Args:
        index: its place among the machine's GPUs.
    """

    def __init__(self, index: int) -> None:
        node = dict(enumerate(_amd_nodes())).get(index)
        minor = "" if node is None else _properties(node / "properties").get("drm_render_minor", "")
        self._folder = DRM / f"renderD{minor}" / "device"
        self.name = "" if node is None else _read(node / "name")

    def memory(self) -> tuple[int, int] | None:
        """Its memory in bytes: all of it, and what is in use."""
        total, used = (_read(self._folder / f"mem_info_vram_{what}") for what in ("total", "used"))
        return (int(total), int(used)) if total.isdigit() and used.isdigit() else None

    def utilization(self) -> int | None:
        """Percent of the time in which it computed."""
        percent = _read(self._folder / "gpu_busy_percent")
        return int(percent) if percent.isdigit() else None

    def memory_by_process(self) -> dict[int, int]:
        """Not told by the kernel in a way that a container could read."""
        return {}


def apple() -> list[dict[str, Any]]:
    """The GPU of Apple silicon, whose memory is the machine's."""
    if sys.platform != "darwin" or platform.machine() != "arm64":
        return []
    gpu: dict[str, Any] = {"kind": "mps", "index": 0, "name": _sysctl("machdep.cpu.brand_string")}
    memory = _sysctl("hw.memsize")
    if memory.isdigit():
        gpu["memoryTotalBytes"] = int(memory)
    return [gpu]


def _amd_nodes() -> list[Path]:
    nodes = sorted(KFD_NODES.glob("[0-9]*"), key=lambda node: int(node.name))
    # A node without SIMD units is a CPU.
    return [n for n in nodes if int(_properties(n / "properties").get("simd_count", "0"))]


def _amd_gpu(node: Path, index: int) -> dict[str, Any]:
    gpu: dict[str, Any] = {"kind": "rocm", "index": index, "name": _read(node / "name")}
    gpu["name"] = gpu["name"] or "AMD GPU"
    sizes = (_properties(bank / "properties") for bank in (node / "mem_banks").glob("*"))
    total = sum(int(size.get("size_in_bytes", "0")) for size in sizes)
    if total:
        gpu["memoryTotalBytes"] = total
    driver = _read(Path("/sys/module/amdgpu/version"))
    if driver:
        gpu["driver"] = driver
    return gpu


def _nvidia_gpu(device: nvml.Device, index: int, driver: str) -> dict[str, Any]:
    gpu: dict[str, Any] = {"kind": "cuda", "index": index, "name": device.name or "NVIDIA GPU"}
    if device.uuid:
        gpu["uuid"] = device.uuid
    memory = device.memory()
    if memory is not None:
        total, used = memory
        gpu["memoryTotalBytes"] = total
        gpu["memoryFreeBytes"] = max(0, total - used)
    if driver:
        gpu["driver"] = driver
    return gpu


def _properties(path: Path) -> dict[str, str]:
    pairs = (line.split(maxsplit=1) for line in _read(path).splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(
            ["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
