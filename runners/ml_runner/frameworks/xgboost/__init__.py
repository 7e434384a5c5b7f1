"""XGBoost's native training, and what its scikit-learn classes need."""

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
    from ml_runner.frameworks.xgboost.learner import XGBoostLearner
    from ml_runner.job import Job

_NATIVE = ("XGBClassifier", "XGBRegressor")


@dataclass(frozen=True)
class XGBoostEstimator(NativeEstimator):
    """One of the library's scikit-learn classes."""

    def fit_hooks(
        self, estimator: Any, progress: Progress
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A callback, put among the parameters for the fit."""
        from ml_runner.frameworks.xgboost.progress import ProgressCallback

        if type(estimator).__name__.startswith("XGBRF"):
            return {}, {}  # a forest is one round
        rounds = estimator.get_num_boosting_rounds()
        callbacks = list(estimator.get_params().get("callbacks") or [])
        return {"callbacks": [*callbacks, ProgressCallback(progress, rounds)]}, {}


class XGBoostAdapter(NativeAdapter):
    """The adapter; see ``frameworks.base.Adapter``."""

    name = "xgboost"
    title = "XGBoost"
    script_imports: tuple[str, ...] = ()
    native = taking_categories = _NATIVE
    classes = (*_NATIVE, "XGBRFClassifier", "XGBRFRegressor")
    resumable = "XGBoost: every native training, with checkpoint: true where it samples."

    def require(self) -> None:
        """Raises ``FrameworkNotFound`` where XGBoost is absent."""
        need("xgboost", "xgboost", conda="py-xgboost")

    def preload(self) -> None:
        """Imports the library and this adapter's own modules."""
        self.require()
        need("pandas", "pandas")
        for module in ("parameters", "learner", "model"):
            importlib.import_module(f"{__name__}.{module}")

    def versions(self) -> dict[str, str]:
        """The installed versions of XGBoost and of what it reads its data with."""
        return distributions.versions("xgboost", "xgboost-cpu", "numpy", "pandas")

    def learner(self, job: Job) -> XGBoostLearner:
        """``xgboost.train`` with the call's parameters, checked."""
        self.require()
        from ml_runner.frameworks.xgboost.learner import XGBoostLearner

        return XGBoostLearner(job)

    def estimator_class(self, name: str) -> Estimator | None:
        """One of the library's scikit-learn classes."""
        if self.plain(name) not in self.classes:
            return None
        self.require()
        need("sklearn", "scikit-learn")
        import xgboost

        from ml_runner.frameworks.xgboost import parameters

        return XGBoostEstimator(
            cls=getattr(xgboost, self.plain(name)),
            framework=self.name,
            parameters=frozenset(parameters.known()),
            encoded_labels=True,
            default_seed=None,
            threads=True,
            accepts_categories=True,
            for_categories={"enable_categorical": True},
        )

    def recognises(self, path: Path, head: bytes) -> bool:
        """UBJSON or JSON that begins as the library's models do."""
        if path.suffix == ".ubj":
            return True
        text = head.lstrip()
        return text.startswith(b"{") and b"learner" in head

    def load(self, path: Path, data: bytes, description: Mapping[str, Any] | None) -> Model:
        """A booster from UBJSON or JSON."""
        self.require()
        from ml_runner.frameworks.xgboost.model import load

        return load(path, data, description, self.threads)

    def columns(self, model: Any, available: Sequence[str]) -> list[str] | None:
        """The feature names in the booster."""
        return model.booster.feature_names

    def explain(self, error: BaseException) -> errors.ExecutorError | None:
        """An exception of the library in words of ours; None for any other."""
        if type(error).__module__.partition(".")[0] != "xgboost":
            return None
        from ml_runner.frameworks.xgboost.parameters import first_lines

        text = str(error)
        lowered = text.lower()
        if "cuda" not in lowered and "gpu" not in lowered:
            if "bad_alloc" in lowered or "insufficient memory" in lowered:
                return errors.OutOfMemory(
                    f"XGBoost ran out of memory: {first_lines(text)}",
                    solution="Use fewer rows or columns, a smaller max_bin, or a larger machine.",
                )
            if type(error).__name__ != "XGBoostError":
                return None
            # As it is, the message ends in a stack trace of the library.
            return errors.TrainingFailure(
                f"XGBoost refused to go on: {first_lines(text)}",
                solution="Change the data or the hyperparameters that the message names.",
                metadata={"exception": "XGBoostError"},
                stderr=text[-2000:],
            )
        if "out of memory" in lowered or "bad_alloc" in lowered or "memory allocation" in lowered:
            return errors.CudaOutOfMemory(
                f"XGBoost ran out of GPU memory: {first_lines(text)}",
                solution="Use fewer rows or columns, a smaller max_bin, or gpuEnabled: false.",
                stderr=text[-2000:],
            )
        return errors.CudaError(
            f"XGBoost met a fault of the GPU: {first_lines(text)}",
            solution="Send gpuEnabled: false, or mend the driver (ml-executor doctor shows it).",
            stderr=text[-2000:],
        )


ADAPTER = XGBoostAdapter()
