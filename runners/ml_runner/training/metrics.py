"""The metrics that every action reports, in numpy: no library is needed to measure its own model.

They equal ``sklearn.metrics`` to rounding. Metrics that are not here come, by name, from the
adapter that provides them (``frameworks.metric``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml_runner.training import multilabel

Array = np.ndarray

_CLASSES, _NUMBERS, _SEVERAL = "classification", "regression", "multilabel"


@dataclass(frozen=True)
class Outputs:
    """What a model says about n rows.

    Attributes:
        predictions: (n,) labels as they stand in the data, or numbers; (n, k) for several labels
            (0 and 1) or numbers a row.
        probabilities: (n, k) in the order of the classes or labels, where the model gives them.
        decision: (n,) for two classes or (n, k): scores of a classifier without probabilities.
    """

    predictions: Array
    probabilities: Array | None = None
    decision: Array | None = None


@dataclass(frozen=True)
class Truth:
    """What is known about the same n rows.

    Attributes:
        target: (n,) labels or numbers; (n, k) numbers, or 0 and 1 for several labels a row.
        task: ``classification``, ``regression`` or ``multilabel``.
        classes: all labels that the model knows, sorted; None for numbers.
        average: how precision, recall and f1 are averaged: binary (the last class is the positive
            one), macro, micro or weighted.
        weight: (n,) sample weights, or None.
    """

    target: Array
    task: str
    classes: Sequence[Any] | None = None
    average: str = "macro"
    weight: Array | None = None

    @property
    def several(self) -> bool:
        """Whether a row may have several labels."""
        return self.task == _SEVERAL


@dataclass
class Counts:
    """Weighted counts per class, from which precision, recall and f1 all follow."""

    labels: list[Any]
    matrix: Array
    predicted: Array = field(init=False)
    actual: Array = field(init=False)
    correct: Array = field(init=False)

    def __post_init__(self) -> None:
        self.predicted = self.matrix.sum(axis=0)
        self.actual = self.matrix.sum(axis=1)
        self.correct = np.diag(self.matrix)

    def score(self, kind: str) -> Array:
        """(k,) precision, recall or f1 of each class; 0 where there is nothing to divide by."""
        if kind == "precision":
            below = self.predicted
        elif kind == "recall":
            below = self.actual
        else:
            below = (self.predicted + self.actual) / 2
        return np.divide(self.correct, below, out=np.zeros(len(below)), where=below > 0)


def default_average(classes: Sequence[Any]) -> str:
    """``binary`` for two classes, else ``macro``."""
    return "binary" if len(classes) == 2 else "macro"


def count(truth: Truth, outputs: Outputs, *, all_classes: bool = False) -> Counts:
    """The confusion matrix: rows are what is true, columns what was predicted.

    Its labels are those that occur in target or predictions (with ``all_classes`` also the others
    that the model knows), sorted. Whole counts without weights.
    """
    found = set(np.unique(truth.target).tolist()) | set(np.unique(outputs.predictions).tolist())
    if all_classes or (truth.classes is not None and truth.average == "binary"):
        found |= set(truth.classes or ())
    labels = sorted(found)
    index = {label: position for position, label in enumerate(labels)}
    actual = _positions(truth.target, index)
    predicted = _positions(outputs.predictions, index)
    size = len(labels)
    flat = np.bincount(actual * size + predicted, weights=truth.weight, minlength=size * size)
    return Counts(labels, flat.reshape(size, size))


def _positions(values: Array, index: dict[Any, int]) -> Array:
    unique, inverse = np.unique(values, return_inverse=True)
    return np.array([index[value] for value in unique.tolist()], dtype=np.intp)[inverse]


def _averaged(kind: str, truth: Truth, outputs: Outputs) -> float:
    if truth.several:
        both = (truth.target, outputs.predictions)
        return multilabel.averaged(kind, truth.average, *both, truth.weight)
    counts = count(truth, outputs)
    scores = counts.score(kind)
    if truth.average == "binary":
        return float(scores[counts.labels.index(list(truth.classes or counts.labels)[-1])])
    if truth.average == "micro":
        return float(counts.correct.sum() / counts.matrix.sum())
    if truth.average == "weighted":
        return float(np.average(scores, weights=counts.actual))
    return float(scores.mean())


def accuracy(truth: Truth, outputs: Outputs) -> float:
    """The share of rows whose label was predicted; of several labels, all of them."""
    if truth.several:
        return multilabel.accuracy(truth.target, outputs.predictions, truth.weight)
    return float(np.average(truth.target == outputs.predictions, weights=truth.weight))


def balanced_accuracy(truth: Truth, outputs: Outputs) -> float:
    """The mean recall of the classes that occur in the target."""
    counts = count(truth, outputs)
    present = counts.actual > 0
    return float(counts.score("recall")[present].mean())


def matthews_corrcoef(truth: Truth, outputs: Outputs) -> float:
    """Matthews' correlation coefficient, for two or more classes."""
    counts = count(truth, outputs)
    total = counts.matrix.sum()
    covariance = counts.correct.sum() * total - counts.actual @ counts.predicted
    spread = (total**2 - counts.predicted @ counts.predicted) * (
        total**2 - counts.actual @ counts.actual
    )
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def confusion_matrix(truth: Truth, outputs: Outputs) -> list[list[float]]:
    """Rows: true classes, columns: predicted ones, in the order of the model's classes.

    For several labels a row one matrix of 2 x 2 for each label.
    """
    if truth.several:
        return multilabel.matrices(truth.target, outputs.predictions, truth.weight)
    matrix = count(truth, outputs, all_classes=True).matrix
    return (matrix if truth.weight is not None else matrix.astype(np.int64)).tolist()


def classification_report(truth: Truth, outputs: Outputs) -> dict[str, dict[str, float]]:
    """``class_<label>`` → precision, recall, f1 and support of that class."""
    if truth.several:
        return multilabel.report(truth.target, outputs.predictions, truth.weight)
    counts = count(truth, outputs, all_classes=True)
    columns = [counts.score(kind) for kind in ("precision", "recall", "f1")]
    report = {}
    for position, label in enumerate(counts.labels):
        support = counts.actual[position]
        report[f"class_{label}"] = {
            "precision": float(columns[0][position]),
            "recall": float(columns[1][position]),
            "f1": float(columns[2][position]),
            "support": float(support) if truth.weight is not None else int(support),
        }
    return report


def roc_curve(positive: Array, scores: Array, weight: Array | None = None) -> tuple[Array, Array]:
    """False and true positive rates at each distinct score, from (0, 0) to (1, 1).

    Args:
        positive: (n,) bool.
        scores: (n,) higher means more likely positive.
        weight: (n,) or None.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    weights = np.ones(len(scores)) if weight is None else np.asarray(weight, float)[order]
    is_positive = positive[order].astype(float) * weights
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits = np.concatenate([[0.0], np.cumsum(is_positive)[ends]])
    alarms = np.concatenate([[0.0], np.cumsum(weights - is_positive)[ends]])
    with np.errstate(invalid="ignore", divide="ignore"):
        return alarms / alarms[-1], hits / hits[-1]


def area_under(x: Array, y: Array) -> float:
    """The area under a line of straight pieces."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def class_scores(truth: Truth, outputs: Outputs) -> Array | None:
    """(n, k) scores by class, for curves: probabilities, else decision values; None without."""
    scores = outputs.probabilities if outputs.probabilities is not None else outputs.decision
    if scores is None:
        return None
    if scores.ndim == 1:
        return np.column_stack([-scores, scores])
    return scores


def roc_auc(truth: Truth, outputs: Outputs) -> float:
    """Area under the ROC curve; for more than two classes the macro mean of one against the rest.

    NaN where the target holds fewer than all classes: the curve of an absent class does not exist.
    """
    scores = class_scores(truth, outputs)
    classes = list(truth.classes or ())
    if scores is None:
        return float("nan")
    if truth.several:
        curves = [
            roc_curve(truth.target[:, label] > 0, scores[:, label], truth.weight)
            for label in range(scores.shape[1])
        ]
        return float(np.mean([area_under(*curve) for curve in curves]))
    columns = [1] if len(classes) == 2 else range(len(classes))
    areas = []
    for column in columns:
        alarms, hits = roc_curve(truth.target == classes[column], scores[:, column], truth.weight)
        areas.append(area_under(alarms, hits))
    return float(np.mean(areas))


def log_loss(truth: Truth, outputs: Outputs) -> float:
    """Mean negative log of the probability given to the true class (natural logarithm).

    NaN where the model has never seen a label of the target.
    """
    if outputs.probabilities is None:
        return float("nan")
    probabilities = np.asarray(outputs.probabilities)
    tiny = np.finfo(probabilities.dtype).eps
    index = {label: position for position, label in enumerate(truth.classes or ())}
    if not set(np.unique(truth.target).tolist()) <= set(index):
        return float("nan")
    chosen = probabilities[np.arange(len(truth.target)), _positions(truth.target, index)]
    losses = -np.log(np.clip(chosen, tiny, 1 - tiny))
    return float(np.average(losses, weights=truth.weight))


def _differences(truth: Truth, outputs: Outputs) -> Array:
    return np.asarray(truth.target, float) - np.asarray(outputs.predictions, float)


def _mean(values: Array, weight: Array | None) -> float:
    """Over rows, by their weight, and over the numbers of a row."""
    return float(np.mean(np.average(values, axis=0, weights=weight)))


def mse(truth: Truth, outputs: Outputs) -> float:
    """Mean squared error."""
    return _mean(_differences(truth, outputs) ** 2, truth.weight)


def rmse(truth: Truth, outputs: Outputs) -> float:
    """Root of the mean squared error, in the target's unit; of several numbers a row, its mean."""
    squared = np.average(_differences(truth, outputs) ** 2, axis=0, weights=truth.weight)
    return float(np.mean(np.sqrt(squared)))


def mae(truth: Truth, outputs: Outputs) -> float:
    """Mean absolute error, in the target's unit."""
    return _mean(np.abs(_differences(truth, outputs)), truth.weight)


def mape(truth: Truth, outputs: Outputs) -> float:
    """Mean absolute percentage error, as a fraction."""
    target = np.abs(np.asarray(truth.target, float))
    relative = np.abs(_differences(truth, outputs)) / np.maximum(target, np.finfo(float).eps)
    return _mean(relative, truth.weight)


def r2(truth: Truth, outputs: Outputs) -> float:
    """Coefficient of determination, of several numbers a row its mean; NaN for one row."""
    if len(truth.target) < 2:
        return float("nan")
    target = np.asarray(truth.target, float)
    mean = np.average(target, axis=0, weights=truth.weight)
    residual = np.average(_differences(truth, outputs) ** 2, axis=0, weights=truth.weight)
    total = np.average((target - mean) ** 2, axis=0, weights=truth.weight)
    # Of a target that never changes, nothing can be told but whether it was hit.
    constant = np.where(residual == 0, 1.0, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(np.where(total == 0, constant, 1 - residual / total)))


@dataclass(frozen=True)
class Metric:
    """A metric by name.

    Attributes:
        name: as the caller writes it.
        key: its key in a report (``f1Score``).
        short: its name behind ``mean``, ``std``, ``train``, ``test`` (``F1``).
        compute: (Truth, Outputs) → a number, or a structure where ``scalar`` is false.
        task: ``classification``, ``regression``, or None where both.
        several: also for several labels a row.
        needs: ``probabilities`` or ``scores`` (those or decision values), where labels do not do.
        greater_is_better: which way is up.
    """

    name: str
    key: str
    short: str
    compute: Callable[[Truth, Outputs], Any]
    task: str | None = None
    scalar: bool = True
    needs: str | None = None
    greater_is_better: bool = True
    several: bool = False

    def fits(self, task: str) -> bool:
        """Whether it measures such a task."""
        return self.task in (None, task) or (self.several and task == _SEVERAL)


def _metric(name: str, compute: Callable[[Truth, Outputs], Any], task: str, **more: Any) -> Metric:
    key = more.pop("key", None) or camel(name)
    short = more.pop("short", None) or key[0].upper() + key[1:]
    return Metric(name, key, short, compute, task, **more)


def camel(name: str) -> str:
    """``roc_auc`` → ``rocAuc``, ``neg-log-loss`` → ``negLogLoss``."""
    first, *rest = [part for part in name.replace("-", "_").split("_") if part]
    return first + "".join(part[0].upper() + part[1:] for part in rest)


CORE: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric("accuracy", accuracy, _CLASSES, several=True),
        _metric("precision", lambda t, o: _averaged("precision", t, o), _CLASSES, several=True),
        _metric("recall", lambda t, o: _averaged("recall", t, o), _CLASSES, several=True),
        _metric(
            "f1",
            lambda t, o: _averaged("f1", t, o),
            _CLASSES,
            key="f1Score",
            short="F1",
            several=True,
        ),
        _metric("balanced_accuracy", balanced_accuracy, _CLASSES),
        _metric("matthews_corrcoef", matthews_corrcoef, _CLASSES),
        _metric("confusion_matrix", confusion_matrix, _CLASSES, scalar=False, several=True),
        _metric(
            "classification_report", classification_report, _CLASSES, scalar=False, several=True
        ),
        _metric("roc_auc", roc_auc, _CLASSES, needs="scores", several=True),
        _metric("log_loss", log_loss, _CLASSES, needs="probabilities", greater_is_better=False),
        _metric("rmse", rmse, _NUMBERS, greater_is_better=False),
        _metric("mse", mse, _NUMBERS, greater_is_better=False),
        _metric("mae", mae, _NUMBERS, greater_is_better=False),
        _metric("mape", mape, _NUMBERS, greater_is_better=False),
        _metric("r2", r2, _NUMBERS),
    )
}

ALIASES = {
    "f1_score": "f1",
    "f1score": "f1",
    "accuracy_score": "accuracy",
    "precision_score": "precision",
    "recall_score": "recall",
    "auc": "roc_auc",
    "rocauc": "roc_auc",
    "roc_auc_score": "roc_auc",
    "logloss": "log_loss",
    "cross_entropy": "log_loss",
    "confusionmatrix": "confusion_matrix",
    "classificationreport": "classification_report",
    "balanced_accuracy_score": "balanced_accuracy",
    "mcc": "matthews_corrcoef",
    "root_mean_squared_error": "rmse",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "r2_score": "r2",
}


def core(name: str) -> Metric | None:
    """The core metric of that name (or a usual other name of it), else None."""
    found = CORE.get(name) or CORE.get(ALIASES.get(name.lower(), ""))
    return found or CORE.get(name.lower())
