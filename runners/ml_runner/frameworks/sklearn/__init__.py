"""scikit-learn, and every estimator that follows its conventions."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import distributions, frameworks
from ml_runner.frameworks.base import Estimator, Model
from ml_runner.libraries import need
from ml_runner.training.metrics import Metric

if TYPE_CHECKING:
    from ml_runner.frameworks.sklearn.learner import SklearnLearner
    from ml_runner.job import Job

# Imported ahead of jobs; the others cost a few milliseconds when somebody asks for them.
_PRELOADED = (
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.tree",
    "sklearn.svm",
    "sklearn.neighbors",
    "sklearn.naive_bayes",
    "sklearn.neural_network",
    "sklearn.preprocessing",
    "sklearn.pipeline",
    "sklearn.metrics",
)

# What it imports by itself when it first meets a DataFrame (12 ms in the job otherwise).
_FOR_DATA_FRAMES = (
    "narwhals._interchange.dataframe",
    "narwhals._pandas_like.namespace",
    "narwhals.stable.v2._namespace",
)

_DISTRIBUTIONS = ("scikit-learn", "numpy", "scipy", "pandas", "joblib")


class SklearnAdapter:
    """The adapter; see ``frameworks.base.Adapter``."""

    name = "sklearn"
    title = "scikit-learn"
    script_imports: tuple[str, ...] = ("sklearn",)
    taking_categories = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")

    @property
    def resumable(self) -> str:
        """Which of its trainings can be resumed."""
        from ml_runner.frameworks.sklearn.fitting import CAN

        return CAN

    def require(self) -> None:
        """Raises ``FrameworkNotFound`` where scikit-learn is absent."""
        need("sklearn", "scikit-learn")

    def preload(self) -> None:
        """Imports the library's modules and this adapter's own."""
        self.require()
        for module in _PRELOADED:
            importlib.import_module(module)
        for module in _FOR_DATA_FRAMES:
            # Not there in versions that look at a DataFrame in another way.
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        for module in ("building", "estimators", "learner", "metrics", "model", "fitting"):
            importlib.import_module(f"{__name__}.{module}")

    def versions(self) -> dict[str, str]:
        """The installed versions of scikit-learn and of what it computes with."""
        return distributions.versions(*_DISTRIBUTIONS)

    def claims(self, algorithm: str) -> int:
        """2 for an estimator of scikit-learn, 1 for one that another framework brings."""
        if any(algorithm in other.algorithms() for other in self._others()):
            return 1
        self.require()
        from ml_runner.frameworks.sklearn import estimators

        return 2 if estimators.find(algorithm) is not None else 0

    def _others(self) -> list[Any]:
        return [adapter for adapter in frameworks.all_adapters() if adapter is not self]

    def algorithms(self) -> list[str]:
        """Every classifier and regressor of scikit-learn."""
        self.require()
        from ml_runner.frameworks.sklearn import estimators

        return estimators.names()

    def learner(self, job: Job) -> SklearnLearner:
        """The estimator that the call names, with its parameters checked."""
        self.require()
        from ml_runner.frameworks.sklearn.learner import SklearnLearner

        return SklearnLearner(job)

    def estimator_class(self, name: str) -> Estimator | None:
        """The class in scikit-learn of that name."""
        self.require()
        from ml_runner.frameworks.sklearn import estimators

        return estimators.find(name)

    def metric(self, name: str) -> Metric | None:
        """A scorer or metric function of scikit-learn; None where it is not installed."""
        if importlib.util.find_spec("sklearn") is None:
            return None
        from ml_runner.frameworks.sklearn import metrics

        return metrics.find(name)

    def metrics(self) -> list[str]:
        """The names of all scorers and metric functions."""
        if importlib.util.find_spec("sklearn") is None:
            return []
        from ml_runner.frameworks.sklearn import metrics

        return metrics.names()

    def recognises(self, path: Path, head: bytes) -> bool:
        """A pickle by its first bytes, or a joblib file (compressed too) by its name."""
        pickled = head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05"
        return pickled or path.suffix in (".pkl", ".pickle", ".joblib")

    def is_safe(self, path: Path) -> bool:
        """Never: a pickle runs what it says."""
        return False

    def load(self, path: Path, data: bytes, description: Mapping[str, Any] | None) -> Model:
        """Unpickles an estimator or pipeline; the caller has decided that it may."""
        self.require()
        from ml_runner.frameworks.sklearn.model import load

        return load(path, data, description)

    def columns(self, model: Any, available: Sequence[str]) -> list[str] | None:
        """``feature_names_in_`` of the estimator, where it was fitted on named columns."""
        names = getattr(model.estimator, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]


ADAPTER = SklearnAdapter()
