"""Arguments of PyTorch's own classes, checked against their constructors before one is called."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from ml_runner import errors, unknown_name

T = TypeVar("T")

_SEQUENCES = {"list", "tuple", "Iterable", "Sequence", "List", "Tuple", "Tensor"}
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "sequence": "a list",
}


def plain(name: str) -> str:
    """A name without case, punctuation and package: ``torch.optim.AdamW`` and ``adam_w`` agree."""
    return re.sub(r"[^a-z0-9]", "", name.rpartition(".")[2].lower())


def resolve(sent: str, known: Mapping[str, T], *, key: str, what: str, package: str) -> T:
    """What ``sent`` means among ``known``: by its name, by another writing of it.

    Args:
        sent: the caller's word; a dotted name must begin with ``package`` (or a tail of it).
        known: name → meaning; the names are those listed and suggested.
        key: the config key, for the error.
        what: what is named, with its article (``an optimizer``).
        package: where the library keeps them (``torch.optim``).

    Raises:
        InvalidConfiguration: there is none; says the nearest.
    """
    module, _, _ = sent.rpartition(".")
    by_plain = {plain(name): meaning for name, meaning in known.items()}
    if (not module or f".{package}".endswith(f".{module}")) and plain(sent) in by_plain:
        return by_plain[plain(sent)]
    raise unknown_name.refusal(
        f"'{sent}' is not {what} of PyTorch",
        f"There are: {', '.join(known)}.",
        key=key,
        sent=sent,
        name=sent.rpartition(".")[2],
        known=known,
        allowed=known,
    )


def accepted(cls: type, *, without: Collection[str] = ()) -> dict[str, inspect.Parameter]:
    """The constructor's parameters by name, in order, but for those in ``without``."""
    return {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in without
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def check(
    cls: type,
    sent: Mapping[str, Any],
    *,
    key: str,
    without: Mapping[str, str],
) -> dict[str, Any]:
    """``sent`` as the constructor takes it: lists as tuples where it wants those, and so on.

    Args:
        cls: the class.
        sent: name → value from JSON.
        key: where they stand in the call (``config.optimizerArgs``).
        without: parameters that a call does not set here → why, as the end of a sentence.

    Raises:
        InvalidConfiguration: a parameter that it does not have, or that is not the caller's to set,
            or a value of another type.
    """
    parameters = accepted(cls, without=without)
    checked: dict[str, Any] = {}
    for name, value in sent.items():
        if name in without:
            raise errors.InvalidConfiguration(
                f"{key}.{name} cannot be set: {without[name]}",
                solution=f"Leave it out. {cls.__name__} takes here: {', '.join(parameters)}.",
                metadata={"key": f"{key}.{name}", "sent": value, "allowed": list(parameters)},
            )
        if name not in parameters:
            raise _unknown(cls, name, value, list(parameters), key)
        checked[name] = _value(cls, parameters[name], value, f"{key}.{name}")
    return checked


def require(cls: type, values: Mapping[str, Any], *, key: str, without: Collection[str]) -> None:
    """Raises ``InvalidConfiguration`` where the constructor needs more than ``values``."""
    missing = [
        name
        for name, parameter in accepted(cls, without=without).items()
        if parameter.default is parameter.empty and name not in values
    ]
    if missing:
        raise errors.InvalidConfiguration(
            f"{cls.__name__} needs {', '.join(missing)}",
            solution=f"Send {' and '.join(f'{key}.{name}' for name in missing)}.",
            metadata={"key": f"{key}.{missing[0]}", "missing": missing},
        )


def construct(
    make: Callable[[], T], name: str, sent: Mapping[str, Any], *, key: str, known: Iterable[str]
) -> T:
    """Calls a constructor; what the library refuses becomes ``InvalidConfiguration``.

    Args:
        make: calls it.
        name: the class's name, for the message.
        sent: what the caller sent for it.
        key: where that stands in the call.
        known: its parameters, to find the one that the library's message names.
    """
    try:
        return make()
    except (ValueError, TypeError, RuntimeError, KeyError, ZeroDivisionError) as error:
        said = " ".join(str(error).split())
        culprit = next(
            (p for p in sorted(known, key=len, reverse=True) if re.search(rf"\b{p}\b", said)), None
        )
        place = f"{key}.{culprit}" if culprit in sent else key
        raise errors.InvalidConfiguration(
            f"{name} refuses its arguments: {said}",
            solution=f"Correct {place}.",
            metadata={"key": place, "sent": sent.get(culprit or "", dict(sent))},
        ) from error


def same_or_refused(config: Mapping[str, Any], short: str, key: str, name: str) -> Any:
    """The value that may stand in ``config[short]`` or as ``name`` within ``config[key]``.

    Returns:
        It, or None where it stands in neither.

    Raises:
        InvalidConfiguration: it stands in both, and they differ.
    """
    outer, inner = config.get(short), (config.get(key) or {}).get(name)
    if outer is not None and inner is not None and outer != inner:
        raise errors.InvalidConfiguration(
            f"config.{short} is {outer} and config.{key}.{name} is {inner}, and both mean the same",
            solution=f"Send only config.{short}.",
            metadata={"key": f"config.{short}", "sent": outer, "other": {f"{key}.{name}": inner}},
        )
    return inner if outer is None else outer


# -- types -----------------------------------------------------------------------------------------


def _unknown(
    cls: type, name: str, value: Any, known: list[str], key: str
) -> errors.InvalidConfiguration:
    return unknown_name.refusal(
        f"{cls.__name__} has no argument '{name}'",
        f"It has: {', '.join(known)}.",
        key=f"{key}.{name}",
        sent=value,
        name=name,
        known=known,
        allowed=known,
    )


def _value(cls: type, parameter: inspect.Parameter, value: Any, key: str) -> Any:
    kinds, literals = _kinds(parameter)
    if literals and value not in literals:
        raise _wrong(cls, key, value, f"one of {', '.join(map(repr, literals))}", list(literals))
    if literals or not kinds or (value is None and "None" in kinds):
        return value
    if isinstance(value, bool):
        fits = "bool" in kinds
    elif isinstance(value, int):
        fits = bool(kinds & {"int", "float"})
        value = float(value) if "int" not in kinds and fits else value
    elif isinstance(value, float):
        # 5.0 is how some programs write the whole number 5.
        fits = "float" in kinds or ("int" in kinds and value.is_integer())
        value = int(value) if "float" not in kinds and fits else value
    elif isinstance(value, str):
        fits = "str" in kinds
    elif isinstance(value, list):
        fits = "sequence" in kinds
        if isinstance(parameter.default, tuple):
            fits = fits and len(value) == len(parameter.default)
            value = tuple(value)
        fits = fits and all(
            item is None or (isinstance(item, (int, float)) and not isinstance(item, bool))
            for item in value
        )
    else:
        fits = False
    if not fits:
        words = [_WORDS[kind] for kind in _WORDS if kind in kinds and kind != "sequence"]
        if "sequence" in kinds:
            size = len(parameter.default) if isinstance(parameter.default, tuple) else None
            words.append(f"a list of {size} numbers" if size else "a list of numbers")
        raise _wrong(cls, key, value, " or ".join(words), [*kinds])
    return value


def _wrong(
    cls: type, key: str, value: Any, wanted: str, allowed: list[Any]
) -> errors.InvalidConfiguration:
    sent = list(value) if isinstance(value, tuple) else value
    return errors.InvalidConfiguration(
        f"{key} of {cls.__name__} must be {wanted}, not {sent!r}",
        solution=f"Send {wanted}.",
        metadata={"key": key, "sent": sent, "allowed": sorted(map(str, allowed))},
    )


def _kinds(parameter: inspect.Parameter) -> tuple[set[str], tuple[Any, ...]]:
    """What a parameter takes: names of kinds (none: not known), and the values of a ``Literal``."""
    annotation = parameter.annotation
    kinds: set[str] = set()
    literals: tuple[Any, ...] = ()
    if annotation is not parameter.empty:
        text = annotation if isinstance(annotation, str) else None
        if text is None:
            text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
            text = str(annotation) if "[" in str(annotation) else text
        try:
            kinds, literals = _of_expression(ast.parse(text, mode="eval").body)
        except SyntaxError:
            kinds, literals = set(), ()
    default = parameter.default
    if not kinds and not literals and default is not parameter.empty and default is not None:
        kinds = {"sequence" if isinstance(default, (tuple, list)) else type(default).__name__}
        if kinds <= {"int"}:
            kinds = {"int", "float"}  # a default of 0 says little
    return kinds & {*_WORDS, "None"}, literals


def _of_expression(node: ast.expr) -> tuple[set[str], tuple[Any, ...]]:
    if isinstance(node, ast.BinOp):
        left, right = _of_expression(node.left), _of_expression(node.right)
        return left[0] | right[0], left[1] + right[1]
    if isinstance(node, ast.Constant):
        return {"None"} if node.value is None else set(), ()
    if isinstance(node, ast.Subscript):
        base = _last(node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if base == "Literal":
            return set(), tuple(ast.literal_eval(item) for item in inner)
        if base in ("Union", "Optional"):
            parts = [_of_expression(item) for item in inner]
            kinds = {"None"} if base == "Optional" else set[str]()
            kinds = kinds.union(*(part[0] for part in parts))
            return kinds, tuple(value for part in parts for value in part[1])
        return {"sequence"} if base in _SEQUENCES else set(), ()
    name = _last(node)
    if name == "NoneType":
        return {"None"}, ()
    return {"sequence" if name in _SEQUENCES else name}, ()


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
