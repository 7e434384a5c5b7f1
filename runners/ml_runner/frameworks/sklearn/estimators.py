"""Finding an estimator by its class name."""

from __future__ import annotations

import importlib
import inspect
from functools import lru_cache
from typing import Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor

from ml_runner import errors, frameworks, unknown_name
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION, Estimator
from ml_runner.frameworks.sklearn import ADAPTER
from ml_runner.scripts import Script

# Where scikit-learn keeps what predicts; the first ones are the usual ones.
_MODULES = (
    "ensemble",
    "linear_model",
    "tree",
    "svm",
    "neighbors",
    "naive_bayes",
    "neural_network",
    "dummy",
    "discriminant_analysis",
    "gaussian_process",
    "kernel_ridge",
    "calibration",
    "multiclass",
    "multioutput",
    "semi_supervised",
    "isotonic",
    "cross_decomposition",
    "compose",
    "model_selection",
    "pipeline",
    "cluster",
    "covariance",
    "decomposition",
    "preprocessing",
    "feature_selection",
    "mixture",
    "manifold",
)


@lru_cache(maxsize=256)
def find(name: str) -> Estimator | None:
    """The estimator class of scikit-learn with that class name or dotted name, or None.

    Nothing outside the package ``sklearn`` is ever imported.
    """
    module, _, class_name = name.rpartition(".")
    if not class_name.isidentifier():
        return None
    if not module:
        modules = [f"sklearn.{part}" for part in _MODULES]
    elif module == "sklearn" or module.startswith("sklearn."):
        modules = [module]
    else:
        return None
    for candidate in modules:
        try:
            found = getattr(importlib.import_module(candidate), class_name, None)
        except ImportError:
            continue
        if (
            inspect.isclass(found)
            and issubclass(found, BaseEstimator)
            and found.__module__.startswith("sklearn.")
            and not inspect.isabstract(found)
        ):
            return Estimator(
                cls=found,
                framework="sklearn",
                accepts_categories=found.__name__ in ADAPTER.taking_categories,
            )
    return None


@lru_cache(maxsize=1)
def names() -> list[str]:
    """The class names of all classifiers and regressors of scikit-learn, sorted."""
    found = set()
    for part in _MODULES:
        module = importlib.import_module(f"sklearn.{part}")
        for name in getattr(module, "__all__", None) or dir(module):
            try:
                member = getattr(module, name, None)
            except ImportError:  # an experimental one that nobody enabled
                continue
            if (
                not name.startswith("_")
                and inspect.isclass(member)
                and issubclass(member, BaseEstimator)
                and hasattr(member, "predict")
                and _kind_of_class(member) is not None
            ):
                found.add(name)
    return sorted(found)


def _kind_of_class(cls: type) -> str | None:
    from sklearn.base import ClassifierMixin, RegressorMixin

    if issubclass(cls, ClassifierMixin):
        return CLASSIFICATION
    return REGRESSION if issubclass(cls, RegressorMixin) else None


def resolve(name: str, *, key: str = "config.algorithm") -> Estimator:
    """The estimator that ``name`` means, in scikit-learn or another framework.

    Raises:
        InvalidConfiguration: there is none; says the nearest.
        FrameworkNotFound: the framework that has it is not installed.
    """
    found = frameworks.estimator_class(name)
    if found is not None:
        return found
    known = sorted(
        {known for adapter in frameworks.all_adapters() for known in adapter.algorithms()}
    )
    raise unknown_name.refusal(
        f"'{name}' is not an estimator of scikit-learn, nor of a library that works like it",
        "Send the class name of a classifier or regressor, such as RandomForestClassifier or Ridge,"
        " or its dotted name within its package.",
        key=key,
        sent=name,
        name=name.rpartition(".")[2],
        known=known,
    )


def of_script(script: Script, config: dict[str, Any]) -> tuple[Estimator, Any]:
    """The estimator that the caller's own script makes, and what is known of its class.

    Raises:
        ModelLoadingError: nothing in it makes one.
        InvalidConfiguration: ``modelArgs`` do not fit.
    """
    maker = script.choose(
        config.get("modelClass"),
        is_candidate=lambda found: inspect.isclass(found) and hasattr(found, "fit"),
        kind="an estimator class",
    )
    estimator = script.call(maker, config.get("modelArgs") or {}, fill={}, config=config)
    lacking = [name for name in ("fit", "predict", "get_params") if not hasattr(estimator, name)]
    if lacking:
        raise errors.ModelLoadingError(
            f"{maker.__name__} of '{script.shown}' gives a {type(estimator).__name__}, which has no"
            f" {', '.join(lacking)}",
            solution="Let it give an estimator: a class that inherits from sklearn.base's"
            " ClassifierMixin or RegressorMixin, and BaseEstimator; or a pipeline.",
            metadata={"key": "config.modelClass", "found": type(estimator).__name__},
        )
    # Whatever columns it is written for, it takes; what it does not, it says itself.
    found = Estimator(
        cls=type(estimator), framework="sklearn", accepts_strings=True, accepts_categories=True
    )
    return found, estimator


def task_of(estimator: Any, name: str) -> str:
    """``classification`` or ``regression``.

    Raises:
        InvalidConfiguration: it is neither (a clusterer, an outlier detector, a transformer).
    """
    if is_classifier(estimator):
        return CLASSIFICATION
    if is_regressor(estimator):
        return REGRESSION
    kind = _other_kind(estimator)
    raise errors.InvalidConfiguration(
        f"{name} is {kind}: it learns no target, so train cannot fit and measure it",
        solution="Name a classifier or a regressor.",
        metadata={"key": "config.algorithm", "sent": name},
    )


def _other_kind(estimator: Any) -> str:
    kind = getattr(estimator, "_estimator_type", None)
    if kind is None:
        try:
            from sklearn.utils import get_tags

            kind = get_tags(estimator).estimator_type
        except (ImportError, AttributeError):
            kind = None
    if kind in ("clusterer", "outlier_detector", "density_estimator"):
        return {"clusterer": "a clusterer", "outlier_detector": "an outlier detector"}.get(
            kind, "a density estimator"
        )
    return "a transformer" if hasattr(estimator, "transform") else "neither of the two"
