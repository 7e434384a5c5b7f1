"""Building an estimator from JSON, its parameters checked before any data is read."""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import Any

from ml_runner import errors
from ml_runner.frameworks.base import Estimator
from ml_runner.frameworks.sklearn.estimators import resolve
from ml_runner.nearest import nearest


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
