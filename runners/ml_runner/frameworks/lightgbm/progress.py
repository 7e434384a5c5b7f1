"""Progress of the library's scikit-learn classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml_runner.frameworks.base import Progress


def callback(progress: Progress) -> Callable[[Any], None]:
    """A callback for ``fit`` that tells each round; changes nothing."""

    def tell(env: Any) -> None:
        progress.step(
            "round",
            env.iteration + 1 - env.begin_iteration,
            env.end_iteration - env.begin_iteration,
            {},
        )

    return tell
