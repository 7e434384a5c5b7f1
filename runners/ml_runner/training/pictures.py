"""Drawing plots where that is possible: a missing picture is a warning, never an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.training.run_directory import Artifacts


def save(
    job: Job, artifacts: Artifacts, key: str, name: str, draw: Callable[[Any], bytes | None]
) -> None:
    """Draws a plot and lists it as an artifact.

    Args:
        job: who is warned where matplotlib is missing, or fails.
        artifacts: where it is written.
        key: its key among the artifacts.
        name: its file name.
        draw: given the module ``training.plots``, the PNG; None where there is nothing to draw.
    """
    try:
        # Here, so that a job without a plot does not wait for matplotlib.
        from ml_runner.training import plots
    except ImportError:
        job.warn(f"{name} was not drawn: matplotlib is not in this environment")
        return
    try:
        picture = draw(plots)
    except (ValueError, RuntimeError, TypeError) as error:
        # The model is worth more than its picture.
        job.warn(f"{name} could not be drawn: {error}")
        return
    if picture is not None:
        artifacts.write(key, name, picture)
