"""What a job gets of the machine: its slots, and with them the GPUs that it may see."""

from __future__ import annotations

from typing import Any

from ml_runner import gpu_choice
from ml_runner.process import devices_wanted
from ml_runner.process.slots import SlotQueue
from ml_runner.process.tickets import Ticket

GPU_LANE = "gpu"


class Allotment:
    """The slots that the job of a ``JobRequest`` waits for, and what they entitle it to.

    Attributes:
        slots: the queue for them.

    Args:
        record: the ``JobRequest``.
        ticket: the job's place in the queue, where it has one already.
    """

    def __init__(self, record: dict[str, Any], ticket: Ticket | None = None) -> None:
        lane, count = record["lane"], record["slots"]
        self._hidden = lane == "light" or record["request"].get("gpuEnabled") is False
        self._gpus = gpu_choice.visible() if lane == GPU_LANE else []
        # Where the drivers tell this process of none, they are told apart by number alone.
        names = [gpu_choice.slot_of(gpu) for gpu in self._gpus] or [
            f"{lane}-{number}" for number in range(count)
        ]
        wanted = devices_wanted.of(record, len(names)) if lane == GPU_LANE else 1
        self.slots = SlotQueue(
            lane, names, wanted=wanted, exclusive=record["exclusive"], ticket=ticket
        )

    @property
    def gpus(self) -> list[gpu_choice.Gpu]:
        """The GPUs whose slots the job has."""
        held = self.slots.names_held
        return [gpu for gpu in self._gpus if gpu_choice.slot_of(gpu) in held]

    def variables(self) -> dict[str, str]:
        """Environment variables by which the job sees its GPUs and no others.

        A light job sees none: it has no GPU's slot, and is done before a GPU would have been
        prepared. Any other job that has no GPU's slot sees what the user lets it see: a script or
        a library may use a GPU of which this program knows nothing.
        """
        if self._hidden:
            return gpu_choice.variables([])
        chosen = self.gpus
        return gpu_choice.variables(chosen) if chosen else {}
