"""Which GPUs a machine has, asked of the drivers alone: no framework is imported for it."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

NVML_NAMES = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")
KFD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")


class _NvmlMemory(ctypes.Structure):
    _fields_ = [
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    ]


def find() -> list[dict[str, Any]]:
    """Every GPU that a framework could use.

    Returns:
        For each ``{"kind": "cuda" | "rocm" | "mps", "index", "name", "memoryTotalBytes",
        "memoryFreeBytes", "driver"}``; what the driver does not tell is left out.
    """
    return [*nvidia(), *amd(), *apple()]


def nvidia() -> list[dict[str, Any]]:
    """NVIDIA's GPUs, through NVML."""
    nvml = _load_nvml()
    if nvml is None:
        return []
    try:
        driver = _nvml_text(nvml, "nvmlSystemGetDriverVersion")
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        return [_nvidia_gpu(nvml, index, driver) for index in range(count.value)]
    finally:
        nvml.nvmlShutdown()


def amd() -> list[dict[str, Any]]:
    """AMD's GPUs with a ROCm driver, through the kernel's topology."""
    gpus: list[dict[str, Any]] = []
    for node in sorted(KFD_NODES.glob("*")):
        properties = _properties(node / "properties")
        # A node without SIMD units is a CPU.
        if not int(properties.get("simd_count", "0")):
            continue
        name = _read(node / "name") or "AMD GPU"
        gpu: dict[str, Any] = {"kind": "rocm", "index": len(gpus), "name": name}
        sizes = (_properties(bank / "properties") for bank in (node / "mem_banks").glob("*"))
        total = sum(int(size.get("size_in_bytes", "0")) for size in sizes)
        if total:
            gpu["memoryTotalBytes"] = total
        driver = _read(Path("/sys/module/amdgpu/version"))
        if driver:
            gpu["driver"] = driver
        gpus.append(gpu)
    return gpus


def apple() -> list[dict[str, Any]]:
    """The GPU of Apple silicon, whose memory is the machine's."""
    if sys.platform != "darwin" or platform.machine() != "arm64":
        return []
    gpu: dict[str, Any] = {"kind": "mps", "index": 0, "name": _sysctl("machdep.cpu.brand_string")}
    memory = _sysctl("hw.memsize")
    if memory.isdigit():
        gpu["memoryTotalBytes"] = int(memory)
    return [gpu]


def _load_nvml() -> ctypes.CDLL | None:
    for name in NVML_NAMES:
        try:
            nvml = ctypes.CDLL(name)
            return nvml if nvml.nvmlInit_v2() == 0 else None
        except (OSError, AttributeError):
            continue
    return None


def _nvidia_gpu(nvml: ctypes.CDLL, index: int, driver: str) -> dict[str, Any]:
    gpu: dict[str, Any] = {"kind": "cuda", "index": index, "name": "NVIDIA GPU"}
    device = ctypes.c_void_p()
    if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) == 0:
        gpu["name"] = _nvml_text(nvml, "nvmlDeviceGetName", device) or "NVIDIA GPU"
        memory = _NvmlMemory()
        if nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0:
            gpu["memoryTotalBytes"] = memory.total
            gpu["memoryFreeBytes"] = memory.free
    if driver:
        gpu["driver"] = driver
    return gpu


def _nvml_text(nvml: ctypes.CDLL, function: str, *arguments: Any) -> str:
    buffer = ctypes.create_string_buffer(96)
    failed = getattr(nvml, function)(*arguments, buffer, ctypes.c_uint(len(buffer)))
    return "" if failed else buffer.value.decode(errors="replace")


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
