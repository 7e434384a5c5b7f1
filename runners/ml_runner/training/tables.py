"""Reading the tables of a training: for training, validation and test, all in one form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import errors
from ml_runner.data import Table, TableData, align, read_asked, select
from ml_runner.frameworks.base import CLASSIFICATION
from ml_runner.training import advice, targets
from ml_runner.training.cross_validation import FoldPlan, hold_out

if TYPE_CHECKING:
    from ml_runner.frameworks.base import Learner
    from ml_runner.job import Job


@dataclass
class Tables:
    """The rows of a training.

    Attributes:
        train: what is learned from (and cross-validated).
        validation: what the learner watches while it fits, or None.
        test: what the final model is measured on, or None.
    """

    train: TableData
    validation: TableData | None
    test: TableData | None


def read(job: Job, key: str) -> Table:
    """The table at ``config[key]``.

    Raises:
        InvalidConfiguration: the key is missing.
        DataLoadingError: see ``data.read_table``.
    """
    sent = job.config.get(key)
    if sent is None:
        raise errors.InvalidConfiguration(
            f"config.{key} is missing",
            solution=f"Send the path of a table as config.{key}.",
            metadata={"key": f"config.{key}"},
        )
    path: Path = job.resolve(sent, key=f"config.{key}")
    return read_asked(path, job.config, job.warn)


def load(job: Job, learner: Learner, plan: FoldPlan | None) -> Tables:
    """Reads and checks every table of the call; splits where it says so.

    Raises:
        InvalidConfiguration, DataLoadingError: a key is missing, or the data do not hold.
    """
    config = job.config
    for key in ("targetColumn", "dataPath"):
        if config.get(key) is None:
            raise errors.InvalidConfiguration(
                f"config.{key} is missing",
                solution=f"Send config.{key}: it is never guessed.",
                metadata={"key": f"config.{key}"},
            )
    data = select(
        read(job, "dataPath"),
        target_column=config["targetColumn"],
        feature_columns=config.get("featureColumns"),
        weight_column=config.get("sampleWeightColumn"),
        group_column=None if plan is None else plan.group_column,
        categorical=config.get("categorical"),
        accepts_strings=learner.accepts_strings,
        accepts_missing=learner.accepts_missing,
        for_text=advice.for_text(accepts_categories=learner.accepts_categories),
        for_missing=advice.for_missing(),
        warn=job.warn,
    )
    learner.prepare(data)
    train, held = data, None
    if config.get("validationSplit") is not None:
        seed = config.get("seed")
        if seed is None:
            job.default("validationSplit.seed", 0)
        rows, held_rows = hold_out(len(data.X), config["validationSplit"], seed or 0)
        train, held = take(data, rows), take(data, held_rows)
    validation = _further(job, "validationData", data, learner)
    test = _further(job, "testData", data, learner)
    if held is not None:
        # Rows by which early stopping chooses are no test any more.
        as_test = test is None and config.get("earlyStopping") is None
        if learner.watches_validation or not as_test:
            validation = held
        if as_test:
            test = held
    return Tables(train, validation, test)


def _further(job: Job, key: str, data: TableData, learner: Learner) -> TableData | None:
    if job.config.get(key) is None:
        return None
    further = align(
        read(job, key),
        data.schema,
        with_target=True,
        accepts_missing=learner.accepts_missing,
        warn=job.warn,
    )
    check_target(further, learner.task, learner.classes, f"'{further.table.path}'")
    return further


def check_target(data: TableData, task: str | None, classes: list[Any] | None, where: str) -> None:
    """Raises ``DataLoadingError`` for labels that the model does not know, or that are numbers not.

    Labels are compared as they stand: the text "1" is not the number 1.
    """
    assert data.y is not None
    if task != CLASSIFICATION:
        targets.require_numbers(data.y, "this model")
        return
    targets.refuse_unseen(
        list(dict.fromkeys(data.y.tolist())), classes or [], str(data.y.name), where
    )


def take(data: TableData, rows: np.ndarray) -> TableData:
    """Some rows of a table, in the order given."""
    return replace(
        data,
        X=data.X.iloc[rows],
        y=None if data.y is None else data.y.iloc[rows],
        weight=None if data.weight is None else data.weight.iloc[rows],
        groups=None if data.groups is None else data.groups.iloc[rows],
    )


def target_array(data: TableData) -> np.ndarray:
    """The target as NumPy has it: strings as fixed-width text, which compares fast."""
    assert data.y is not None
    values = data.y.to_numpy()
    return np.asarray(values.tolist()) if values.dtype == object else values
