"""A fitted estimator or pipeline, as the actions use it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline

from ml_runner import errors
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.training.history import History
from ml_runner.training.metrics import Outputs

# Their predict is the argmax of their predict_proba, which is so computed only once.
_LABELS_FROM_PROBABILITIES = (RandomForestClassifier, ExtraTreesClassifier)


class SklearnModel:
    """See ``frameworks.base.Model``.

    Args:
        estimator: a fitted estimator or pipeline; what ``model.pkl`` holds.
        classes: original labels, in the order of the estimator's own classes; None for numbers.
        encoded: the estimator speaks of the labels as 0 … k-1.
        scaler: the pipeline's scaling step, where there is one.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        algorithm: str,
        task: str,
        classes: list[Any] | None,
        encoded: bool = False,
        scaler: Any | None = None,
    ) -> None:
        self.estimator = estimator
        self.algorithm = algorithm
        self.task = task
        self.classes = classes
        self.encoded = encoded
        self.scaler = scaler
        self.history: History | None = None
        self.better: dict[str, bool] = {}
        self.metadata: dict[str, Any] = {}
        self._labels = None if classes is None else np.asarray(classes)

    @property
    def last_step(self) -> Any:
        """The estimator proper, without what stands before it."""
        return last_step(self.estimator)

    @property
    def has_probabilities(self) -> bool:
        """Whether the estimator has ``predict_proba`` with its present parameters."""
        return self.task == CLASSIFICATION and hasattr(self.estimator, "predict_proba")

    def outputs(self, X: Any, *, probabilities: bool = True) -> Outputs:
        """Labels or numbers for the rows of X, probabilities or decision values beside them."""
        if self.task == REGRESSION:
            return Outputs(np.asarray(self.estimator.predict(X)).reshape(len(X)))
        scores = decision = None
        if probabilities and self.has_probabilities:
            scores = np.asarray(self.estimator.predict_proba(X))
        elif probabilities and hasattr(self.estimator, "decision_function"):
            decision = np.asarray(self.estimator.decision_function(X))
            if decision.ndim == 2 and decision.shape[1] != len(self.classes or ()):
                decision = None  # one against one: no score a class
        if scores is not None and isinstance(self.last_step, _LABELS_FROM_PROBABILITIES):
            labels = self._decode(self.estimator.classes_.take(np.argmax(scores, axis=1)))
        else:
            labels = self._decode(np.asarray(self.estimator.predict(X)).reshape(len(X)))
        return Outputs(labels, scores, decision)

    def _decode(self, labels: np.ndarray) -> np.ndarray:
        if self.encoded and self._labels is not None:
            return self._labels[labels.astype(np.intp)]
        return labels

    def feature_importances(self) -> np.ndarray | None:
        """``feature_importances_``, or the mean absolute coefficient of a linear model."""
        last = self.last_step
        # Some raise AttributeError from the property itself (a forest's is computed on demand).
        importances = getattr(last, "feature_importances_", None)
        if importances is not None:
            return np.asarray(importances, dtype=float)
        coefficients = getattr(last, "coef_", None)
        if coefficients is None or not isinstance(coefficients, np.ndarray):
            return None
        if coefficients.ndim == 1:
            return np.abs(coefficients)
        return np.abs(coefficients).mean(axis=0) if coefficients.ndim == 2 else None

    @property
    def importance_type(self) -> str:
        """What ``feature_importances`` are."""
        if getattr(self.last_step, "feature_importances_", None) is None:
            return "mean absolute coefficient"
        return "feature_importances_ of the estimator"

    def files(self) -> dict[str, tuple[str, bytes]]:
        """``model.pkl`` and, where there is a scaler, ``scaler.pkl``: plain pickles."""
        saved = {"model": ("model.pkl", pickle.dumps(self.estimator, protocol=5))}
        if self.scaler is not None:
            saved["scaler"] = ("scaler.pkl", pickle.dumps(self.scaler, protocol=5))
        return saved

    def describe(self) -> dict[str, Any]:
        """Class and labels, which the pickle alone does not tell where they were encoded."""
        last = self.last_step
        return {
            "estimator": f"{type(last).__module__}.{type(last).__qualname__}",
            "classes": self.classes,
            "encoded": self.encoded,
        }


def last_step(estimator: Any) -> Any:
    """The estimator proper, without what stands before it in a pipeline."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def load(path: Path, data: bytes, description: Mapping[str, Any] | None) -> SklearnModel:
    """Unpickles ``data`` (plain, or as joblib writes it).

    Raises:
        ModelLoadingError: it is no pickle, is cut short, needs a module that is not here, or holds
            no fitted classifier or regressor.
    """
    try:
        estimator = _unpickle(data)
    except ModuleNotFoundError as error:
        raise errors.ModelLoadingError(
            f"'{path}' needs the module '{error.name}', which is not in this environment",
            solution=f"Install what brings '{error.name}', or send the pythonEnv of its training.",
            metadata={"path": str(path), "module": error.name},
            stderr=f"{type(error).__name__}: {error}",
        ) from error
    except Exception as error:
        raise errors.ModelLoadingError(
            f"'{path}' cannot be unpickled ({len(data)} bytes, beginning with {data[:8]!r}):"
            f" {error}",
            solution="Give a model file that is whole, made with versions of the libraries like"
            " the ones here.",
            metadata={"path": str(path), "bytes": len(data)},
            stderr=f"{type(error).__name__}: {error}",
        ) from error
    return _wrap(estimator, path, description)


def _unpickle(data: bytes) -> Any:
    if data[:1] == b"\x80":
        try:
            return pickle.loads(data)
        except (pickle.UnpicklingError, EOFError):
            # joblib puts arrays between the pickle's opcodes.
            pass
    import joblib

    return joblib.load(io.BytesIO(data))


def _wrap(estimator: Any, path: Path, description: Mapping[str, Any] | None) -> SklearnModel:
    from sklearn.base import is_classifier, is_regressor

    if not hasattr(estimator, "predict"):
        raise errors.ModelLoadingError(
            f"'{path}' holds a {type(estimator).__name__}, which cannot predict",
            solution="Give the file of a classifier, a regressor or a pipeline that ends in one.",
            metadata={"path": str(path), "found": type(estimator).__name__},
        )
    if not is_classifier(estimator) and not is_regressor(estimator):
        raise errors.ModelLoadingError(
            f"'{path}' holds a {type(estimator).__name__}, neither a classifier nor a regressor",
            solution="Give the file of a classifier, a regressor or a pipeline that ends in one.",
            metadata={"path": str(path), "found": type(estimator).__name__},
        )
    task = CLASSIFICATION if is_classifier(estimator) else REGRESSION
    classes: list[Any] | None = None
    if task == CLASSIFICATION:
        described = (description or {}).get("classes")
        if described is None and not hasattr(estimator, "classes_"):
            raise errors.ModelLoadingError(
                f"'{path}' holds a {type(estimator).__name__} that was never fitted",
                solution="Train it first.",
                metadata={"path": str(path), "found": type(estimator).__name__},
            )
        classes = list(described) if described is not None else estimator.classes_.tolist()
    last = last_step(estimator)
    return SklearnModel(
        estimator,
        algorithm=type(last).__name__,
        task=task,
        classes=classes,
        encoded=bool((description or {}).get("encoded", False)),
    )
