"""Which GPUs a job may use: those that the user lets it see, and of them those it has a slot of.

A user narrows them by ``CUDA_VISIBLE_DEVICES`` (on ROCm ``HIP_VISIBLE_DEVICES`` and
``ROCR_VISIBLE_DEVICES``): indices, UUIDs, or names of MIG instances. A job gets the same variables
with the entries of its own GPUs alone. They are read when the driver is initialised, which no
zygote ever does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ml_runner import gpus, nvml

CUDA = "CUDA_VISIBLE_DEVICES"
HIP = "HIP_VISIBLE_DEVICES"
ROCR = "ROCR_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """One GPU, or MIG instance, that the user lets jobs use.

    Attributes:
        kind: ``cuda``, ``rocm`` or ``mps``.
        entry: what stands for it in the variable that chooses GPUs.
        name: names it on this machine, whatever list it stands in: one job at a time has it.
    """

    kind: str
    entry: str
    name: str


class Device(Protocol):
    """What can be asked of a GPU while a job computes on it."""

    @property
    def name(self) -> str:
        """The product's name."""
        ...

    def memory(self) -> tuple[int, int] | None:
        """All of its memory and what is in use, in bytes."""
        ...

    def utilization(self) -> int | None:
        """Percent of the time in which it computed."""
        ...

    def memory_by_process(self) -> dict[int, int]:
        """Bytes by pid."""
        ...


def visible(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs that jobs with these environment variables may use, in the variables' order."""
    with nvml.open_nvml() as library:
        if library is not None:
            devices = library.devices()
            chosen = entries(environment.get(CUDA))
            if chosen is None:
                chosen = [str(index) for index in range(len(devices))]
            return [Gpu("cuda", entry, _nvidia_name(library, devices, entry)) for entry in chosen]
    if rocm := gpus.amd():
        return _visible_amd(len(rocm), environment)
    return [Gpu("mps", "0", "0") for _ in gpus.apple()]


def variables(chosen: Sequence[Gpu], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment variables that let a job see these GPUs alone; none of them: no GPU."""
    if not chosen:
        # ROCm takes an empty list for none at all; no GPU has the number -1.
        return {CUDA: "", HIP: "-1"}
    entry = ",".join(gpu.entry for gpu in chosen)
    if chosen[0].kind == "rocm":
        # Where ROCR_VISIBLE_DEVICES is set, it has narrowed what these count.
        return {CUDA: entry, HIP: entry}
    if chosen[0].kind == "mps":
        return {}
    if CUDA in environment:
        return {CUDA: entry}
    # The indices are NVML's, in the order of PCI addresses; CUDA's own order is by speed.
    return {CUDA: entry, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def entries(value: str | None) -> list[str] | None:
    """What such a variable lists; ``None`` where it is not set. The drivers stop at a wrong one."""
    if value is None:
        return None
    found: list[str] = []
    for entry in (part.strip() for part in value.split(",")):
        if entry in ("", "-1", "NoDevFiles"):
            break
        found.append(entry)
    return found


def names(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The product names of the GPUs that this process may use; empty where there is none."""
    kinds = {"cuda": gpus.nvidia, "rocm": gpus.amd, "mps": gpus.apple}
    found: list[str] = []
    for gpu in visible(environment):
        known: list[dict[str, Any]] = kinds[gpu.kind]()
        mine = [one for one in known if gpu.name in (one.get("uuid"), str(one["index"]))]
        found += [one["name"] for one in mine or known[:1]]
    return found


def _nvidia_name(library: nvml.Nvml, devices: list[nvml.Device], entry: str) -> str:
    if not entry.isdigit():
        # A UUID may be given by its first characters.
        entry = next((d.uuid for d in devices if d.uuid.startswith(entry)), entry)
    device = library.device(entry)
    # Another server may know it by its index, or be in a container where that is another one.
    return (device and device.uuid) or entry


def _visible_amd(count: int, environment: Mapping[str, str]) -> list[Gpu]:
    seen = entries(environment.get(ROCR))
    if seen is None:
        seen = [str(index) for index in range(count)]
    chosen = entries(environment.get(HIP, environment.get(CUDA)))
    if chosen is None:
        chosen = [str(index) for index in range(len(seen))]
    inside = [entry for entry in chosen if not entry.isdigit() or int(entry) < len(seen)]
    return [Gpu("rocm", e, seen[int(e)] if e.isdigit() else e) for e in inside]


def slot_of(gpu: Gpu) -> str:
    """The name of the GPU's slot, fit for a file."""
    return "gpu-" + re.sub(r"[^A-Za-z0-9-]", "_", gpu.name)
