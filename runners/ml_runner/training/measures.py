"""What a training is measured by, and on which rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_runner import errors
from ml_runner.training import requested, tables
from ml_runner.training.metrics import Metric, Truth

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.frameworks.base import Learner, Model
    from ml_runner.job import Job


class Measures:
    """The metrics of a training: the usual ones of its task, and those that the call names.

    Args:
        job: whose call it is.
        learner: after ``prepare``.
        asked: the metrics that the call names.
        has_test: there are rows that no fit sees.

    Attributes:
        average: how precision, recall and f1 are averaged; None for numbers.
        in_folds: those that are one number.

    Raises:
        InvalidConfiguration: one that does not fit the task, or is no number and has no test set.
    """

    def __init__(self, job: Job, learner: Learner, asked: list[Metric], *, has_test: bool) -> None:
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
            # A fold that lacks a class is still averaged as the whole is.
            average=self.average or "macro",
        )
        return [(metric, requested.measure(metric, truth, outputs)) for metric in metrics]

    def final(self, model: Model, data: tables.Tables) -> dict[str, Any]:
        """``trainAccuracy``, ``validationAccuracy``, ``testAccuracy``, … of the final model."""
        result: dict[str, Any] = {}
        for name, part in (
            ("train", data.train),
            ("validation", data.validation),
            ("test", data.test),
        ):
            if part is None or (name == "validation" and part is data.test):
                continue
            metrics = self._all if name == "test" else self.in_folds
            for metric, value in self.scores(model, part, metrics):
                result[f"{name}{metric.short}"] = value
        return result
