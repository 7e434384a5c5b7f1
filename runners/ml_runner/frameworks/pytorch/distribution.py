"""On how many devices a training runs, and how: ``distributed`` and ``devices`` of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ml_runner import calls, errors
from ml_runner.frameworks.pytorch import devices
from ml_runner.process import ranks, system

if TYPE_CHECKING:
    from ml_runner.job import Job

DDP, DP = "ddp", "dp"


@dataclass(frozen=True)
class Plan:
    """How the devices share the work.

    Attributes:
        strategy: ``ddp``: a process for each; ``dp``: one process, which divides each batch among
            its GPUs; None: one device.
        count: devices.
        kind: of device: ``cuda``, ``mps``, ``cpu``.
        why: what led to that, where the call left it open; None where it did not.
    """

    strategy: str | None
    count: int
    kind: str
    why: str | None = None

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.count if self.strategy == DDP else 1

    def facts(self, batch_size: int, threads: int) -> dict[str, Any]:
        """What a report says of it.

        Args:
            batch_size: of the whole batch.
            threads: of the job.
        """
        facts: dict[str, Any] = {"strategy": self.strategy or "none", "devices": self.count}
        if self.strategy == DDP:
            facts["backend"] = "nccl" if self.kind == "cuda" else "gloo"
            facts["threadsPerProcess"] = ranks.threads_of(threads, self.count)
        if self.strategy is not None:
            facts["batchSizePerDevice"] = -(-batch_size // self.count)
        if self.why is not None:
            facts["why"] = self.why
        return facts


def plan(job: Job, batch_size: int) -> Plan:
    """What the call asks for, held against what is there.

    Args:
        job: whose call it is.
        batch_size: rows of a batch, which all devices share.

    Raises:
        InvalidConfiguration: more devices than there are, fewer than ``dp`` needs, more than there
            are rows in a batch.
    """
    found = _found(job)
    if batch_size < found.count:
        raise errors.InvalidConfiguration(
            f"config.batchSize is {batch_size}, and {found.count} devices share each batch",
            solution=f"Send a batchSize of at least {found.count}: it counts the rows of all.",
            metadata={"key": "config.batchSize", "sent": batch_size, "devices": found.count},
            next_call=calls.repeat(job, {"batchSize": found.count}),
        )
    return found


def _found(job: Job) -> Plan:
    asked, count = job.config.get("distributed"), job.config.get("devices")
    kind = devices.choose(job).type
    if asked is None:
        return Plan(None, 1, kind)
    if asked != DP and not torch.distributed.is_available():
        raise errors.InvalidConfiguration(
            f"config.distributed is '{asked}', and this PyTorch is built without torch.distributed",
            solution="Send nextCall, which leaves it out, or install another build.",
            metadata={"key": "config.distributed", "sent": asked},
            next_call=_again(job, distributed=None, devices=None),
        )
    there = torch.cuda.device_count() if kind == "cuda" else 1
    if kind == "cpu" and asked == DDP:
        there = system.cores()
    elif asked == DP and min(there, count or there) < 2:
        _refuse_dp(job, kind, there)
    if count is not None and count > there and (kind != "cpu" or asked == DDP):
        _refuse_count(job, count, there, kind)
    if kind == "cpu":
        return _on_cpu(job, asked, count)
    count = count or there
    if count == 1:
        return Plan(None, 1, kind, f"{asked}: one {kind.upper()} device")
    why = f"auto: {count} of {there} GPUs" if asked == "auto" else None
    return Plan(DP if asked == DP else DDP, count, kind, why)


def _on_cpu(job: Job, asked: str, count: int | None) -> Plan:
    if asked == "auto":
        if (count or 1) > 1:
            job.warn(
                f"devices: {count} was not used: without a GPU, auto is one process; distributed:"
                " ddp takes several on the CPU too"
            )
        return Plan(None, 1, "cpu", "auto: there is no GPU, so one process")
    if count is None:
        job.warn(
            "distributed: ddp was one process, since there is no GPU; with devices: N it takes N"
            " processes on the CPU"
        )
        return Plan(None, 1, "cpu", "ddp: there is no GPU, and devices is left out")
    if count == 1:
        return Plan(None, 1, "cpu", "ddp: devices is 1")
    if count > job.threads:
        job.warn(
            f"devices: {count} processes share the {job.threads} threads of this job, so each"
            " waits for the others"
        )
    return Plan(DDP, count, "cpu")


def _refuse_dp(job: Job, kind: str, there: int) -> NoReturn:
    gpus = there if kind == "cuda" else 0
    raise errors.InvalidConfiguration(
        f"config.distributed is 'dp', which divides each batch among several GPUs of one process,"
        f" and there {'is 1' if gpus == 1 else f'are {gpus}'} for this job",
        solution="Send nextCall, which leaves it out; on the CPU, distributed: ddp with devices: N"
        " takes N processes.",
        metadata={"key": "config.distributed", "sent": DP, "gpus": gpus},
        next_call=_again(job, distributed=None, devices=None),
    )


def _refuse_count(job: Job, count: int, there: int, kind: str) -> NoReturn:
    what = {"cpu": "processor cores", "cuda": "GPUs"}.get(kind, f"{kind.upper()} devices")
    raise errors.InvalidConfiguration(
        f"config.devices is {count}, and there are {there} {what} for this job",
        solution=f"Send at most {there}; nextCall does.",
        metadata={"key": "config.devices", "sent": count, "allowed": there},
        next_call=_again(job, devices=there),
    )


def _again(job: Job, **config: Any) -> dict[str, Any]:
    """The caller's own call, which may be one that goes on with another's."""
    sent = job.record["request"]
    if sent["action"] == job.action:
        return calls.repeat(job, config)
    kept = {key: value for key, value in sent.items() if key not in ("action", "config")}
    more = {key: value or 1 for key, value in config.items() if key == "devices"}
    return {"tool": sent["action"], "arguments": {**kept, "config": {**sent["config"], **more}}}


def note_of(model: nn.Module, plan: Plan, batch_size: int) -> str | None:
    """What a caller is to know of a model whose batches are divided; None where there is nothing.

    Args:
        model: as the script made it.
        plan: how they are divided.
        batch_size: of the whole batch.
    """
    if plan.strategy is None or not any(isinstance(part, _BatchNorm) for part in model.modules()):
        return None
    rows = -(-batch_size // plan.count)
    one = "GPU" if plan.strategy == DP else "process"
    kept = "those of the first" if plan.strategy == DP else "the mean of all, from each epoch's end"
    return (
        f"BatchNorm normalises by the rows of each {one} ({rows} of {batch_size}); its running"
        f" statistics are {kept}"
    )


class DataParallel(nn.DataParallel[nn.Module]):
    """torch's own, through which a script reaches the attributes of its model."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


def wrapped(model: nn.Module, plan: Plan) -> nn.Module:
    """The model as it is called: for ``dp``, what divides the batch among the GPUs."""
    return DataParallel(model, list(range(plan.count))) if plan.strategy == DP else model


def check_layout(config: Mapping[str, Any], plan: Plan) -> None:
    """Refuses what ``dp`` cannot copy to each GPU: what wraps the modules of the one model.

    Raises:
        InvalidConfiguration: ``compile`` or ``gradientCheckpointing`` with it.
    """
    key = next((key for key in ("compile", "gradientCheckpointing") if config.get(key)), None)
    if plan.strategy == DP and key is not None:
        raise errors.InvalidConfiguration(
            f"config.{key} is given, and config.distributed: dp copies the model to each GPU at"
            " every step, which would leave the copies without it",
            solution=f"Send distributed: ddp, or leave {key} out.",
            metadata={"key": f"config.{key}", "sent": config[key], "distributed": DP},
        )
