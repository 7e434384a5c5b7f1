"""Scikit-learn's scorers and metric functions, by name."""

from __future__ import annotations

import inspect
from typing import Any

from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.training.metrics import Metric, Outputs, Truth, camel, class_scores

# Functions of sklearn.metrics that take (y_true, y_pred) or (y_true, y_score) and give a number.
_OF_LABELS = (
    "accuracy_score",
    "balanced_accuracy_score",
    "cohen_kappa_score",
    "f1_score",
    "hamming_loss",
    "jaccard_score",
    "matthews_corrcoef",
    "precision_score",
    "recall_score",
    "zero_one_loss",
)
_OF_SCORES = (
    "average_precision_score",
    "brier_score_loss",
    "d2_log_loss_score",
    "log_loss",
    "roc_auc_score",
    "top_k_accuracy_score",
)
_OF_NUMBERS = (
    "d2_absolute_error_score",
    "explained_variance_score",
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_gamma_deviance",
    "mean_poisson_deviance",
    "mean_squared_error",
    "mean_squared_log_error",
    "median_absolute_error",
    "r2_score",
    "root_mean_squared_error",
    "root_mean_squared_log_error",
)


def names() -> list[str]:
    """All names that ``find`` knows."""
    from sklearn.metrics import get_scorer_names

    every = {*get_scorer_names(), *_OF_LABELS, *_OF_SCORES, *_OF_NUMBERS}
    return sorted(name for name in every if find(name) is not None)


def find(name: str) -> Metric | None:
    """The scorer of that name, or else the metric function; None where there is neither."""
    import sklearn.metrics

    if name.endswith("_samples"):
        return None  # for rows with several labels each
    if name in sklearn.metrics.get_scorer_names():
        return _from_scorer(name, sklearn.metrics.get_scorer(name))
    function = getattr(sklearn.metrics, name, None)
    if function is None:
        return None
    if name in _OF_LABELS:
        return _metric(name, function, 1, "predict", {}, CLASSIFICATION)
    if name in _OF_SCORES:
        return _metric(name, function, 1, "predict_proba", {}, CLASSIFICATION)
    if name in _OF_NUMBERS:
        return _metric(name, function, 1, "predict", {}, REGRESSION)
    return None


def _from_scorer(name: str, scorer: Any) -> Metric | None:
    response = scorer._response_method
    first = response if isinstance(response, str) else response[0]
    function = scorer._score_func
    if "labels_true" in inspect.signature(function).parameters:
        return None  # compares clusterings
    task = REGRESSION if function.__name__ in _OF_NUMBERS else CLASSIFICATION
    return _metric(name, function, scorer._sign, first, dict(scorer._kwargs), task)


def _metric(
    name: str, function: Any, sign: int, response: str, options: dict[str, Any], task: str
) -> Metric:
    parameters = inspect.signature(function).parameters

    def compute(truth: Truth, outputs: Outputs) -> float:
        extra = dict(options)
        classes = list(truth.classes or ())
        if truth.weight is not None and "sample_weight" in parameters:
            extra["sample_weight"] = truth.weight
        if response == "predict":
            answer = outputs.predictions
            if "average" in parameters and "average" not in extra:
                extra["average"] = truth.average
            binary = extra.get("average", "binary") == "binary"
            if "pos_label" in parameters and classes and binary:
                extra.setdefault("pos_label", classes[-1])
        else:
            answer = class_scores(truth, outputs)
            if answer is None:
                return float("nan")
            target = truth.target
            if len(classes) == 2:
                answer = answer[:, 1]
                if "pos_label" in parameters:
                    extra.setdefault("pos_label", classes[1])
                else:
                    target = (target == classes[1]).astype(int)
                return sign * float(function(target, answer, **extra))
            if "labels" in parameters:
                extra.setdefault("labels", classes)
            if "multi_class" in parameters and extra.get("multi_class", "raise") == "raise":
                extra["multi_class"] = "ovr"
        return sign * float(function(truth.target, answer, **extra))

    key = camel(name)
    return Metric(
        name,
        key,
        key[0].upper() + key[1:],
        compute,
        task,
        needs=None if response == "predict" else "scores",
        greater_is_better=sign > 0 and not name.endswith(("_loss", "_error", "_deviance")),
    )
