"""LightGBM's native training, and what its scikit-learn classes need."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import distributions, errors
from ml_runner.frameworks.base import Estimator, Model, Progress
from ml_runner.frameworks.boosting.adapter import NativeAdapter, NativeEstimator
from ml_runner.libraries import need

if TYPE_CHECKING:
    from ml_runner.frameworks.lightgbm.learner import LightGBMLearner
    from ml_runner.job import Job

_CLASSES = ("LGBMClassifier", "LGBMRegressor")


@dataclass(frozen=True)
class LightGBMEstimator(NativeEstimator):
    """One of the library's scikit-learn classes."""

    def fit_hooks(
        self, estimator: Any, progress: Progress
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A callback for ``fit``."""
        from ml_runner.frameworks.lightgbm.progress import callback

        progress.step("round", 0, estimator.get_params()["n_estimators"], {})
        return {}, {"callbacks": [callback(progress)]}


class LightGBMAdapter(NativeAdapter):
    """The adapter; see ``frameworks.base.Adapter``."""

    name = "lightgbm"
    title = "LightGBM"
    script_imports: tuple[str, ...] = ()
    native = classes = taking_categories = _CLASSES
    resumable = (
        "LightGBM: every native training but boosting: rf, with checkpoint: true where it samples."
    )

    def require(self) -> None:
        """Raises ``FrameworkNotFound`` where LightGBM is absent."""
        need("lightgbm", "lightgbm")

    def preload(self) -> None:
        """Imports the library and this adapter's own modules."""
        self.require()
        need("pandas", "pandas")
        for module in ("parameters", "learner", "model", "progress"):
            importlib.import_module(f"{__name__}.{module}")

    def versions(self) -> dict[str, str]:
        """The installed versions of LightGBM and of what it reads its data with."""
        return distributions.versions("lightgbm", "numpy", "pandas")

    def learner(self, job: Job) -> LightGBMLearner:
        """``lightgbm.train`` with the call's parameters, checked."""
        self.require()
        from ml_runner.frameworks.lightgbm.learner import LightGBMLearner

        return LightGBMLearner(job)

    def estimator_class(self, name: str) -> Estimator | None:
        """One of the library's scikit-learn classes."""
        if self.plain(name) not in self.classes:
            return None
        self.require()
        need("sklearn", "scikit-learn")
        import lightgbm

        from ml_runner.frameworks.lightgbm import parameters

        return LightGBMEstimator(
            cls=getattr(lightgbm, self.plain(name)),
            framework=self.name,
            parameters=frozenset(parameters.known()),
            default_seed=None,
            threads=True,
            accepts_categories=True,
        )

    def recognises(self, path: Path, head: bytes) -> bool:
        """The first line of the library's text format."""
        return head.startswith((b"tree\n", b"tree\r\n"))

    def load(self, path: Path, data: bytes, description: Mapping[str, Any] | None) -> Model:
        """A booster from the text format."""
        self.require()
        from ml_runner.frameworks.lightgbm.model import load

        return load(path, data, description, self.threads)

    def columns(self, model: Any, available: Sequence[str]) -> list[str] | None:
        """The feature names in the booster, unless they are the library's own numbering."""
        names: list[str] = model.booster.feature_name()
        if names == [f"Column_{i}" for i in range(len(names))]:
            return None
        # Its files have underscores for the spaces in names.
        written = {"_".join(name.split(" ")): name for name in available}
        return [name if name in available else written.get(name, name) for name in names]

    def explain(self, error: BaseException) -> errors.ExecutorError | None:
        """An exception of the library in words of ours; None for any other."""
        if type(error).__name__ != "LightGBMError":
            return None
        text = " ".join(str(error).split())
        if "bad_alloc" in text:
            return errors.OutOfMemory(
                f"LightGBM ran out of memory: {text}",
                solution="Use fewer rows or columns, a smaller max_bin, or a larger machine.",
            )
        return errors.TrainingFailure(
            f"LightGBM refused to go on: {text}",
            solution="Change the data or the hyperparameters that the message names.",
            metadata={"exception": "LightGBMError"},
        )


ADAPTER = LightGBMAdapter()
