"""Mixed precision: forward and loss under autocast, gradients of fp16 under a scaler."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ml_runner import calls, errors

if TYPE_CHECKING:
    from ml_runner.job import Job

_KEY = "config.mixedPrecision"
OFF, BF16, FP16, AUTO = "off", "bf16", "fp16", "auto"
_TYPES = {BF16: torch.bfloat16, FP16: torch.float16}
# What a CPU must be able to multiply by itself for bf16 to be the faster way (torch.cpu).
_CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


class Precision:
    """The types in which a training computes.

    Args:
        used: ``off``, ``bf16`` or ``fp16``.
        device: where it computes.
        asked: what the call says; ``off`` where it says nothing.
        why: why ``auto`` became what it is; None for any other.

    Attributes:
        skipped: steps that were left out because gradients had overflowed.
    """

    def __init__(
        self, used: str, device: torch.device, *, asked: str | None = None, why: str | None = None
    ) -> None:
        self.used = used
        self.skipped = 0
        self._asked = asked or used
        self._why = why
        self._device = device
        # bf16 has the range of fp32: its gradients need no scaling.
        self._scaler = torch.amp.GradScaler(device.type) if used == FP16 else None
        self._stepped = False
        self._watched: torch.optim.Optimizer | None = None

    def around(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        """``compute``, as it is or under autocast."""
        if self.used == OFF:
            return compute

        def computed(*arguments: Any) -> Any:
            with autocast(self.used, self._device):
                return compute(*arguments)

        return computed

    def meet(self, loss: str) -> None:
        """Refuses a loss that cannot be computed so.

        Args:
            loss: its name, as reports show it.

        Raises:
            InvalidConfiguration: the library has no safe way for it under autocast.
        """
        if self.used != OFF and loss == "BCELoss" and self._device.type == "cuda":
            raise errors.InvalidConfiguration(
                f"BCELoss cannot be computed in mixed precision ({self.used}) on a GPU: the"
                " logarithms of rounded probabilities are not safe",
                solution="Use lossFunction: bce_with_logits and leave the model's last sigmoid"
                " out; or mixedPrecision: off.",
                metadata={"key": _KEY, "sent": self._asked, "lossFunction": loss},
            )

    # -- gradients -------------------------------------------------------------------------------

    def backward(self, loss: torch.Tensor) -> None:
        """Adds the gradients of ``loss``, scaled where that is needed."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Iterable[nn.Parameter],
        clip: float | None,
    ) -> bool:
        """Makes a step of the optimizer from the gradients that there are.

        Args:
            optimizer: whose step it is.
            parameters: whose gradients are clipped.
            clip: largest norm of all gradients, as they are without the scaling; None: unbounded.

        Returns:
            Whether the step was made: one whose scaled gradients overflowed is left out, and the
            scale reduced.
        """
        scaler = self._scaler
        if clip is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parameters, clip)
        if scaler is None:
            optimizer.step()
            return True
        if self._watched is not optimizer:
            # The scaler does not say whether it made the step, and its scale is on the device.
            optimizer.register_step_post_hook(self._note_step)
            self._watched = optimizer
        self._stepped = False
        scaler.step(optimizer)
        scaler.update()
        if not self._stepped:
            self.skipped += 1
        return self._stepped

    def _note_step(self, *_: Any) -> None:
        self._stepped = True

    # -- state and report ------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: plain values."""
        scaler = None if self._scaler is None else self._scaler.state_dict()
        return {"used": self.used, "scaler": scaler, "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state.

        Raises:
            InvalidConfiguration: the run began in another precision (on another device).
        """
        if state["used"] != self.used:
            raise errors.InvalidConfiguration(
                f"The run began with mixedPrecision {state['used']} and cannot go on with"
                f" {self.used} ({self._why or 'as this machine computes'})",
                solution="Resume it on a machine like the one that it began on, or train anew.",
                metadata={"key": _KEY, "sent": self.used, "allowed": [state["used"]]},
            )
        self.skipped = state["skipped"]
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])

    def facts(self) -> dict[str, Any]:
        """For the report's metadata; nothing where the call says nothing."""
        if self._asked == OFF:
            return {}
        facts: dict[str, Any] = {"mixedPrecision": self.used}
        if self._why is not None:
            facts["mixedPrecisionWhy"] = self._why
        if self._scaler is not None:
            facts |= {"skippedSteps": self.skipped, "gradientScale": self._scaler.get_scale()}
        return facts


def of_call(job: Job, device: torch.device) -> Precision:
    """The precision that a call asks for, on the device where it is to compute.

    Raises:
        InvalidConfiguration: the device cannot compute so; ``nextCall`` has what it can.
    """
    asked = job.config.get("mixedPrecision") or OFF
    if asked == AUTO:
        used, why = _automatic(device)
        return Precision(used, device, asked=asked, why=why)
    reason = _cannot(asked, device)
    if reason is None:
        return Precision(asked, device)
    instead = possible(BF16 if asked == FP16 else FP16, device)
    raise errors.InvalidConfiguration(
        f"mixedPrecision {asked} cannot be used: {reason}",
        solution=f"Send mixedPrecision: {instead}"
        + (", or train on a GPU." if device.type == "cpu" else "."),
        metadata={"key": _KEY, "sent": asked, "device": str(device), "allowed": [instead, AUTO]},
        next_call=calls.repeat(job, {"mixedPrecision": instead}),
    )


def possible(wanted: str, device: torch.device) -> str:
    """A precision where a device can compute so, else ``off``."""
    return OFF if _cannot(wanted, device) is not None else wanted


def autocast(used: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Within it is computed in a precision that is ``possible``."""
    if used == OFF:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_TYPES[used])


def _cannot(asked: str, device: torch.device) -> str | None:
    """Why a precision is not possible on a device; None where it is."""
    if asked == OFF:
        return None
    if asked == FP16 and device.type == "cpu":
        return (
            "the training is on the CPU, where fp16 is computed by way of fp32 unless the processor"
            " has instructions of its own for it"
        )
    if asked == BF16 and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return f"{torch.cuda.get_device_name(device)} has no bf16"
    if not torch.amp.autocast_mode.is_autocast_available(device.type):
        return f"this PyTorch has no mixed precision on '{device.type}'"
    return None


def _automatic(device: torch.device) -> tuple[str, str]:
    """(precision, why) of ``auto``: the fastest that loses no accuracy worth speaking of."""
    if device.type == "cpu":
        able = [name for name in _CPU_BF16 if _cpu_has(name)]
        if able:
            return BF16, f"the CPU multiplies bf16 by itself ({', '.join(able)})"
        return OFF, "the CPU has no instructions for bf16, which would be slower than fp32"
    if device.type != "cuda":
        return OFF, f"not judged on '{device.type}'"
    name = torch.cuda.get_device_name(device)
    if torch.version.hip is not None:
        return BF16, f"{name} (ROCm)"
    major, minor = torch.cuda.get_device_capability(device)
    generation = f"{name}, compute capability {major}.{minor}"
    if major >= 8:
        return BF16, f"{generation}: bf16 in hardware, which needs no scaling of gradients"
    if major >= 7:
        return FP16, f"{generation}: tensor cores for fp16, and no bf16 in hardware"
    return OFF, f"{generation}: no tensor cores"


def _cpu_has(name: str) -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return bool(capabilities().get(name, False))
    # Older versions tell of fewer.
    asked = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    supported = getattr(torch.cpu, asked.get(name, ""), None)
    return bool(supported and supported())
