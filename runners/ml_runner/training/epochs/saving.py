"""Writing down a training by epochs: the models with their descriptions, histories, plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_runner import descriptors, report
from ml_runner.training import pictures
from ml_runner.training.saving import save_script

if TYPE_CHECKING:
    from ml_runner.frameworks.base import Adapter, Model, Network
    from ml_runner.job import Job
    from ml_runner.training.epochs.sources import TrainingData
    from ml_runner.training.epochs.watch import EpochWatch
    from ml_runner.training.run_directory import RunDirectory

# Each of these can be evaluated and predicted with, and so has a description.
_MODELS = ("bestModel", "lastModel")


def save(
    job: Job,
    directory: RunDirectory,
    adapter: Adapter,
    network: Network,
    model: Model,
    data: TrainingData,
) -> dict[str, Any]:
    """Writes best and last model, each with its description, and the state of the optimizer.

    Returns:
        What the report says of them: ``modelSize``, ``modelSizeBytes``.
    """
    script = None if network.script is None else save_script(directory, network.script)
    facts: dict[str, Any] = {}
    for key, (name, content) in model.files().items():
        if isinstance(content, bytes):
            path = directory.write(key, name, content)
        else:
            path = directory.write_directory(key, name, content)
            content = next(iter(content.values()))
        if key not in _MODELS:
            continue
        if not facts:
            facts = {"modelSize": report.size_words(len(content)), "modelSizeBytes": len(content)}
        description = descriptors.describe(
            job,
            adapter,
            model,
            data.description(),
            content,
            name=path.name,
            parameters=network.parameters,
            preprocessing=[],
            versions=network.versions(),
            trained_on=data.origin(),
            script=script,
        )
        directory.write(
            None, str(descriptors.path_of(path).relative_to(directory.path)), description
        )
    return facts


def write_history(
    job: Job,
    directory: RunDirectory,
    network: Network,
    watch: EpochWatch,
    seconds: float,
    summary: Mapping[str, Any],
) -> None:
    """Writes ``metrics.csv``, ``training.log`` and the plots.

    Args:
        job: whose training it was.
        directory: its output directory.
        network: for its name.
        watch: with the history.
        seconds: that the training took.
        summary: what else the log tells, name → value.
    """
    history = watch.history
    directory.write("metricsCSV", "metrics.csv", history.to_csv())
    lines = [
        f"job {job.id}: {network.algorithm}",
        *network.summary(),
        *history.to_log(),
        *(f"{key}: {value}" for key, value in summary.items()),
        f"training took {report.duration_words(seconds)}",
    ]
    directory.write("trainingLog", "training.log", "\n".join(lines) + "\n")
    metrics = list(dict.fromkeys(metric for _, metric in history.series))
    panels = {
        metric: {data: values for (data, name), values in history.series.items() if name == metric}
        for metric in metrics
    }
    for metric, name in (("loss", "loss"), ("accuracy", "accuracy")):
        if metric not in panels:
            continue
        pictures.save(
            job,
            directory,
            f"{name}Plot",
            f"{name}.png",
            lambda plots, metric=metric: plots.rounds(
                panels[metric],
                metric=metric,
                unit=history.unit,
                title=f"{network.algorithm}: {metric} by epoch",
                best=watch.best + 1,
                first=history.first,
            ),
        )
    pictures.save(
        job,
        directory,
        "metricsPlot",
        "metrics.png",
        lambda plots: plots.panels(
            panels,
            unit=history.unit,
            title=f"{network.algorithm}: metrics by epoch",
            best=watch.best + 1,
            first=history.first,
        ),
    )
