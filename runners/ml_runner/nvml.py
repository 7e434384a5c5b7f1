"""NVIDIA's management library, as far as this package asks it; no CUDA context is made."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Generator
from typing import Any

LIBRARIES = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")

# What NVML gives for a figure that it cannot tell.
_NOT_AVAILABLE = (1 << 64) - 1
_INSUFFICIENT_SIZE = 7
_UUID_BYTES = 96


class _Memory(ctypes.Structure):
    _fields_ = [
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    ]


class _Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _ProcessInfo(ctypes.Structure):
    # nvmlProcessInfo_v2_t, of the functions with the suffixes _v2 and _v3.
    _fields_ = [
        ("pid", ctypes.c_uint),
        ("usedGpuMemory", ctypes.c_ulonglong),
        ("gpuInstanceId", ctypes.c_uint),
        ("computeInstanceId", ctypes.c_uint),
    ]


class Nvml:
    """The library, once it has been initialised. Made by ``open_nvml``."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @property
    def driver(self) -> str:
        """The driver's version; empty where it does not say."""
        return self._text("nvmlSystemGetDriverVersion")

    def devices(self) -> list[Device]:
        """All GPUs, in the order of their PCI addresses."""
        count = ctypes.c_uint()
        if self._library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        found = (self.device(str(index)) for index in range(count.value))
        return [device for device in found if device is not None]

    def device(self, name: str) -> Device | None:
        """The GPU or MIG instance of an index or UUID, as ``CUDA_VISIBLE_DEVICES`` lists them."""
        handle = ctypes.c_void_p()
        if name.isdigit():
            failed = self._library.nvmlDeviceGetHandleByIndex_v2(
                ctypes.c_uint(int(name)), ctypes.byref(handle)
            )
        else:
            failed = self._library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
        return None if failed else Device(self._library, handle)

    def _text(self, function: str) -> str:
        return _text(self._library, function)


class Device:
    """One GPU or MIG instance."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library = library
        self._handle = handle

    @property
    def name(self) -> str:
        """The product's name; empty where it does not say."""
        return _text(self._library, "nvmlDeviceGetName", self._handle)

    @property
    def uuid(self) -> str:
        """``GPU-…`` or ``MIG-…``; empty where it does not say."""
        return _text(self._library, "nvmlDeviceGetUUID", self._handle)

    @property
    def index(self) -> int | None:
        """Its place among the machine's GPUs; ``None`` for a MIG instance."""
        index = ctypes.c_uint()
        failed = self._library.nvmlDeviceGetIndex(self._handle, ctypes.byref(index))
        return None if failed else index.value

    def memory(self) -> tuple[int, int] | None:
        """Its memory in bytes: all of it, and what is in use."""
        memory = _Memory()
        if self._library.nvmlDeviceGetMemoryInfo(self._handle, ctypes.byref(memory)) != 0:
            return None
        return memory.total, memory.used

    def utilization(self) -> int | None:
        """Percent of the last sampling period in which it computed; MIG instances do not tell."""
        rates = _Utilization()
        if self._library.nvmlDeviceGetUtilizationRates(self._handle, ctypes.byref(rates)) != 0:
            return None
        return rates.gpu

    def memory_by_process(self) -> dict[int, int]:
        """Bytes by pid, of the processes that compute on it and tell how much they take."""
        ask: Any = None
        for version in ("_v3", "_v2"):
            with contextlib.suppress(AttributeError):
                ask = getattr(self._library, "nvmlDeviceGetComputeRunningProcesses" + version)
                break
        if ask is None:
            return {}
        count = ctypes.c_uint(16)
        for _ in range(4):
            infos = (_ProcessInfo * count.value)()
            failed = ask(self._handle, ctypes.byref(count), infos)
            if failed != _INSUFFICIENT_SIZE:
                break
            count.value += 16
        else:
            return {}
        if failed:
            return {}
        found = infos[: count.value]
        return {i.pid: i.usedGpuMemory for i in found if i.usedGpuMemory != _NOT_AVAILABLE}


@contextlib.contextmanager
def open_nvml() -> Generator[Nvml | None, None, None]:
    """The library for as long as the block lasts; ``None`` where there is no such driver."""
    library = _load()
    if library is None:
        yield None
        return
    try:
        yield Nvml(library)
    finally:
        library.nvmlShutdown()


def _load() -> ctypes.CDLL | None:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            return library if library.nvmlInit_v2() == 0 else None
        except (OSError, AttributeError):
            continue
    return None


def _text(library: ctypes.CDLL, function: str, *arguments: Any) -> str:
    buffer = ctypes.create_string_buffer(_UUID_BYTES)
    failed = getattr(library, function)(*arguments, buffer, ctypes.c_uint(len(buffer)))
    return "" if failed else buffer.value.decode(errors="replace")
