"""The metrics of a training by epochs: loss, the usual ones of its task, those that were asked for.

Labels are measured as positions (0 … k-1): the order is that of the sorted labels, so every figure
is that of the labels themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import errors
from ml_runner.frameworks.base import CLASSIFICATION
from ml_runner.training import requested
from ml_runner.training.metrics import Metric, Outputs, Truth

if TYPE_CHECKING:
    from ml_runner.frameworks.base import Model, Network
    from ml_runner.job import Job
    from ml_runner.training.history import History


@dataclass
class Measured:
    """What is measured in each epoch, and how.

    Attributes:
        task: ``classification`` or ``regression``; None: nothing but the loss can be measured.
        classes: labels in order; None for numbers.
        average: how precision, recall and f1 are averaged; None for numbers.
        metrics: all of them, those that are no single number included.
    """

    task: str | None
    classes: list[Any] | None
    average: str | None
    metrics: list[Metric]

    def more_is_better(self, name: str) -> bool:
        """Whether the metric of this name in a history is to be maximised."""
        return any(metric.name == name and metric.greater_is_better for metric in self.metrics)

    def better_in(self, history: History) -> dict[str, bool]:
        """Metric → whether more is better, of all in a history."""
        return {name: self.more_is_better(name) for _, name in history.series}

    def figures(
        self, truth: np.ndarray, predictions: np.ndarray, probabilities: np.ndarray | None
    ) -> dict[str, float]:
        """Metric → value, of those that are one number and can be told from what there is.

        Args:
            truth: (n,) positions of the labels, or numbers.
            predictions: likewise.
            probabilities: (n, k), or None.
        """
        if self.task == CLASSIFICATION and truth.ndim > 1:  # a label for each place of a sample
            truth, predictions = truth.reshape(-1), predictions.reshape(-1)
        outputs = Outputs(predictions, probabilities)
        known = Truth(
            target=truth,
            task=str(self.task),
            classes=None if self.classes is None else list(range(len(self.classes))),
            average=self.average or "macro",
        )
        return {
            metric.name: float(requested.measure(metric, known, outputs))
            for metric in self.metrics
            if metric.scalar and (metric.needs is None or probabilities is not None)
        }


def chosen(job: Job, network: Network, asked: list[Metric]) -> Measured:
    """What a training is to be measured by.

    Raises:
        InvalidConfiguration: a metric that does not fit the task, or one that needs labels where
            the loss is the script's own.
    """
    task = network.task
    if task is None:
        if asked:
            raise errors.InvalidConfiguration(
                f"The metric '{asked[0].name}' cannot be measured: what the outputs of this model"
                " mean is known to its script alone",
                solution="Leave metrics out, or use a lossFunction of the library.",
                metadata={"key": "config.metrics", "sent": asked[0].name},
            )
        return Measured(None, None, None, [])
    average = requested.check_average(job.config.get("average"), task, network.classes)
    metrics = requested.for_task(task, requested.USUAL[task], asked)
    return Measured(task, network.classes, average, metrics)


def on_test(network: Network, model: Model, test: Any, measured: Measured) -> dict[str, Any] | None:
    """``testAccuracy``, … of the best model on the test set; None without one."""
    if test is None or measured.task is None:
        return None
    found = network.outputs_on(model, test)
    if found is None:
        return None
    outputs, target = found
    truth = Truth(
        target=target,
        task=measured.task,
        classes=model.classes,
        average=measured.average or "macro",
    )
    return {
        f"test{metric.short}": requested.measure(metric, truth, outputs)
        for metric in measured.metrics
    }
