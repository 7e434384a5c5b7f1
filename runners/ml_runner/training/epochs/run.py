"""Trains a network by epochs, measures it and saves it: the recipe of frameworks that do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_runner import gpu_choice, report, seeds
from ml_runner.process import memory_limit
from ml_runner.training import requested, run_directory, run_record
from ml_runner.training.checkpoints import Checkpoints
from ml_runner.training.early_stopping import EarlyStopping
from ml_runner.training.epochs import measured, saving, sources, tensorboard
from ml_runner.training.epochs.watch import EpochWatch
from ml_runner.training.user_code import warnings_collected

if TYPE_CHECKING:
    from ml_runner.frameworks.base import Adapter, Network
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint
    from ml_runner.training.epochs.sources import TrainingData
    from ml_runner.training.run_directory import RunDirectory


def run(
    job: Job,
    adapter: Adapter,
    make: Callable[[Job], Network],
    resolved: str | None,
    resumed: Checkpoint | None,
) -> dict[str, Any]:
    """Trains what the call asks for.

    Args:
        job: whose training it is.
        adapter: the framework's.
        make: of it: the network that the call asks for, once the seed is set.
        resolved: for ``framework: auto``, why it is this framework.
        resumed: the checkpoint from which an interrupted training of this call goes on.

    Returns:
        The report's body: framework, metadata, metrics, artifacts, gpuUsed.

    Raises:
        ExecutorError: of the type that the contract names for what went wrong.
    """
    seeds.seed_all(job.option("seed", 0))
    asked = requested.of_call(job.config)
    network = make(job)
    config = job.config  # with what a pretrained model says
    with run_directory.claimed(job, resumed) as directory:
        job.phase("loading")
        data = sources.load(job, network)
        network.prepare(data)
        metrics = measured.chosen(job, network, asked)
        event_file = tensorboard.open_event_file(job, directory.path)
        watch = EpochWatch(
            job,
            network.epochs,
            more_is_better=metrics.more_is_better,
            stopping=EarlyStopping.from_config(config),
            watched="val_loss" if data.validation is not None else "train_loss",
            checkpoints=_checkpoints(job, adapter, network, data, directory, resumed),
            interval=int(config.get("checkpointInterval") or 1),
            interval_steps=config.get("checkpointSteps"),
            event_file=event_file,
        )
        job.phase("training")
        started = time.perf_counter()
        with warnings_collected(job), job.stopping_at_checks(), _bounded(job, network):
            model = network.train(watch, metrics, resumed)
        seconds = time.perf_counter() - started + (0.0 if resumed is None else resumed.seconds)
        if event_file is not None:
            event_file.close()
        job.phase("evaluating")
        final = measured.on_test(network, model, data.test, metrics)
        job.phase("saving")
        saved = saving.save(job, directory, adapter, network, model, data)
        course = {
            "epochs": network.epochs,
            "finalEpoch": len(watch.history),
            "bestEpoch": watch.best + 1,
            "bestBy": watch.watched,
            "bestScore": watch.best_score,
            "earlyStopped": watch.stopped_early,
        }
        saving.write_history(job, directory, network, watch, seconds, course)
        body = {
            "framework": adapter.name,
            "gpuUsed": network.gpu_used,
            "metadata": {
                "algorithm": network.algorithm,
                "task": network.task,
                **({} if resolved is None else {"frameworkResolved": resolved}),
                **course,
                "trainingTime": report.duration_words(seconds),
                "trainingSeconds": round(seconds, 6),
                **data.facts(),
                **network.facts(),
                **saved,
                **report.averaging(metrics.average, network.classes),
                **({} if event_file is None else {"tensorboardCommand": event_file.command}),
            },
            "metrics": {
                **watch.history.last(),
                **watch.history.to_report(metrics.better_in(watch.history), best=watch.best),
                **({} if final is None else {"finalModel": final}),
            },
            "artifacts": directory.shown(),
            "packages": network.versions(),
        }
    if network.gpu_used:
        body["gpuModel"] = next(iter(gpu_choice.names()), "unknown")
    return body


# Of the job's limit. Beyond the whole of it the job is ended; below, a training can be told that
# there is no more, and go on with smaller batches.
_OF_THE_LIMIT = 0.95


def _bounded(job: Job, network: Network) -> contextlib.AbstractContextManager[None]:
    """Within it the host's allocator refuses what is beyond the job's memory limit.

    Not beside a GPU, whose driver reserves addresses without taking memory.
    """
    if network.gpu_used:
        return contextlib.nullcontext()
    return memory_limit.bounded(job.record, _OF_THE_LIMIT)


def _checkpoints(
    job: Job,
    adapter: Adapter,
    network: Network,
    data: TrainingData,
    directory: RunDirectory,
    resumed: Checkpoint | None,
) -> Checkpoints | None:
    """Where the run's checkpoints are kept; compares what it is with what it began as."""
    now = {
        **run_record.of_call(job),
        "framework": adapter.name,
        "algorithm": network.algorithm,
        "versions": network.versions(),
        "data": {**data.origins(job.config), **network.origins()},
        "features": data.names(),
        "classes": network.classes,
        "script": None if network.script is None else run_record.digests(network.script),
    }
    directory.describe(now)
    if resumed is not None:
        run_record.compare(job, resumed.run, now)
    if not network.keeps_checkpoints:
        return None
    kept = Checkpoints(job, now, spent=0.0 if resumed is None else resumed.seconds)
    if resumed is not None:
        kept.take_over(resumed)
    return kept
