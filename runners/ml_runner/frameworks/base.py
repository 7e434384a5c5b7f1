"""What a framework must be able to do: the protocols that every adapter fills.

An action works with an ``Adapter``, the ``Learner`` it makes from a call, and the ``Model`` that
comes out of a fit, and knows no framework beyond these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ml_runner.training.history import History
from ml_runner.training.metrics import Metric, Outputs

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.data.samples import Samples, Scaling, Tokenizer
    from ml_runner.job import Job
    from ml_runner.scripts import Script
    from ml_runner.training.checkpoints import Checkpoint
    from ml_runner.training.epochs.measured import Measured
    from ml_runner.training.epochs.sources import TrainingData
    from ml_runner.training.epochs.watch import EpochWatch

CLASSIFICATION, REGRESSION, MULTI_LABEL = "classification", "regression", "multilabel"
# Of a file; or of each file of a directory by its name, the one that is loaded first.
Content = bytes | Mapping[str, bytes]


@dataclass(frozen=True)
class FitState:
    """Where an interrupted fit stood, as it said itself in ``Progress.checkpoint``.

    Attributes:
        done: units behind it.
        state: the JSON values; NaN and infinities have become strings that ``float`` takes.
        files: suffix → content.
    """

    done: int
    state: Mapping[str, Any]
    files: Mapping[str, bytes]


class Progress(Protocol):
    """What a fit tells while it runs, and what it asks.

    Attributes:
        resumed: where to go on, for a fit that was interrupted; the first ``step`` tells its
            ``done``. None: from the beginning.
        keeps_checkpoints: this fit is to write checkpoints; a last one when it is asked to stop.
    """

    resumed: FitState | None

    @property
    def keeps_checkpoints(self) -> bool: ...  # noqa: D102

    def step(self, unit: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        """``done`` of ``total`` units are behind; cheap enough for every step."""
        ...

    @property
    def cancel_requested(self) -> bool:
        """Whether to stop at the next good place (where a checkpoint can be written)."""
        ...

    def checkpoint(
        self, done: int, state: Mapping[str, Any], files: Mapping[str, bytes], *, now: bool = False
    ) -> None:
        """Writes a checkpoint, if one is due (``now``: in any case); does nothing in a fold.

        What is written must suffice to go on exactly: the same model, histories and best unit as
        without an interruption.

        Args:
            done: units behind it.
            state: JSON values (NaN and infinities too).
            files: suffix → content.
            now: in any case.
        """
        ...

    def wants_checkpoint(self) -> bool:
        """Whether a checkpoint is due, so that its state is worth collecting."""
        ...


@dataclass(frozen=True)
class Estimator:
    """A scikit-learn-compatible estimator class and what it needs, as its own adapter knows it.

    Attributes:
        cls: the class.
        framework: name of the adapter that it belongs to.
        parameters: names that its constructor or its library takes beyond ``get_params()``.
        encoded_labels: it takes only the labels 0 … k-1.
        default_seed: what ``random_state`` is set to where the call says nothing (None: its own).
        threads: set ``n_jobs`` to the job's threads even though the result may depend on it.
        accepts_strings: it takes columns of strings as they are.
        accepts_categories: it takes pandas' category columns as they are.
        for_categories: parameters to set where there are columns of categories.
    """

    cls: type
    framework: str
    parameters: frozenset[str] = frozenset()
    encoded_labels: bool = False
    default_seed: int | None = 0
    threads: bool = False
    accepts_strings: bool = False
    accepts_categories: bool = False
    for_categories: Mapping[str, Any] = field(default_factory=dict)

    def check_values(self, sent: Mapping[str, Any]) -> None:
        """Lets the library judge values that its classes themselves do not.

        Raises:
            InvalidConfiguration: naming the parameter.
        """

    def fit_hooks(
        self, estimator: Any, progress: Progress
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """(parameters set for the fit alone, keyword arguments of ``fit``) that report rounds."""
        return {}, {}


@runtime_checkable
class Model(Protocol):
    """A fitted model.

    Attributes:
        algorithm: class name or the like.
        task: ``classification`` or ``regression``.
        classes: all labels in the order of probability columns; None for numbers.
        history: what each round measured, where there were rounds.
        better: metric of the history → whether more is better.
        metadata: what a report should say of it (``bestRound``, ``finalRound``, …).
    """

    algorithm: str
    task: str
    classes: list[Any] | None
    history: History | None
    better: dict[str, bool]
    metadata: dict[str, Any]

    @property
    def has_probabilities(self) -> bool:
        """Whether ``outputs`` can hold probabilities."""
        ...

    def outputs(self, X: Any, *, probabilities: bool = True) -> Outputs:
        """Predictions for n rows; with ``probabilities`` also those (or decision values)."""
        ...

    def feature_importances(self) -> np.ndarray | None:
        """(features,) in the order of the columns, or None where it has none."""
        ...

    @property
    def importance_type(self) -> str:
        """What ``feature_importances`` are, in a few words."""
        ...

    def files(self) -> Mapping[str, tuple[str, Content]]:
        """What to save: artifact key → (name, content); ``model`` is always among them."""
        ...

    def describe(self) -> dict[str, Any]:
        """What ``Adapter.load`` needs beside the model file; becomes part of the descriptor."""
        ...


class Learner(Protocol):
    """An algorithm with its parameters, checked before any data was read; fits any number of times.

    Attributes:
        algorithm: its name in reports.
        task: ``classification`` or ``regression``; None until ``prepare`` has seen the target.
        classes: labels, after ``prepare``; None for numbers.
        accepts_strings: takes columns of strings.
        accepts_missing: takes missing values.
        accepts_categories: takes columns of categories.
        accepts_weights: takes sample weights.
        watches_validation: validation data take part in the fit (a split is for that, not a test).
        gpu_used: whether fits run on a GPU.
        parameters: all its parameters, for the descriptor.
        keeps_checkpoints: the final fit writes checkpoints, as asked or because that changes
            nothing.
        heeds_cancel: a fit looks at ``Progress.cancel_requested`` often, writes a checkpoint then
            and ends by itself; else it is broken off by ``Cancelled``.
        total_key: the config key that may be given a larger value to go on with a finished fit
            (``numRounds``, ``epochs``), or None. Where there is one, the last state of a finished
            fit is written as a checkpoint too, and ``job.new_total`` stands for the key's value.
        unit: what a fit counts: ``round``, ``epoch``, ``tree``.
        script: the caller's own code that it is made of; None where it is the library's.
    """

    algorithm: str
    task: str | None
    classes: list[Any] | None
    accepts_strings: bool
    accepts_missing: bool
    accepts_categories: bool
    accepts_weights: bool
    watches_validation: bool
    gpu_used: bool
    parameters: dict[str, Any]
    heeds_cancel: bool
    total_key: str | None
    script: Script | None

    @property
    def keeps_checkpoints(self) -> bool: ...  # noqa: D102

    @property
    def unit(self) -> str: ...  # noqa: D102

    def versions(self) -> dict[str, str]:
        """Distribution → version of what this algorithm is computed with."""
        ...

    def prepare(self, data: TableData) -> None:
        """Holds the target against the algorithm; fixes ``task`` and ``classes``.

        Raises:
            InvalidConfiguration: they do not go together.
            DataLoadingError: a target from which nothing can be learned.
        """
        ...

    def fit(
        self, train: TableData, *, validation: TableData | None = None, progress: Progress
    ) -> Model:
        """Fits a fresh model.

        Raises:
            TrainingFailure: the library raised.
            TrainingDiverged: a metric became NaN or infinite.
        """
        ...


class Network(Protocol):
    """A network that is trained by epochs, its call checked before any data was read.

    Attributes:
        algorithm: its name in reports.
        task: after ``prepare``: ``classification``, ``regression``, ``multilabel``; None where only
            the caller's script knows what its outputs mean.
        classes: labels, after ``prepare``; None for numbers.
        epochs: to be trained in all.
        channels_first: the order of an image's axes.
        tokenizer: of a network that reads texts; None for any other.
        gpu_used: whether it is trained on a GPU.
        keeps_checkpoints: whether checkpoints are written.
        parameters: what the call says of the training, for the descriptor.
        script: the caller's own code; None where the model needs none.
        scaling: of a table's features, as a pretrained model was trained with; None: learned from
            the training rows, where the call asks for one.
    """

    algorithm: str
    task: str | None
    classes: list[Any] | None
    epochs: int
    channels_first: bool
    tokenizer: Tokenizer | None
    gpu_used: bool
    script: Script | None
    scaling: Scaling | None

    @property
    def keeps_checkpoints(self) -> bool: ...  # noqa: D102
    @property
    def parameters(self) -> dict[str, Any]: ...  # noqa: D102

    def versions(self) -> dict[str, str]:
        """Distribution → version of what it is computed with."""
        ...

    def origins(self) -> dict[str, dict[str, Any]]:
        """Config key → path and fingerprint of what it began from, for whoever resumes the run."""
        ...

    def task_for(self, targets: np.ndarray) -> str | None:
        """The task that the call's loss makes of such targets; None: what they suggest."""
        ...

    def own_data(self) -> TrainingData | None:
        """Data that the caller's script brings itself; None: those that the call names.

        Raises:
            ModelLoadingError: what it brings are no data.
            DataLoadingError: they are empty.
        """
        ...

    def prepare(self, data: TrainingData) -> None:
        """Builds it for the data. Raises ``InvalidConfiguration``, ``ModelLoadingError``."""
        ...

    def outputs_on(self, model: Model, part: Any) -> tuple[Outputs, np.ndarray] | None:
        """(what the trained model says of a part of the data, what is true: labels or numbers).

        None where the caller's script gives nothing but a loss.
        """
        ...

    def train(self, watch: EpochWatch, measured: Measured, start: Checkpoint | None) -> Model:
        """Trains until ``watch`` has its epochs, from ``start`` where that is given.

        Raises:
            TrainingDiverged: a loss became NaN or infinite.
            TrainingFailure: the framework, or the caller's code, raised.
            Cancelled: the job was asked to stop; a checkpoint was written.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """For the report's metadata: ``batchSize``, ``modelParameters``, ``optimizer``, …"""
        ...

    def summary(self) -> list[str]:
        """Lines for the training log: the model by its parts."""
        ...


class Adapter(Protocol):
    """A framework.

    Attributes:
        name: as in calls and reports.
        title: as people write it.
        script_imports: what a ``modelScript`` that is written for it imports.
        taking_categories: its algorithms that take columns of categories as they are.
        resumable: which of its trainings can be resumed, in a sentence.
    """

    name: str
    title: str
    script_imports: tuple[str, ...]
    taking_categories: tuple[str, ...]

    @property
    def resumable(self) -> str: ...  # noqa: D102

    def preload(self) -> None:
        """Imports all that a job needs, and computes nothing. Raises ``FrameworkNotFound``."""
        ...

    def versions(self) -> dict[str, str]:
        """Distribution → version of what decides its results; only what is installed."""
        ...

    def claims(self, algorithm: str) -> int:
        """0: not its algorithm; 1: it can train it; 2: it is its own. Imports nothing foreign."""
        ...

    def algorithms(self) -> list[str]:
        """Names that ``algorithm`` may have, for suggestions."""
        ...

    def estimator_class(self, name: str) -> Estimator | None:
        """Its scikit-learn-compatible estimator of that class name (dotted too), or None."""
        ...

    def metric(self, name: str) -> Metric | None:
        """The metric that its library has under this name, or None."""
        ...

    def metrics(self) -> list[str]:
        """Names for ``metric``, for suggestions."""
        ...

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the file looks like a model of its (``head``: its first bytes)."""
        ...

    def is_safe(self, path: Path) -> bool:
        """Whether loading such a file runs no code of its author's."""
        ...

    def load(self, path: Path, data: bytes, description: Mapping[str, Any] | None) -> Model:
        """The model in ``data``, the content of ``path``.

        Args:
            path: for messages.
            data: the bytes.
            description: what ``Model.describe`` said; None where the file came alone.

        Raises:
            ModelLoadingError: it is not what it should be; says what it is.
        """
        ...

    def columns(self, model: Model, available: Sequence[str]) -> list[str] | None:
        """The feature columns that the model itself names, where it came without a description.

        Args:
            model: loaded by this adapter.
            available: the table's columns, for libraries that write names otherwise.
        """
        ...


@runtime_checkable
class LoadsWeights(Protocol):
    """A framework whose files may hold weights alone, which need a script of the caller's."""

    def load_weights(
        self,
        path: Path,
        data: bytes,
        script: Script,
        config: Mapping[str, Any],
        *,
        allow_pickle: bool,
    ) -> tuple[Model, list[str]]:
        """(the script's model with the weights in ``data``, what a caller should know of it).

        Args:
            path: for messages.
            data: the content of ``path``.
            script: imported.
            config: the call's: ``modelClass``, ``modelArgs``, ``lossFunction``.
            allow_pickle: the caller trusts the file.

        Raises:
            ModelLoadingError: they are not weights of such a model; names the tensors.
            InvalidConfiguration: ``config`` does not fit the script.
        """
        ...


@runtime_checkable
class TakesSamples(Model, Protocol):
    """A model whose inputs are ``Samples``, not a table.

    Attributes:
        channels_first: the order of an image's axes.
        tokenizer: of a model that reads texts; None for any other.
    """

    channels_first: bool
    tokenizer: Tokenizer | None

    def meet(self, samples: Samples, warn: Callable[[str], None]) -> None:
        """Sees samples that were read without a description, before it predicts them.

        ``task`` and ``classes`` are known afterwards.

        Raises:
            DataLoadingError, InvalidConfiguration: they do not go with the model.
        """
        ...


@runtime_checkable
class ReadsArrays(Protocol):
    """A framework with a format of its own for arrays of data.

    Attributes:
        array_suffixes: endings of such files, with their dot.
    """

    array_suffixes: tuple[str, ...]

    def arrays(self, path: Path) -> dict[str, np.ndarray]:
        """Name → array of a file, read without running any code in it.

        Raises:
            DataLoadingError: it is not such a file, or damaged.
            FrameworkNotFound: the library is absent.
        """
        ...


@runtime_checkable
class KeepsDirectories(Protocol):
    """A framework some of whose models are directories."""

    def model_in(self, directory: Path) -> Path | None:
        """The file of weights of such a directory, by which it is loaded; None for any other.

        Imports nothing foreign.
        """
        ...

    def directory_facts(self, directory: Path) -> dict[str, Any]:
        """What such a directory says of its model: ``algorithm``, ``classes``, …

        Imports nothing foreign.
        """
        ...


@runtime_checkable
class FitsTables(Adapter, Protocol):
    """A framework whose algorithms are fitted on tables."""

    def learner(self, job: Job) -> Learner:
        """What the call asks to train.

        Raises:
            InvalidConfiguration: algorithm or hyperparameters that it does not have.
            FrameworkNotFound: the library is absent.
        """
        ...


@runtime_checkable
class TrainsNetworks(Adapter, Protocol):
    """A framework whose networks are trained by epochs."""

    def network(self, job: Job) -> Network:
        """What the call asks to train.

        Raises:
            InvalidConfiguration, ModelLoadingError: the script, or a name in the call, will not do.
            FrameworkNotFound: the library is absent.
        """
        ...


@runtime_checkable
class FineTunes(Adapter, Protocol):
    """A framework that trains pretrained models further, by epochs."""

    def takes_directory(self, path: Path) -> bool:
        """Whether the directory is a pretrained model in a form of its own, not a run's output.

        Imports nothing foreign.
        """
        ...

    def pretrained(self, job: Job, path: Path) -> Network:
        """What the call asks to train further.

        Args:
            job: the call's.
            path: absolute: a directory that it takes, or a model file of its framework.

        Raises:
            InvalidConfiguration, ModelLoadingError: the model, or a name in the call, will not do.
            FrameworkNotFound: the library is absent.
        """
        ...
