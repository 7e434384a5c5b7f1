"""Trains a model on a table, measures it and saves it."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import errors, frameworks, gpus, models, report, validation
from ml_runner.frameworks.base import CLASSIFICATION, Adapter, Learner, Model
from ml_runner.training import pictures, requested, run_directory, tables
from ml_runner.training.checkpoints import Checkpoints
from ml_runner.training.cross_validation import FoldPlan, folds
from ml_runner.training.metrics import Metric, Truth
from ml_runner.training.progress import Work
from ml_runner.training.user_code import warnings_collected

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.job import Job
    from ml_runner.scripts import Script
    from ml_runner.training.run_directory import RunDirectory


def run(job: Job) -> dict[str, Any]:
    """Trains what the call asks for.

    Returns:
        The report's body: framework, metadata, metrics, artifacts, gpuUsed.

    Raises:
        ExecutorError: of the type that the contract names for what went wrong.
    """
    # Everything that can be refused is refused before a directory is claimed or a row is read.
    adapter, resolved = frameworks.resolve_training(
        job.request.get("framework") or "auto", job.config
    )
    validation.check_framework(job.action, adapter.name, job.config)
    job.phase("importing")
    plan = FoldPlan.from_config(job.config, job.config.get("seed"))
    asked = requested.of_call(job.config)
    learner = adapter.learner(job)
    _refuse_unusable(job, learner)
    with run_directory.claimed(job) as directory:
        job.phase("loading")
        data = tables.load(job, learner, plan)
        measured = _Measures(job, learner, asked, has_test=data.test is not None)
        job.phase("training")
        started = time.perf_counter()
        work = _work(job, learner, data, plan)
        scores = None if plan is None else _cross_validate(job, learner, data, plan, measured, work)
        model = _fit(job, learner, data, work)
        seconds = time.perf_counter() - started
        job.phase("evaluating")
        metrics = {
            **({} if scores is None else {"crossValidation": scores}),
            **_histories(model),
            "finalModel": measured.final(model, data),
        }
        job.phase("saving")
        size = _save(job, directory, adapter, learner, model, data)
        _write_folds(job, directory, learner, scores)
        _write_rounds(job, directory, model, seconds)
        metadata = {
            "algorithm": learner.algorithm,
            "task": learner.task,
            **({} if resolved is None else {"frameworkResolved": resolved}),
            "samplesProcessed": len(data.train.X),
            "features": data.train.X.shape[1],
            **_shape_of_target(learner, data),
            **({} if plan is None else _fold_facts(plan, learner)),
            **model.metadata,
            "trainingTime": report.duration_words(seconds),
            "trainingSeconds": round(seconds, 6),
            "modelSize": report.size_words(size),
            "modelSizeBytes": size,
            **({} if measured.average is None else {"average": measured.average}),
            **_seed_of(job),
        }
    body = {
        "framework": adapter.name,
        "gpuUsed": learner.gpu_used,
        "metadata": metadata,
        "metrics": metrics,
        "artifacts": directory.shown(),
        "packages": adapter.versions(),
    }
    if learner.gpu_used:
        body["gpuModel"] = next((gpu["name"] for gpu in gpus.nvidia()), "unknown")
    return body


def _refuse_unusable(job: Job, learner: Learner) -> None:
    for key, accepted in (
        ("categorical", learner.accepts_categories),
        ("sampleWeightColumn", learner.accepts_weights),
    ):
        if job.config.get(key) and not accepted:
            what = {
                "categorical": "columns of categories",
                "sampleWeightColumn": "sample weights",
            }[key]
            raise errors.InvalidConfiguration(
                f"{learner.algorithm} takes no {what}",
                solution=f"Leave config.{key} out, or use an algorithm that takes them"
                + (", or encode them first (preprocess: encode)." if key == "categorical" else "."),
                metadata={"key": f"config.{key}", "sent": job.config[key]},
            )


# -- fitting ---------------------------------------------------------------------------------------


def _work(job: Job, learner: Learner, data: tables.Tables, plan: FoldPlan | None) -> Work:
    rows = float(len(data.train.X))
    costs = [rows]
    if plan is not None:
        costs = [rows * (plan.folds - 1) / plan.folds] * plan.folds + costs
    keeps = getattr(learner, "keeps_checkpoints", False)
    return Work(job, costs, Checkpoints(job, "round") if keeps else None)


def _cross_validate(
    job: Job,
    learner: Learner,
    data: tables.Tables,
    plan: FoldPlan,
    measured: _Measures,
    work: Work,
) -> dict[str, Any]:
    """Fits and scores each fold: ``accuracy[]``, ``meanAccuracy``, ``stdAccuracy``, …"""
    train = data.train
    groups = None if train.groups is None else train.groups.to_numpy()
    target = tables.target_array(train)
    values: dict[str, list[float]] = {}
    split = folds(plan, target, groups, classification=learner.task == CLASSIFICATION)
    for number, (rows, held) in enumerate(split):
        progress = work.fold(number)
        held_rows = tables.take(train, held)
        with warnings_collected(job, f"fold {number + 1}: "):
            # A learner that stops early does so on the validation data here too.
            model = learner.fit(
                tables.take(train, rows), validation=data.validation, progress=progress
            )
            scored = measured.scores(model, held_rows, measured.in_folds)
        for metric, value in scored:
            values.setdefault(metric.name, []).append(value)
        progress.finished({metric.key: value for metric, value in scored})
        job.check()
    result: dict[str, Any] = {}
    for metric in measured.in_folds:
        series = values[metric.name]
        result[metric.key] = series
        result[f"mean{metric.short}"] = float(np.mean(series))
        result[f"std{metric.short}"] = float(np.std(series))
    return result


def _fit(job: Job, learner: Learner, data: tables.Tables, work: Work) -> Model:
    with warnings_collected(job):
        if not learner.watches_validation:
            return learner.fit(data.train, progress=work.final())
        # Rounds end at a place where they can be taken up again.
        with job.stopping_at_checks():
            return learner.fit(data.train, validation=data.validation, progress=work.final())


class _Measures:
    """What is measured, on which rows."""

    def __init__(self, job: Job, learner: Learner, asked: list[Metric], *, has_test: bool) -> None:
        self._learner = learner
        task = str(learner.task)
        self.average = requested.check_average(job.config.get("average"), task, learner.classes)
        chosen = requested.for_task(task, requested.USUAL[task], asked)
        for metric in chosen:
            if not metric.scalar and not has_test:
                raise errors.InvalidConfiguration(
                    f"The metric '{metric.name}' is no single number, and is reported for a test"
                    " set only",
                    solution="Send testData (or validationSplit), or evaluate the model later.",
                    metadata={"key": "config.metrics", "sent": metric.name},
                )
        self._all = chosen
        self.in_folds = [metric for metric in chosen if metric.scalar]

    def scores(
        self, model: Model, data: TableData, metrics: list[Metric]
    ) -> list[tuple[Metric, Any]]:
        """(metric, value) on these rows; unweighted."""
        needs = any(metric.needs is not None for metric in metrics)
        outputs = model.outputs(data.X, probabilities=needs)
        truth = Truth(
            target=tables.target_array(data),
            task=model.task,
            classes=model.classes,
            average=self._average_for(model),
        )
        return [(metric, requested.measure(metric, truth, outputs)) for metric in metrics]

    def _average_for(self, model: Model) -> str:
        # A fold that lacks a class is still averaged as the whole is.
        return self.average or "macro"

    def final(self, model: Model, data: tables.Tables) -> dict[str, Any]:
        """``trainAccuracy``, ``validationAccuracy``, ``testAccuracy``, … of the final model."""
        result: dict[str, Any] = {}
        for name, part in (
            ("train", data.train),
            ("validation", data.validation),
            ("test", data.test),
        ):
            if part is None:
                continue
            metrics = self._all if name == "test" else self.in_folds
            for metric, value in self.scores(model, part, metrics):
                result[f"{name}{metric.short}"] = value
        return result


def _histories(model: Model) -> dict[str, Any]:
    """Nested histories by round, and the figures of the round that the model uses, flat."""
    history = model.history
    if history is None or not len(history):
        return {}
    final = model.metadata.get("bestIteration", len(history) - 1)
    return {**history.at(final), **history.to_report(model.better, final=final)}


# -- saving ----------------------------------------------------------------------------------------


def _save(
    job: Job,
    directory: RunDirectory,
    adapter: Adapter,
    learner: Learner,
    model: Model,
    data: tables.Tables,
) -> int:
    """Writes the model with its description and importances; returns the model file's bytes."""
    size = 0
    for key, (name, content) in model.files().items():
        path = directory.write(key, name, content)
        if key != "model":
            continue
        size = len(content)
        scaling = job.config.get("featureScaling") or "none"
        script = None
        if learner.script is not None:
            script = _save_script(directory, learner.script)
        description = models.describe(
            job,
            adapter,
            model,
            data.train.schema,
            content,
            name=name,
            parameters=learner.parameters,
            preprocessing=[] if scaling == "none" else [{"type": "scale", "method": scaling}],
            script=script,
        )
        directory.write(None, models.descriptor_path(path).name, description)
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
    return size


def _save_script(directory: RunDirectory, script: Script) -> dict[str, Any]:
    """Copies the caller's code beside the model; returns how the descriptor names it."""
    sources = {f"model_script/{name}": source for name, source in script.files().items()}
    main = f"model_script/{script.path.name}"
    for name, source in sources.items():
        directory.write("modelScript" if name == main else None, name, source)
    return models.saved_script(main, sources)


def _write_folds(
    job: Job, directory: RunDirectory, learner: Learner, scores: dict[str, Any] | None
) -> None:
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


def _write_rounds(job: Job, directory: RunDirectory, model: Model, seconds: float) -> None:
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


# -- facts for the report --------------------------------------------------------------------------


def _shape_of_target(learner: Learner, data: tables.Tables) -> dict[str, Any]:
    facts: dict[str, Any] = {"targetColumn": data.train.schema.target}
    if learner.classes is not None:
        facts["classes"] = len(learner.classes)
    if data.test is not None:
        facts["testSamples"] = len(data.test.X)
    if data.validation is not None:
        facts["validationSamples"] = len(data.validation.X)
    return facts


def _fold_facts(plan: FoldPlan, learner: Learner) -> dict[str, Any]:
    return {
        "crossValidationFolds": plan.folds,
        "crossValidation": plan.describe(learner.task == CLASSIFICATION),
    }


def _seed_of(job: Job) -> dict[str, Any]:
    seed = job.config.get("seed", job.defaults.get("seed"))
    return {} if seed is None else {"seed": seed}
