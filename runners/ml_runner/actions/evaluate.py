"""Measures a trained model on labelled data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import models, report
from ml_runner.frameworks.base import (
    CLASSIFICATION,
    MULTI_LABEL,
    REGRESSION,
    TakesSamples,
)
from ml_runner.training import inference, pictures, requested
from ml_runner.training.metrics import Outputs, Truth
from ml_runner.training.run_directory import Artifacts
from ml_runner.training.run_record import fingerprint

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.models import Loaded
    from ml_runner.training.inference import Rows

_CLASSES = (
    "accuracy", "precision", "recall", "f1", "confusion_matrix", "classification_report",
)  # fmt: skip
_USUAL = {
    CLASSIFICATION: _CLASSES,
    MULTI_LABEL: _CLASSES,
    REGRESSION: ("rmse", "mae", "mse", "r2"),
}


def run(job: Job) -> dict[str, Any]:
    """Measures the model of ``modelPath`` on the rows of ``dataPath``.

    Returns:
        The report's body: framework, metadata, metrics, artifacts.

    Raises:
        ExecutorError: of the type that the contract names for what went wrong.
    """
    asked = requested.of_call(job.config)
    job.phase("loading")
    loaded = models.load(job)
    model = loaded.model
    data = None
    if isinstance(model, TakesSamples):  # some learn only of the data what they are for
        data = inference.rows_for(job, loaded, "dataPath", with_target=True)
    average = requested.check_average(job.config.get("average"), model.task, model.classes)
    chosen = requested.for_task(model.task, _USUAL[model.task], asked)
    if data is None:
        data = inference.rows_for(job, loaded, "dataPath", with_target=True)
    assert data.target is not None
    _warn_of_training_rows(job, loaded, data)

    job.phase("evaluating")
    outputs, seconds, batch = inference.predict(job, loaded, data.X, probabilities=True)
    truth = Truth(
        target=data.target,
        task=model.task,
        classes=model.classes,
        average=average or "macro",
        weight=data.weight,
    )
    chosen = _with_natural_ones(chosen, outputs, model.task)
    metrics = {metric.key: requested.measure(metric, truth, outputs) for metric in chosen}
    _explain_missing_classes(job, truth, metrics)

    job.phase("saving")
    artifacts = Artifacts(job)
    _write_predictions(artifacts, loaded, data, outputs)
    _draw(job, artifacts, loaded, truth, outputs, metrics)
    rows = len(data)
    return {
        "framework": loaded.adapter.name,
        "metadata": {
            "algorithm": model.algorithm,
            **loaded.resolution(job),
            "task": model.task,
            "samplesEvaluated": rows,
            "batchSize": batch,
            **model.metadata,
            "inferenceTime": report.duration_words(seconds),
            "inferenceSeconds": round(seconds, 6),
            "avgInferenceTimePerSample": report.duration_words(seconds / rows),
            "targetColumn": data.target_name,
            **report.averaging(average, model.classes),
            **({} if model.classes is None else {"classes": model.classes}),
            **({"weighted": data.weight_name} if data.weight is not None else {}),
        },
        "metrics": metrics,
        "artifacts": artifacts.shown(),
        "packages": loaded.adapter.versions(),
    }


def _warn_of_training_rows(job: Job, loaded: Loaded, data: Rows) -> None:
    trained_on = (loaded.descriptor or {}).get("trainedOn")
    if trained_on and fingerprint(data.path) == trained_on["fingerprint"]:
        job.warn(
            f"'{data.path}' is what the model was trained on: it has seen"
            f" {trained_on['rows']} of these {len(data.X)} rows, and scores better on them than on"
            " new ones"
        )


def _with_natural_ones(chosen: list[Any], outputs: Outputs, task: str) -> list[Any]:
    """Those that need probabilities are natural where there are some."""
    if task != CLASSIFICATION:
        return chosen
    names = {metric.name for metric in chosen}
    natural = []
    if outputs.probabilities is not None:
        natural = ["roc_auc", "log_loss"]
    elif outputs.decision is not None:
        natural = ["roc_auc"]
    return [*chosen, *(requested.by_name(name) for name in natural if name not in names)]


def _explain_missing_classes(job: Job, truth: Truth, metrics: dict[str, Any]) -> None:
    area = metrics.get("rocAuc")
    if area is None or area == area:
        return
    present = set(np.unique(truth.target).tolist())
    absent = [label for label in truth.classes or () if label not in present]
    job.warn(
        "rocAuc is null: the data hold no row of "
        + ", ".join(f"'{label}'" for label in (absent or list(truth.classes or ()))[:10])
    )


def _write_predictions(artifacts: Artifacts, loaded: Loaded, data: Rows, outputs: Outputs) -> None:
    model = loaded.model
    rows = inference.records(outputs, model.classes, probabilities=True)
    assert data.target is not None
    beside = {**data.carried, **_true(model.task, data.target)}
    text = inference.to_csv(rows, model.classes, beside)
    artifacts.write("predictionsCSV", "predictions.csv", text)


def _true(task: str, target: np.ndarray) -> dict[str, list[Any]]:
    """Column → what is true of each row."""
    if task == MULTI_LABEL:
        rows = target.reshape(len(target), -1)
        return {"true_labels": [" ".join(map(str, np.flatnonzero(row))) for row in rows]}
    if task == CLASSIFICATION:
        return {"true_class": target.tolist()}
    if target.ndim == 1:
        return {"true_value": target.tolist()}
    return {f"true_value_{place}": column.tolist() for place, column in enumerate(target.T)}


def _draw(
    job: Job,
    artifacts: Artifacts,
    loaded: Loaded,
    truth: Truth,
    outputs: Outputs,
    metrics: dict[str, Any],
) -> None:
    name = loaded.model.algorithm
    if truth.target.ndim > 1:
        return  # the plots are of one label or number a row
    if truth.task != CLASSIFICATION:
        target = str(loaded.schema.target if loaded.schema else "value")
        title = f"{name}: residuals (RMSE {metrics['rmse']:.4g}, R² {metrics['r2']:.3f})"
        pictures.save(
            job,
            artifacts,
            "residualsPlot",
            "residuals.png",
            lambda plots: plots.residuals(truth.target, outputs.predictions, target, title),
        )
        return
    labels = sorted({*np.unique(truth.target).tolist(), *(truth.classes or ())})
    pictures.save(
        job,
        artifacts,
        "confusionMatrixPlot",
        "confusion_matrix.png",
        lambda plots: plots.confusion_matrix(
            metrics["confusionMatrix"],
            labels,
            f"{name}: confusion matrix (accuracy {metrics['accuracy']:.3f})",
        ),
    )
    if outputs.probabilities is not None or outputs.decision is not None:
        pictures.save(
            job,
            artifacts,
            "rocCurve",
            "roc_curve.png",
            lambda plots: plots.roc(truth, outputs, f"{name}: ROC curve"),
        )
