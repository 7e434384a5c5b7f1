"""The processes that train one model together, and what passes between them.

Each has its rows of every batch, and the gradients are summed where the optimizer makes its step,
weighted by rows: what the whole batch gives in one process. That is DistributedDataParallel without
the hooks in the backward pass. So a process may have no row of the last batch, or halve its own
batches for want of memory, and none waits for a sum that never comes; a script's own
``training_step`` gets the model itself; and a parameter without a gradient has none here either. It
costs that the sums are not under way yet while the backward pass computes.

What decides how the training goes on is decided by rank 0 and told to all, at the same places.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ml_runner import errors, seeds
from ml_runner.data.samples import order
from ml_runner.frameworks.pytorch.feed import to_device
from ml_runner.process.ranks import PeerLost

# As long as torch itself waits where GPUs are concerned.
_TIMEOUT_SECONDS = 600.0
_TIMEOUT_VARIABLE = "ML_EXECUTOR_PEER_SECONDS"
_BUCKET_BYTES = 25 << 20
_CPU = torch.device("cpu")


class Alone:
    """One process, which is all of them.

    Attributes:
        rank: which of them this is.
        size: how many there are.
    """

    rank = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether it decides, measures and writes."""
        return self.rank == 0

    def sum_gradients(self, model: nn.Module) -> None:
        """Makes the gradients of all processes those of their sum."""

    def unite_buffers(self, model: nn.Module) -> None:
        """Makes the buffers of all processes the same: BatchNorm's statistics their mean."""

    def total(self, number: float) -> float:
        """The sum of every process's ``number``."""
        return number

    def means(self, losses: list[tuple[float, int]]) -> list[tuple[float, int]]:
        """(mean loss, rows) of some batches of this process → of the whole batches."""
        return losses

    def decided(self, *, due: bool, stop: bool) -> tuple[bool, bool]:
        """What rank 0 says: whether a checkpoint is due, whether to stop."""
        return due, stop

    def told(self, value: Any) -> Any:
        """What rank 0 has for ``value``: of plain values."""
        return value

    def gathered(self, value: Any) -> list[Any] | None:
        """Every process's ``value`` by rank, tensors in the host's memory; None but on rank 0."""
        return [value]


class Team(Alone):
    """Several processes: one for each rank of the job, all of which call the same, in one order.

    Args:
        rank: this process's.
        size: how many there are.
        timeout: seconds that one waits for another.

    Raises:
        PeerLost: by every method, where another process is gone, or has not come by then.
    """

    def __init__(self, rank: int, size: int, timeout: float) -> None:
        self.rank = rank
        self.size = size
        self._timeout = timeout

    def begin(self, model: nn.Module, seed: int) -> None:
        """Gives all the weights of rank 0, and generators of their own to the others.

        Rank 0 draws what one process alone would (dropout), the others something else.

        Args:
            model: of all the same class; a script may have drawn its weights unseeded.
            seed: of the training.
        """
        if not self.leads:
            seeds.seed_all(order.batch_seed(seed, 0, 0, self.rank) & 0xFFFFFFFF)
        with self._reaching(), torch.no_grad():
            for tensor in [*model.parameters(), *model.buffers()]:
                dist.broadcast(tensor.detach(), 0)

    def sum_gradients(self, model: nn.Module) -> None:
        """See ``Alone``; a parameter for which no process has a gradient is left without one."""
        sparse = {
            id(part.weight) for part in model.modules() if getattr(part, "sparse", False) is True
        }
        wanted = [one for one in model.parameters() if one.requires_grad]
        with self._reaching(), torch.no_grad():
            sums = []
            for bucket in _buckets(wanted):
                flat = _flat(bucket)
                sums.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
            for bucket, flat, work in sums:
                work.wait()
                _take_over(bucket, flat, sparse)

    def unite_buffers(self, model: nn.Module) -> None:
        """See ``Alone``; other buffers become those of rank 0."""
        means = {
            id(buffer)
            for part in model.modules()
            if isinstance(part, _BatchNorm)
            for buffer in (part.running_mean, part.running_var)
        }
        with self._reaching(), torch.no_grad():
            for buffer in model.buffers():
                if id(buffer) in means:
                    dist.all_reduce(buffer)
                    buffer /= self.size
                else:
                    dist.broadcast(buffer, 0)

    def total(self, number: float) -> float:
        """See ``Alone``."""
        held = torch.tensor([number], dtype=torch.float64)
        with self._reaching():
            dist.all_reduce(held)
        return held.item()

    def means(self, losses: list[tuple[float, int]]) -> list[tuple[float, int]]:
        """See ``Alone``; one that is not finite makes the mean so."""
        if not losses:
            return []
        # Not rows × loss where there are none: a loss of nothing is nothing.
        sums = torch.tensor(
            [[value * rows if rows else 0.0, rows] for value, rows in losses], dtype=torch.float64
        )
        with self._reaching():
            dist.all_reduce(sums)
        return [(total / max(1.0, rows), round(rows)) for total, rows in sums.tolist()]

    def decided(self, *, due: bool, stop: bool) -> tuple[bool, bool]:
        """See ``Alone``."""
        word = torch.tensor([due, stop], dtype=torch.uint8)
        with self._reaching():
            dist.broadcast(word, 0)
        due, stop = word.tolist()
        return bool(due), bool(stop)

    def told(self, value: Any) -> Any:
        """See ``Alone``."""
        held = [value]
        with self._reaching():
            dist.broadcast_object_list(held, 0, device=_CPU)
        return held[0]

    def gathered(self, value: Any) -> list[Any] | None:
        """See ``Alone``."""
        found: list[Any] | None = [None] * self.size if self.leads else None
        with self._reaching():
            dist.gather_object(to_device(value, _CPU), found, 0)
        return found

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise PeerLost(
                f"rank {self.rank} waited for the other processes of the training in vain, for at"
                f" most {self._timeout:g} seconds",
                solution="Look for what one of them waits for (an endless loop in a script, a disk"
                f" that hangs); {_TIMEOUT_VARIABLE} is how many seconds they wait for each other.",
                metadata={"rank": self.rank, "timeoutSeconds": self._timeout},
                stderr=f"{type(error).__name__}: {error}"[:2000],
            ) from error


@contextlib.contextmanager
def joined(rank: int, size: int, device: torch.device, meeting: str) -> Iterator[Alone]:
    """The team of a job's processes, once all have come; left at the end of a good one.

    Args:
        rank: this process's.
        size: how many there are.
        device: that this one computes on.
        meeting: path of a file that none of them has made before, by which they find each other.

    Raises:
        PeerLost: not all have come.
        InvalidConfiguration: the environment's timeout is none.
    """
    if size == 1:
        yield Alone()
        return
    team = Team(rank, size, _timeout())
    # They talk to each other alone; the name of the machine may lead to no interface at all.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with team._reaching():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=dist.FileStore(meeting, size),  # pyright: ignore[reportPrivateImportUsage]
            rank=rank,
            world_size=size,
            timeout=datetime.timedelta(seconds=_timeout()),
            device_id=device if device.type == "cuda" else None,
        )
    yield team
    # Where something was raised, the others may never come to this.
    dist.destroy_process_group()


def _timeout() -> float:
    sent = os.environ.get(_TIMEOUT_VARIABLE)
    try:
        seconds = _TIMEOUT_SECONDS if not sent else float(sent)
        if 0 < seconds < 1e6:
            return seconds
    except ValueError:
        pass
    raise errors.InvalidConfiguration(
        f"The environment variable {_TIMEOUT_VARIABLE} is '{sent}'",
        solution=f"Set it to a number of seconds, or not at all ({_TIMEOUT_SECONDS:g}).",
        metadata={"key": _TIMEOUT_VARIABLE, "sent": sent},
    )


# -- gradients -------------------------------------------------------------------------------------


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """The parameters in groups of one type that are summed at once."""
    for kind in dict.fromkeys(one.dtype for one in parameters):
        bucket: list[nn.Parameter] = []
        size = 0
        for one in parameters:
            if one.dtype != kind:
                continue
            bucket.append(one)
            size += one.numel() * one.element_size()
            if size >= _BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
        if bucket:
            yield bucket


def _flat(bucket: Sequence[nn.Parameter]) -> torch.Tensor:
    """All gradients one behind the other, then for each whether this process has it."""
    parts = []
    for one in bucket:
        if one.grad is None:
            parts.append(torch.zeros(one.numel(), dtype=one.dtype, device=one.device))
        else:
            grad = one.grad.to_dense() if one.grad.is_sparse else one.grad
            parts.append(grad.reshape(-1))
    there = [float(one.grad is not None) for one in bucket]
    return torch.cat([*parts, torch.tensor(there, dtype=bucket[0].dtype).to(bucket[0].device)])


def _take_over(bucket: Sequence[nn.Parameter], flat: torch.Tensor, sparse: set[int]) -> None:
    """Puts the sums where the gradients were."""
    # To look costs a wait for the GPU: not where this process has them all anyway.
    all_here = all(one.grad is not None for one in bucket)
    there = None if all_here else flat[-len(bucket) :].tolist()
    start = 0
    for place, one in enumerate(bucket):
        piece = flat[start : start + one.numel()].view_as(one)
        start += one.numel()
        if there is not None and not there[place]:
            continue
        if id(one) in sparse:
            one.grad = piece.to_sparse(1)
        elif one.grad is None:
            one.grad = piece.clone()
        else:
            one.grad.copy_(piece)
