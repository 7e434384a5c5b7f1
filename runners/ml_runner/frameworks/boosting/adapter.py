"""The adapter of a boosting library: what is the same in all of them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ml_runner.frameworks.base import Estimator
from ml_runner.training.metrics import Metric


@dataclass(frozen=True)
class NativeEstimator(Estimator):
    """One of a library's scikit-learn classes, whose values native training judges too."""

    def check_values(self, sent: Mapping[str, Any]) -> None:
        """As for the native training."""
        parameters = importlib.import_module(f"ml_runner.frameworks.{self.framework}.parameters")
        native = {name: value for name, value in sent.items() if name in self.parameters}
        parameters.check_values(native, native)


class NativeAdapter:
    """See ``frameworks.base.Adapter``; a library adds what is its own.

    Attributes:
        native: classes of the library whose training the native interface can do.
        classes: all its scikit-learn classes.
    """

    name: ClassVar[str]
    native: ClassVar[tuple[str, ...]]
    classes: ClassVar[tuple[str, ...]]

    def plain(self, name: str) -> str:
        """The class name in a dotted one of this library; other dotted names stay as they are."""
        module, _, last = name.rpartition(".")
        return last if not module or module.partition(".")[0] == self.name else name

    def claims(self, algorithm: str) -> int:
        """2 for the classes whose training the native interface can do."""
        return 2 if self.plain(algorithm) in self.native else 0

    def algorithms(self) -> list[str]:
        """The library's scikit-learn classes."""
        return [*self.classes]

    def metric(self, name: str) -> Metric | None:
        """None: the library's metrics are measured by round, as its hyperparameters say."""
        return None

    def metrics(self) -> list[str]:
        """None of its own."""
        return []

    def is_safe(self, path: Path) -> bool:
        """The library's formats hold numbers only."""
        return True

    @property
    def threads(self) -> int:
        """For predictions of a loaded model; 0: the library's own choice."""
        return int(os.environ.get("OMP_NUM_THREADS") or 0)
