"""What each process of a training has for itself in a checkpoint: generators, buffers, its rows.

Weights and the optimizer's state are the same in all, and stand there once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ml_runner import seeds

Own = dict[str, Any]


def of(tally: dict[str, Any], steps: dict[str, Any], model: nn.Module, size: int) -> Own:
    """This process's own state.

    Args:
        tally: what it has measured in this epoch.
        steps: of what makes the steps: how many rows its memory suffices for.
        model: whose buffers (BatchNorm's) drift apart within an epoch where there are several.
        size: how many processes there are.
    """
    buffers = dict(model.named_buffers()) if size > 1 else {}
    states = {"shared": seeds.state(), "torch": generators()}
    return {"tally": tally, "steps": steps, "generators": states, "buffers": buffers}


def take_up(own: Own, model: nn.Module) -> None:
    """Puts generators and buffers back as they were."""
    for name, value in own["buffers"].items():
        model.get_buffer(name).copy_(value)
    # A process that had no part in the run until now keeps its own generators.
    if "generators" in own:
        seeds.restore(own["generators"]["shared"])
        set_generators(own["generators"]["torch"])


def divided(owns: Sequence[Own], rank: int, size: int) -> tuple[Own, list[str]]:
    """What process ``rank`` of ``size`` goes on with.

    Args:
        owns: of all processes that there were, by rank.
        rank: of this one.
        size: how many there are now.

    Returns:
        Its own state, and what a caller is to know: that the rest is not exact where there are
        more processes or fewer.
    """
    before = len(owns)
    if before == size:
        return owns[rank], []
    # Whoever made a prediction, it is rank 0 that measures.
    heard = [own["tally"] for own in owns] if rank == 0 else []
    of_rows = {
        name: [one for tally in heard for one in tally[name]] for name in ("predictions", "targets")
    }
    first = owns[0]
    own: Own = (
        dict(owns[rank])
        if rank < before
        else {"buffers": first["buffers"], "steps": first["steps"]}
    )
    own["tally"] = {**first["tally"], **of_rows}
    were = "were" if before > 1 else "was"
    note = (
        f"Gone on with {size} device{'s' if size > 1 else ''} where there {were} {before}: the"
        " batches are the same, but the result is not to the last bit that of the uninterrupted"
        " training"
    )
    return own, [note]


def generators() -> dict[str, Any]:
    """The states of torch's own generators: the CPU's, and those of GPUs that are in use."""
    return {
        "cpu": torch.random.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_generators(states: dict[str, Any]) -> None:
    """The inverse of ``generators``."""
    torch.random.set_rng_state(states["cpu"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])
