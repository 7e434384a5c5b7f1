"""Writing down a training: the model with its description, and what was measured by the way."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import descriptors, files, report
from ml_runner.training import pictures, tables

if TYPE_CHECKING:
    from ml_runner.data import Schema, TableData
    from ml_runner.frameworks.base import Adapter, Learner, Model
    from ml_runner.job import Job
    from ml_runner.scripts import Script
    from ml_runner.training.run_directory import RunDirectory

# The report names so many of the features that matter most; the file has them all.
_TOP_FEATURES = 5


def save_model(
    job: Job,
    directory: RunDirectory,
    adapter: Adapter,
    learner: Learner,
    model: Model,
    data: tables.Tables,
) -> dict[str, Any]:
    """Writes the model with its description and importances.

    Returns:
        What the report says of them: ``modelSize``, ``modelSizeBytes``, ``topFeatures``.
    """
    facts: dict[str, Any] = {}
    for key, (name, content) in model.files().items():
        assert isinstance(content, bytes)  # only networks are directories
        path = directory.write(key, name, content)
        if key != "model":
            continue
        facts = {"modelSize": report.size_words(len(content)), "modelSizeBytes": len(content)}
        scaling = job.config.get("featureScaling") or "none"
        script = None
        if learner.script is not None:
            script = save_script(directory, learner.script)
        description = descriptors.describe(
            job,
            adapter,
            model,
            _inputs(data.train.schema),
            content,
            name=name,
            parameters=learner.parameters,
            preprocessing=[] if scaling == "none" else [{"type": "scale", "method": scaling}],
            versions=learner.versions(),
            trained_on=_source(data.train),
            script=script,
        )
        directory.write(None, descriptors.path_of(path).name, description)
    importances = model.feature_importances()
    if importances is not None and len(importances) == data.train.X.shape[1]:
        order = np.argsort(-importances, kind="stable")
        columns = list(data.train.X.columns)
        rows = [[columns[position], float(importances[position])] for position in order]
        directory.write(
            "featureImportances",
            "feature_importances.csv",
            _csv(["feature", "importance"], rows),
        )
        facts["importanceType"] = model.importance_type
        facts["topFeatures"] = dict(rows[:_TOP_FEATURES])
    return facts


def _inputs(schema: Schema) -> dict[str, Any]:
    """How a descriptor tells of the table that a model takes."""
    return {
        "schema": schema.to_json(),
        "signature": {
            "inputs": [{"name": name, "type": schema.dtypes.get(name)} for name in schema.features],
            "output": schema.target,
        },
    }


def _source(data: TableData) -> dict[str, Any]:
    """Which file the rows are from; so evaluate can say that it measures on training rows."""
    path = data.table.path
    return {"path": str(path), "rows": len(data.X), "fingerprint": files.fingerprint(path)}


def save_script(directory: RunDirectory, script: Script) -> dict[str, Any]:
    """Copies the caller's code beside the model; returns how the descriptor names it."""
    sources = {f"model_script/{name}": source for name, source in script.files().items()}
    main = f"model_script/{script.path.name}"
    for name, source in sources.items():
        directory.write("modelScript" if name == main else None, name, source)
    return descriptors.saved_script(main, sources)


def write_folds(
    job: Job, directory: RunDirectory, learner: Learner, scores: dict[str, Any] | None
) -> None:
    """Writes the scores of each fold as CSV and as a plot; nothing without folds."""
    if scores is None:
        return
    series = {key: value for key, value in scores.items() if isinstance(value, list)}
    rows = [[fold + 1, *values] for fold, values in enumerate(zip(*series.values(), strict=True))]
    directory.write("cvMetricsCSV", "cv_metrics.csv", _csv(["fold", *series], rows))
    count = len(next(iter(series.values())))
    title = f"{learner.algorithm}: {count}-fold cross-validation"
    pictures.save(
        job, directory, "metricsPlot", "cv_metrics.png", lambda plots: plots.folds(series, title)
    )


def write_rounds(job: Job, directory: RunDirectory, model: Model, seconds: float) -> None:
    """Writes history, log and plot of a training by rounds; nothing without rounds.

    Args:
        job: whose training it was.
        directory: its output directory.
        model: with its history.
        seconds: that the training took.
    """
    history = model.history
    if history is None or not len(history):
        return
    directory.write("metricsCSV", "metrics.csv", history.to_csv())
    lines = [
        f"job {job.id}: {model.algorithm}, {model.task}",
        *history.to_log(),
        *(f"{key}: {value}" for key, value in model.metadata.items()),
        f"training took {report.duration_words(seconds)}",
    ]
    directory.write("trainingLog", "training.log", "\n".join(lines) + "\n")
    metrics = [metric for _, metric in history.series]
    metric = next((name for name in metrics if not model.better.get(name)), metrics[0])
    series = {data: values for (data, name), values in history.series.items() if name == metric}
    pictures.save(
        job,
        directory,
        "lossPlot",
        "loss.png",
        lambda plots: plots.rounds(
            series,
            metric=metric,
            unit=history.unit,
            title=f"{model.algorithm}: {metric} by {history.unit}",
            best=model.metadata.get("bestRound"),
            first=history.first,
        ),
    )


def _csv(header: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
