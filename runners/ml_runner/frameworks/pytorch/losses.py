"""Losses by name: every one of ``torch.nn`` that learns from outputs and targets alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch import arguments
from ml_runner.frameworks.pytorch.loss import (
    BY_CLASS,
    EXP,
    ONE_FOR_ONE,
    SCORES,
    SIGMOID,
    SOFTMAX,
    Kind,
    Loss,
)
from ml_runner.frameworks.pytorch.targets import (
    CLASSES,
    MULTILABEL,
    NUMBERS,
    Target,
    class_weights,
)

Default = Callable[[str, Any], None]

_BINARY = (CLASSES, MULTILABEL, NUMBERS)
KINDS: dict[str, Kind] = {
    "CrossEntropyLoss": Kind((CLASSES,), BY_CLASS, SOFTMAX, weights="weight"),
    "NLLLoss": Kind((CLASSES,), BY_CLASS, EXP, weights="weight"),
    "MultiMarginLoss": Kind((CLASSES,), BY_CLASS, SCORES, weights="weight"),
    "BCEWithLogitsLoss": Kind(_BINARY, ONE_FOR_ONE, SIGMOID, weights="pos_weight"),
    "BCELoss": Kind(_BINARY, ONE_FOR_ONE),
    "SoftMarginLoss": Kind((CLASSES, MULTILABEL), ONE_FOR_ONE, SIGMOID, signs=True),
    "MultiLabelSoftMarginLoss": Kind((MULTILABEL,), ONE_FOR_ONE, SIGMOID, weights="weight"),
    "MultiLabelMarginLoss": Kind((MULTILABEL,), ONE_FOR_ONE, SCORES, positions=True),
    "MSELoss": Kind((NUMBERS,), ONE_FOR_ONE),
    "L1Loss": Kind((NUMBERS,), ONE_FOR_ONE),
    "SmoothL1Loss": Kind((NUMBERS,), ONE_FOR_ONE),
    "HuberLoss": Kind((NUMBERS,), ONE_FOR_ONE),
    "PoissonNLLLoss": Kind((NUMBERS,), ONE_FOR_ONE, EXP),
    "KLDivLoss": Kind((NUMBERS,), ONE_FOR_ONE, EXP),
}
REFUSED: dict[str, str] = {
    "CTCLoss": "it needs the lengths of inputs and targets",
    "CosineEmbeddingLoss": "it compares two embeddings",
    "TripletMarginLoss": "it compares three embeddings",
    "TripletMarginWithDistanceLoss": "it compares three embeddings",
    "MarginRankingLoss": "it compares the scores of two inputs",
    "HingeEmbeddingLoss": "it takes the distance of two embeddings, not a prediction",
    "GaussianNLLLoss": "it needs a variance beside each prediction",
    "AdaptiveLogSoftmaxWithLoss": "it is a layer with parameters of its own: make it part of the"
    " model",
    "LinearCrossEntropyLoss": "it is a layer with parameters of its own: make it part of the model",
}
_ALIASES = {
    "ce": "CrossEntropyLoss",
    "categorical_cross_entropy": "CrossEntropyLoss",
    "sparse_categorical_cross_entropy": "CrossEntropyLoss",
    "negative_log_likelihood": "NLLLoss",
    "hinge": "MultiMarginLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "mean_squared_error": "MSELoss",
    "l2": "MSELoss",
    "mae": "L1Loss",
    "mean_absolute_error": "L1Loss",
    "kl": "KLDivLoss",
    "kl_divergence": "KLDivLoss",
    "poisson": "PoissonNLLLoss",
    "triplet": "TripletMarginLoss",
    "NLLLoss2d": "NLLLoss",
}
_BY_DEFAULT = {CLASSES: "cross_entropy", NUMBERS: "mse", MULTILABEL: "bce_with_logits"}
_NOT_SET_HERE = {
    "size_average": "it is deprecated, and the mean over the batch is taken",
    "reduce": "it is deprecated, and the mean over the batch is taken",
    "reduction": "the mean over the batch is taken",
}
_OWN_HOOK = "Use another loss, or give the script a function loss(outputs, targets)."


@lru_cache(maxsize=1)
def known() -> dict[str, type[nn.Module]]:
    """Class name → class, of every loss that this version of PyTorch has."""
    return {
        name: found
        for name, found in sorted(vars(nn).items())
        if inspect.isclass(found)
        and issubclass(found, nn.Module)
        and name.endswith("Loss")
        and name != "NLLLoss2d"
    }


def takes(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The kinds of target that ``lossFunction`` can learn; None where the call names none.

    What the data hold decides among several.

    Raises:
        InvalidConfiguration: there is no such loss, or it cannot be used.
    """
    sent = config.get("lossFunction")
    return None if sent is None else KINDS[_class_of(sent).__name__].takes


def build(config: Mapping[str, Any], target: Target, default: Default) -> Loss:
    """The loss that the call asks for.

    Reads ``lossFunction`` (cross entropy for classes, mean squared error for numbers, binary cross
    entropy of logits for several labels, where left out), ``lossArgs`` (by the library's own
    names), ``classWeights`` and ``labelSmoothing``.

    Args:
        config: the call's config.
        target: what is learned.
        default: is told of each default used, ``(key, value)``.

    Raises:
        InvalidConfiguration: a name or an argument that it does not have, or one that does not go
            with the target.
    """
    sent = config.get("lossFunction")
    if sent is None:
        sent = _BY_DEFAULT[target.kind]
        default("lossFunction", sent)
    cls = _class_of(sent)
    kind = KINDS[cls.__name__]
    _check_target(sent, kind, target)
    values = _values(cls, config, target)
    if config.get("classWeights") is not None:
        values[kind.weights or ""] = _weights(config, cls, kind, target, values)
    made = arguments.construct(
        lambda: cls(**{name: _tensor(value) for name, value in values.items()}),
        cls.__name__,
        values,
        key="config.lossArgs",
        known=arguments.accepted(cls),
    )
    return Loss(cls.__name__, made, kind, target)


def of_script(
    function: Callable[[Any, Any], torch.Tensor], config: Mapping[str, Any], target: Target
) -> Loss:
    """The script's own ``loss(outputs, targets)``, which gets both as they are.

    Raises:
        InvalidConfiguration: the call asks for another loss, or for changes to one.
    """
    for key in ("lossFunction", "lossArgs", "classWeights", "labelSmoothing"):
        if config.get(key) is not None:
            raise errors.InvalidConfiguration(
                f"config.{key} is given, and the script brings a loss of its own:"
                " loss(outputs, targets)",
                solution=f"Leave config.{key} out, or rename the script's function.",
                metadata={"key": f"config.{key}", "sent": config[key]},
            )
    return Loss("loss", function, None, target)


def _class_of(sent: str) -> type[nn.Module]:
    classes = known()
    writings: dict[str, type[nn.Module]] = dict(classes)
    for name, cls in classes.items():
        writings.setdefault(name.removesuffix("Loss"), cls)
    writings.update({alias: classes[name] for alias, name in _ALIASES.items()})
    # cross_entropy, CrossEntropyLoss, nn.CrossEntropyLoss, F.cross_entropy, mse_loss.
    name = sent.removeprefix("torch.nn.").removeprefix("nn.")
    name = name.removeprefix("functional.").removeprefix("F.")
    key = "config.lossFunction"
    usable = list(KINDS)
    try:
        cls = arguments.resolve(name, writings, key=key, what="a loss", package="torch.nn")
    except errors.InvalidConfiguration as error:
        near = error.metadata.get("nearest")
        error.message = f"'{sent}' is not a loss of PyTorch"
        error.solution = (f"Did you mean '{near}'? " if near else "") + (
            f"There are: {', '.join(usable)}. Or give the script a loss(outputs, targets)."
        )
        error.metadata.update(sent=sent, allowed=usable)
        raise
    if cls.__name__ not in KINDS:
        why = REFUSED.get(cls.__name__, "what targets it takes is not known here")
        raise errors.InvalidConfiguration(
            f"{cls.__name__} cannot be used by name: {why}",
            solution=_OWN_HOOK,
            metadata={"key": key, "sent": sent, "allowed": usable},
        )
    return cls


def _check_target(sent: str, kind: Kind, target: Target) -> None:
    fitting = [name for name, other in KINDS.items() if target.kind in other.takes]
    if target.kind not in kind.takes:
        wanted = {CLASSES: "classes", NUMBERS: "numbers", MULTILABEL: "several labels a row"}
        raise errors.InvalidConfiguration(
            f"lossFunction '{sent}' learns {' or '.join(wanted[k] for k in kind.takes)}, and the"
            f" target holds {target.words()}",
            solution=f"For such a target there are: {', '.join(fitting)}.",
            metadata={"key": "config.lossFunction", "sent": sent, "allowed": fitting},
        )
    one_output = target.kind == CLASSES and kind.compares == ONE_FOR_ONE
    if one_output and target.classes is not None and len(target.classes) != 2:
        raise errors.InvalidConfiguration(
            f"lossFunction '{sent}' tells two classes apart, and the target has"
            f" {len(target.classes)}",
            solution="Use cross_entropy.",
            metadata={
                "key": "config.lossFunction",
                "sent": sent,
                "allowed": [name for name in fitting if KINDS[name].compares == BY_CLASS],
            },
        )


def _values(cls: type[nn.Module], config: Mapping[str, Any], target: Target) -> dict[str, Any]:
    key = "config.lossArgs"
    sent = dict(config.get("lossArgs") or {})
    reductions = ("mean", "batchmean") if cls is nn.KLDivLoss else ("mean",)
    reduction = sent.pop("reduction") if sent.get("reduction") in reductions else None
    values = arguments.check(cls, sent, key=key, without=_NOT_SET_HERE)
    if reduction is not None:
        values["reduction"] = reduction
    for name in ("weight", "pos_weight"):
        weights = values.get(name)
        if weights is not None and target.classes is not None:
            of_one = target.kind == CLASSES and KINDS[cls.__name__].compares == ONE_FOR_ONE
            wanted = 1 if of_one else len(target.classes)
            if len(weights) != wanted:
                raise errors.InvalidConfiguration(
                    f"{key}.{name} has {len(weights)} numbers, and the target needs {wanted}",
                    solution=f"Send {wanted}, or classWeights by label.",
                    metadata={"key": f"{key}.{name}", "sent": weights, "allowed": wanted},
                )
    smoothing = arguments.same_or_refused(config, "labelSmoothing", "lossArgs", "label_smoothing")
    if smoothing is not None:
        if "label_smoothing" not in arguments.accepted(cls):
            raise errors.InvalidConfiguration(
                f"{cls.__name__} has no labelSmoothing",
                solution="Leave it out, or use cross_entropy.",
                metadata={
                    "key": "config.labelSmoothing", "sent": smoothing, "allowed": ["cross_entropy"]
                },
            )  # fmt: skip
        values["label_smoothing"] = smoothing
    return values


def _weights(
    config: Mapping[str, Any],
    cls: type[nn.Module],
    kind: Kind,
    target: Target,
    values: Mapping[str, Any],
) -> list[float]:
    key, wanted = "config.classWeights", config["classWeights"]
    if target.kind == NUMBERS:
        return class_weights(wanted, target)  # says that there are no classes
    if kind.weights is None:
        takers = [name for name, other in KINDS.items() if other.weights]
        raise errors.InvalidConfiguration(
            f"{cls.__name__} takes no class weights",
            solution=f"Leave classWeights out, or use one of: {', '.join(takers)}.",
            metadata={"key": key, "sent": wanted, "takenBy": takers},
        )
    if values.get(kind.weights) is not None:
        raise errors.InvalidConfiguration(
            f"config.classWeights and config.lossArgs.{kind.weights} both weigh the classes",
            solution="Send one of them.",
            metadata={"key": key, "sent": wanted},
        )
    weights = class_weights(wanted, target)
    if kind.weights == "pos_weight" and target.kind == CLASSES:
        if weights[0] == 0:
            raise errors.InvalidConfiguration(
                f"{cls.__name__} weighs the second class against the first, whose weight is 0",
                solution="Use cross_entropy, or a weight above 0.",
                metadata={"key": key, "sent": wanted},
            )
        return [weights[1] / weights[0]]
    return weights


def _tensor(value: Any) -> Any:
    # The only lists that a loss takes are weights.
    return (
        torch.tensor(value, dtype=torch.get_default_dtype()) if isinstance(value, list) else value
    )
