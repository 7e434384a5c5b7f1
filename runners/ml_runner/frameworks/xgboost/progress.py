"""Progress of the library's scikit-learn classes."""

from __future__ import annotations

from typing import Any

from xgboost.callback import TrainingCallback

from ml_runner.frameworks.base import Progress


class ProgressCallback(TrainingCallback):
    """Tells each round; changes nothing."""

    def __init__(self, progress: Progress, total: int) -> None:
        super().__init__()
        self._progress = progress
        self._total = total

    def before_training(self, model: Any) -> Any:
        """Starts the clock."""
        self._progress.step("round", 0, self._total, {})
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Tells the round; never stops."""
        self._progress.step("round", epoch + 1, self._total, {})
        return False
