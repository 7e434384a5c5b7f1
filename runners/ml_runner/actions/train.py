"""Trains a model on a table, measures it and saves it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import errors, frameworks, gpu_choice, report, scripts, seeds, validation
from ml_runner.frameworks.base import (
    CLASSIFICATION,
    FitsTables,
    Learner,
    Model,
    TrainsNetworks,
)
from ml_runner.training import (
    advice,
    checkpoints,
    requested,
    run_directory,
    run_record,
    saving,
    tables,
)
from ml_runner.training.checkpoints import Checkpoints
from ml_runner.training.cross_validation import FoldPlan, folds
from ml_runner.training.measures import Measures
from ml_runner.training.progress import Work
from ml_runner.training.user_code import warnings_collected

if TYPE_CHECKING:
    from ml_runner.frameworks.base import Adapter
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint


def run(job: Job, resumed: Checkpoint | None = None) -> dict[str, Any]:
    """Trains what the call asks for.

    Args:
        job: with the call.
        resumed: the checkpoint from which an interrupted training of this call goes on.

    Returns:
        The report's body: framework, metadata, metrics, artifacts, gpuUsed.

    Raises:
        ExecutorError: of the type that the contract names for what went wrong.
    """
    # Everything that can be refused is refused before a directory is claimed or a row is read.
    adapter, resolved = frameworks.resolve_training(
        job.request.get("framework") or "auto", job.config, lambda: scripts.imports(job)
    )
    validation.check_framework(job.action, adapter.name, job.config)
    job.phase("importing")
    if isinstance(adapter, TrainsNetworks):
        from ml_runner.training.epochs import run as by_epochs  # fits have no use for it

        return by_epochs.run(job, adapter, adapter.network, resolved, resumed)
    assert isinstance(adapter, FitsTables)
    plan = FoldPlan.from_config(job.config, job.config.get("seed"))
    asked = requested.of_call(job.config)
    _seed_shared_generators(job)
    learner = adapter.learner(job)
    _refuse_unusable(job, learner)
    with run_directory.claimed(job, resumed) as directory:
        job.phase("loading")
        data = tables.load(job, learner, plan)
        work = _work(job, adapter, learner, data, plan, directory, resumed)
        measured = Measures(job, learner, asked, has_test=data.test is not None)
        job.phase("training")
        started = time.perf_counter()
        scores = None if plan is None else _cross_validate(job, learner, data, plan, measured, work)
        model = _fit(job, learner, data, work)
        seconds = time.perf_counter() - started + (0.0 if resumed is None else resumed.seconds)
        job.phase("evaluating")
        metrics = {
            **({} if scores is None else {"crossValidation": scores}),
            **_histories(model),
            "finalModel": measured.final(model, data),
        }
        job.phase("saving")
        saved = saving.save_model(job, directory, adapter, learner, model, data)
        saving.write_folds(job, directory, learner, scores)
        saving.write_rounds(job, directory, model, seconds)
        metadata = {
            "algorithm": learner.algorithm,
            "task": learner.task,
            **_asked(job),
            **({} if resolved is None else {"frameworkResolved": resolved}),
            "samplesProcessed": len(data.train.X),
            "features": data.train.X.shape[1],
            **_shape_of_target(learner, data),
            **({} if plan is None else _fold_facts(plan, learner)),
            **model.metadata,
            "trainingTime": report.duration_words(seconds),
            "trainingSeconds": round(seconds, 6),
            **saved,
            **report.averaging(measured.average, learner.classes),
            **_seed_of(job),
        }
        if learner.total_key is None:
            # Nothing can be added to what is complete.
            checkpoints.discard(directory.path)
    body = {
        "framework": adapter.name,
        "gpuUsed": learner.gpu_used,
        "metadata": metadata,
        "metrics": metrics,
        "artifacts": directory.shown(),
        "packages": learner.versions(),
    }
    if learner.gpu_used:
        body["gpuModel"] = next(iter(gpu_choice.names()), "unknown")
    return body


def _seed_shared_generators(job: Job) -> None:
    """For code that draws from them: a script, or an estimator told ``random_state: null``."""
    seed = job.config.get("seed")
    if seed is None and job.config.get("modelScript") is not None:
        seed = job.option("seed", 0)
    if seed is not None:
        seeds.seed_all(seed)


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
                solution=advice.for_categories()
                if key == "categorical"
                else f"Leave config.{key} out, or use an algorithm that takes them.",
                metadata={"key": f"config.{key}", "sent": job.config[key]},
            )


# -- fitting ---------------------------------------------------------------------------------------


def _work(
    job: Job,
    adapter: Adapter,
    learner: Learner,
    data: tables.Tables,
    plan: FoldPlan | None,
    directory: run_directory.RunDirectory,
    resumed: Checkpoint | None,
) -> Work:
    now = run_record.of(job, adapter, learner, data)
    directory.describe(now)
    kept = None
    # Finished folds are worth keeping whatever is fitted.
    if learner.keeps_checkpoints or (plan is not None and job.config.get("checkpoint") is None):
        kept = Checkpoints(job, now, spent=0.0 if resumed is None else resumed.seconds)
    if resumed is not None:
        run_record.compare(job, resumed.run, now)
        if kept is not None:
            kept.take_over(resumed)
    rows = float(len(data.train.X))
    costs = [rows]
    if plan is not None:
        costs = [rows * (plan.folds - 1) / plan.folds] * plan.folds + costs
    return Work(job, learner, costs, kept, resumed)


def _cross_validate(
    job: Job,
    learner: Learner,
    data: tables.Tables,
    plan: FoldPlan,
    measured: Measures,
    work: Work,
) -> dict[str, Any]:
    """Fits and scores each fold: ``accuracy[]``, ``meanAccuracy``, ``stdAccuracy``, …"""
    train = data.train
    groups = None if train.groups is None else train.groups.to_numpy()
    target = tables.target_array(train)
    split = folds(plan, target, groups, classification=learner.task == CLASSIFICATION)
    for number, (rows, held) in enumerate(split):
        if number < work.folds_done:
            continue
        progress = work.fold(number)
        held_rows = tables.take(train, held)
        try:
            with warnings_collected(job, f"fold {number + 1}: "):
                # A learner that stops early does so on the validation data here too.
                model = learner.fit(
                    tables.take(train, rows), validation=data.validation, progress=progress
                )
                scored = measured.scores(model, held_rows, measured.in_folds)
        except errors.Cancelled:
            work.keep_folds()
            job.check()
            raise
        work.fold_finished({metric.name: value for metric, value in scored})
        progress.finished({metric.key: value for metric, value in scored})
        job.check()
    result: dict[str, Any] = {}
    for metric in measured.in_folds:
        series = work.scores[metric.name]
        result[metric.key] = series
        result[f"mean{metric.short}"] = float(np.mean(series))
        result[f"std{metric.short}"] = float(np.std(series))
    return result


def _fit(job: Job, learner: Learner, data: tables.Tables, work: Work) -> Model:
    with warnings_collected(job):
        validation = data.validation if learner.watches_validation else None
        if learner.heeds_cancel:
            # It ends at a place where it can be taken up again.
            with job.stopping_at_checks():
                return learner.fit(data.train, validation=validation, progress=work.final())
        try:
            return learner.fit(data.train, validation=validation, progress=work.final())
        except errors.Cancelled:
            job.check()  # which knows of the last checkpoint
            raise


def _histories(model: Model) -> dict[str, Any]:
    """Nested histories by round, and the figures of the last round, flat.

    What the model gives (that of its best round, where it stopped early) is in ``finalModel``.
    """
    history = model.history
    if history is None or not len(history):
        return {}
    return {**history.at(len(history) - 1), **history.to_report(model.better)}


# -- facts for the report --------------------------------------------------------------------------


def _asked(job: Job) -> dict[str, Any]:
    """What the call said of the model itself; the descriptor holds all parameters."""
    keys = ("hyperparameters", "featureScaling", "modelArgs", "categorical")
    return {key: job.config[key] for key in keys if job.config.get(key)}


def _shape_of_target(learner: Learner, data: tables.Tables) -> dict[str, Any]:
    facts: dict[str, Any] = {"targetColumn": data.train.schema.target}
    if learner.classes is not None:
        facts["classes"] = len(learner.classes)
    if data.test is not None:
        facts["testSamples"] = len(data.test.X)
    if data.validation is not None and data.validation is not data.test:
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
