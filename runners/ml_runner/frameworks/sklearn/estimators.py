"""Finding an estimator by its class name, and building it from JSON."""

from __future__ import annotations

import importlib
import inspect
from functools import lru_cache
from numbers import Integral
from typing import Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor

from ml_runner import errors, frameworks
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION, Estimator
from ml_runner.nearest import nearest
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

# They take columns of pandas' category type as they are.
_WITH_CATEGORIES = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")


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
                accepts_categories=found.__name__ in _WITH_CATEGORIES,
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
    near = nearest(name.rpartition(".")[2], known)
    hint = f"Did you mean '{near}'? " if near else ""
    raise errors.InvalidConfiguration(
        f"'{name}' is not an estimator of scikit-learn, nor of a library that works like it",
        solution=hint + "Send the class name of a classifier or regressor, such as"
        " RandomForestClassifier or Ridge, or its dotted name within its package.",
        metadata={"key": key, "sent": name, **({"nearest": near} if near else {})},
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
        solution="Name a classifier or a regressor."
        + (" The action preprocess applies transformers." if "transformer" in kind else ""),
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


def build(
    found: Estimator, parameters: dict[str, Any], *, key: str = "config.hyperparameters"
) -> Any:
    """An unfitted estimator with these parameters, values checked by the library itself.

    Where a parameter is an estimator, JSON has ``{"algorithm": NAME, "hyperparameters": {…}}``;
    a list of named ones is ``[[name, {"algorithm": …}], …]``.

    Raises:
        InvalidConfiguration: a parameter that it does not have, or a value that it refuses.
    """
    name = found.cls.__name__
    signature = inspect.signature(found.cls).parameters
    missing = [
        parameter.name
        for parameter in signature.values()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and parameter.name not in parameters
    ]
    if missing:
        raise errors.InvalidConfiguration(
            f"{name} needs {', '.join(missing)}",
            solution=f"Send {key}.{missing[0]}; an estimator is written as"
            ' {"algorithm": NAME, "hyperparameters": {…}}.',
            metadata={"key": f"{key}.{missing[0]}", "missing": missing},
        )
    values = {
        parameter: _from_json(value, f"{key}.{parameter}")
        for parameter, value in parameters.items()
    }
    own = {parameter: value for parameter, value in values.items() if "__" not in parameter}
    nested = {parameter: value for parameter, value in values.items() if "__" in parameter}
    names = sorted(_parameter_names(found.cls))
    for parameter in own:
        if parameter not in names and parameter not in found.parameters:
            raise _unknown(name, parameter, parameters[parameter], names, key)
    estimator = found.cls(**own)
    for parameter, value in nested.items():
        if parameter not in estimator.get_params(deep=True):
            raise _unknown(name, parameter, value, sorted(estimator.get_params(deep=True)), key)
        estimator.set_params(**{parameter: value})
    _check_values(estimator, parameters, key)
    found.check_values(own)
    return estimator


def _from_json(value: Any, key: str) -> Any:
    if isinstance(value, dict) and isinstance(value.get("algorithm"), str):
        extra = set(value) - {"algorithm", "hyperparameters"}
        if extra:
            raise errors.InvalidConfiguration(
                f"{key} has the unknown key '{sorted(extra)[0]}'",
                solution='An estimator is {"algorithm": NAME, "hyperparameters": {…}}.',
                metadata={"key": key, "allowed": ["algorithm", "hyperparameters"]},
            )
        inner = resolve(value["algorithm"], key=f"{key}.algorithm")
        return build(inner, value.get("hyperparameters") or {}, key=f"{key}.hyperparameters")
    if isinstance(value, list) and value and all(_is_named_estimator(item) for item in value):
        return [
            (name, _from_json(inner, f"{key}[{position}]"))
            for position, (name, inner) in enumerate(value)
        ]
    return value


def _is_named_estimator(item: Any) -> bool:
    return (
        isinstance(item, list)
        and len(item) == 2
        and isinstance(item[0], str)
        and isinstance(item[1], dict)
        and "algorithm" in item[1]
    )


def _parameter_names(cls: Any) -> list[str]:
    return list(cls._get_param_names()) if not _has_kwargs(cls) else list(cls().get_params())


def _has_kwargs(cls: type) -> bool:
    parameters = inspect.signature(cls).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _unknown(
    name: str, parameter: str, sent: Any, known: list[str], key: str
) -> errors.InvalidConfiguration:
    near = nearest(parameter, known)
    return errors.InvalidConfiguration(
        f"{name} has no hyperparameter '{parameter}'",
        solution=f"Did you mean '{near}'? It has: {', '.join(known)}."
        if near and len(known) < 30
        else f"Did you mean '{near}'? All that it has are in metadata.allowed."
        if near
        else f"It has: {', '.join(known)}.",
        metadata={
            "key": f"{key}.{parameter}",
            "sent": sent,
            "allowed": known,
            **({"nearest": near} if near else {}),
        },
    )


def _check_values(estimator: Any, sent: dict[str, Any], key: str) -> None:
    """Lets scikit-learn judge the values before any data is read (it does so again in ``fit``)."""
    if not hasattr(estimator, "_parameter_constraints"):
        return  # not one of scikit-learn's own
    validate = estimator._validate_params
    try:
        validate()
        return
    except ValueError as error:
        first = error
    # JSON has no tuples: where a list is refused, the tuple may be what is wanted.
    lists = {name: tuple(value) for name, value in sent.items() if isinstance(value, list)}
    if lists:
        before = {name: estimator.get_params(deep=False).get(name) for name in lists}
        estimator.set_params(**lists)
        try:
            validate()
            return
        except ValueError:
            estimator.set_params(**before)
    culprit = next((name for name in sent if f"'{name}' parameter" in str(first)), None)
    raise errors.InvalidConfiguration(
        str(first),
        solution=f"Correct {key}.{culprit}." if culprit else f"Correct {key}.",
        metadata={"key": f"{key}.{culprit}" if culprit else key, "sent": sent.get(culprit or "")},
    ) from first


def ambiguous_ones(estimator: Any, sent: dict[str, Any]) -> list[str]:
    """Parameters sent as the integer 1 where 1.0 would mean "all of them".

    A JavaScript program cannot write 1.0: JSON.stringify makes it 1.
    """
    constraints = getattr(estimator, "_parameter_constraints", {})
    found = []
    for name, value in sent.items():
        allowed = constraints.get(name)
        if value != 1 or not isinstance(value, int) or isinstance(value, bool):
            continue
        if not isinstance(allowed, list):
            continue
        whole = any(getattr(c, "type", None) is Integral for c in allowed)
        share = any(
            getattr(c, "type", None) is not Integral and getattr(c, "right", None) == 1.0
            for c in allowed
        )
        if whole and share:
            found.append(name)
    return found
