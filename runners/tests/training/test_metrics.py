"""The metrics equal scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference

from ml_runner.training import requested
from ml_runner.training.metrics import CORE, Outputs, Truth

LABELS = {
    "two numbers": [0, 1],
    "two words": ["no", "yes"],
    "three words": ["a", "b", "c"],
    "five numbers": [2, 3, 5, 7, 11],
}


def _drawn(classes: list[Any], *, weighted: bool, rows: int = 300) -> tuple[Truth, Outputs]:
    random = np.random.RandomState(len(classes) + weighted)
    scores = random.dirichlet(np.ones(len(classes)), rows).round(2)
    scores /= scores.sum(axis=1, keepdims=True)
    labels = np.asarray(classes)
    target = labels[random.randint(0, len(classes), rows)]
    predictions = labels[np.argmax(scores, axis=1)]
    weight = random.uniform(0.1, 3, rows) if weighted else None
    average = requested.check_average(None, "classification", classes)
    return (
        Truth(target, "classification", classes, str(average), weight),
        Outputs(predictions, scores),
    )


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", LABELS)
def test_classification(name: str, weighted: bool) -> None:
    classes = LABELS[name]
    truth, outputs = _drawn(classes, weighted=weighted)
    y, p, s, w = truth.target, outputs.predictions, outputs.probabilities, truth.weight
    assert s is not None
    two = len(classes) == 2
    options: dict[str, Any] = (
        {"pos_label": classes[1], "average": "binary"} if two else {"average": "macro"}
    )
    expected = {
        "accuracy": reference.accuracy_score(y, p, sample_weight=w),
        "precision": reference.precision_score(y, p, sample_weight=w, **options),
        "recall": reference.recall_score(y, p, sample_weight=w, **options),
        "f1": reference.f1_score(y, p, sample_weight=w, **options),
        "balanced_accuracy": reference.balanced_accuracy_score(y, p, sample_weight=w),
        "matthews_corrcoef": reference.matthews_corrcoef(y, p, sample_weight=w),
        "confusion_matrix": reference.confusion_matrix(y, p, labels=classes, sample_weight=w),
        "log_loss": reference.log_loss(y, s, labels=classes, sample_weight=w),
        "roc_auc": reference.roc_auc_score(y == classes[1], s[:, 1], sample_weight=w)
        if two
        else reference.roc_auc_score(y, s, multi_class="ovr", labels=classes, sample_weight=w),
    }
    for metric, value in expected.items():
        np.testing.assert_allclose(CORE[metric].compute(truth, outputs), value, atol=1e-9)
    report = reference.classification_report(y, p, output_dict=True, sample_weight=w)
    assert isinstance(report, dict)
    for label, found in CORE["classification_report"].compute(truth, outputs).items():
        row: Any = report[label.removeprefix("class_")]
        assert found["f1"] == pytest.approx(row["f1-score"], abs=1e-9)
        assert found["precision"] == pytest.approx(row["precision"], abs=1e-9)
        assert found["recall"] == pytest.approx(row["recall"], abs=1e-9)
        assert found["support"] == pytest.approx(row["support"], abs=1e-9)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("metric", ["precision", "recall", "f1"])
def test_averages_with_a_class_that_is_never_predicted(metric: str, average: str) -> None:
    classes = ["a", "b", "c", "d"]
    random = np.random.RandomState(0)
    target = np.asarray(classes)[random.randint(0, 3, 50)]
    predictions = np.asarray(classes)[random.randint(0, 2, 50)]
    found = CORE[metric].compute(
        Truth(target, "classification", classes, average), Outputs(predictions)
    )
    function = getattr(reference, f"{metric}_score")
    expected = function(target, predictions, average=average, zero_division=0)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_regression(weighted: bool) -> None:
    random = np.random.RandomState(1)
    y = random.normal(size=200)
    p = y + random.normal(size=200)
    w = random.uniform(0.1, 2, 200) if weighted else None
    truth, outputs = Truth(y, "regression", weight=w), Outputs(p)
    expected = {
        "rmse": reference.root_mean_squared_error(y, p, sample_weight=w),
        "mse": reference.mean_squared_error(y, p, sample_weight=w),
        "mae": reference.mean_absolute_error(y, p, sample_weight=w),
        "mape": reference.mean_absolute_percentage_error(y, p, sample_weight=w),
        "r2": reference.r2_score(y, p, sample_weight=w),
    }
    for metric, value in expected.items():
        np.testing.assert_allclose(CORE[metric].compute(truth, outputs), value, atol=1e-9)


@pytest.mark.parametrize("name", ["two words", "three words"])
def test_every_scorer_of_a_classification_can_be_asked_for_by_name(name: str) -> None:
    from ml_runner.frameworks.sklearn import metrics

    truth, outputs = _drawn(LABELS[name], weighted=False)
    found = [metrics.find(metric) for metric in metrics.names()]
    chosen = [metric for metric in found if metric and metric.task == "classification"]
    assert len(chosen) > 20
    for metric in chosen:
        only_two = metric.name in ("average_precision_score", "average_precision") or (
            "brier" in metric.name or "likelihood" in metric.name
        )
        fails = len(LABELS[name]) > 2 and (only_two or metric.name in _OF_TWO)
        if not fails:
            assert np.isfinite(requested.measure(metric, truth, outputs)), metric.name


_OF_TWO = ("f1", "precision", "recall", "jaccard")


def test_scorers_have_their_sign() -> None:
    y = np.array([1.0, 2.0, 4.0])
    p = np.array([1.5, 2.0, 3.0])
    found = requested.by_name("neg_mean_absolute_error")
    assert found.key == "negMeanAbsoluteError"
    assert found.compute(Truth(y, "regression"), Outputs(p)) == pytest.approx(-0.5)
