"""Native training of a boosting library: what is the same in all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ml_runner import errors, frameworks
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION, Progress
from ml_runner.frameworks.boosting import parameters
from ml_runner.frameworks.boosting.columns import safe_names
from ml_runner.frameworks.boosting.rounds import Rounds, better_in
from ml_runner.training import targets
from ml_runner.training.early_stopping import EarlyStopping
from ml_runner.training.user_code import reported_as_failure

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.frameworks.boosting.model import BoosterModel
    from ml_runner.job import Job

# Rounds in a segment of a training that is kept in segments.
SEGMENT = 100


class NativeLearner(ABC):
    """See ``frameworks.base.Learner``; a library adds the calls of its own.

    A training goes on exactly from a booster's file where the file holds all that its next round
    depends on. Where it does not (rounds that draw at random, above all), the training is cut into
    segments of fixed length, each begun from the file that ends the one before and with a seed of
    its own: whether or not it was interrupted there is then no difference.

    Attributes:
        framework: the adapter's name.
        forbidden: characters that the library refuses in names of features.
        suffix: of the library's model files.
        tasks: class of the library → the task that native training can take over.
        elsewhere: how other classes are trained, in a sentence.
        two_classes, many_classes: the objectives for labels where the call names none.
    """

    framework: ClassVar[str]
    forbidden: ClassVar[str]
    suffix: ClassVar[str]
    tasks: ClassVar[Mapping[str, str]]
    elsewhere: ClassVar[str]
    two_classes: ClassVar[str]
    many_classes: ClassVar[str]

    accepts_strings = False
    accepts_missing = True
    accepts_categories = True
    accepts_weights = True
    watches_validation = True
    heeds_cancel = True
    unit = "round"
    total_key = "numRounds"
    script = None
    gpu_used = False

    # What a library's constructor sets beside the parameters.
    _rounds: int
    parameters: dict[str, Any]

    def __init__(self, job: Job) -> None:
        self._job = job
        named = job.config.get("algorithm")
        title = frameworks.get(self.framework).title
        self.algorithm: str = title if named is None else named.rpartition(".")[2]
        self.task: str | None = None if named is None else self._task_of(self.algorithm)
        self.classes: list[Any] | None = None
        self._sent = dict(job.config.get("hyperparameters") or {})
        self._segment: int | None = None

    def _task_of(self, algorithm: str) -> str:
        if algorithm in self.tasks:
            return self.tasks[algorithm]
        raise errors.InvalidConfiguration(
            f"'{algorithm}' cannot be trained natively with framework '{self.framework}'",
            solution=f"Use one of {', '.join(self.tasks)} here, or leave algorithm out."
            f" {self.elsewhere}",
            metadata={"key": "config.algorithm", "sent": algorithm, "allowed": list(self.tasks)},
        )

    def _agree_on_task(self, objective: Any, task: str, key: str) -> None:
        """Takes the objective's task; refuses it where the class has another one."""
        if self.task is not None and task != self.task:
            raise errors.InvalidConfiguration(
                f"{self.algorithm} is for {self.task}, and the objective '{objective}' for {task}",
                solution="Leave one of the two out.",
                metadata={"key": key, "sent": objective},
            )
        self.task = task

    def versions(self) -> dict[str, str]:
        """The adapter's."""
        return frameworks.get(self.framework).versions()

    # -- checkpoints -----------------------------------------------------------------------------

    @property
    @abstractmethod
    def _needs_segments(self) -> bool:
        """Whether a booster's file does not hold all that the next round depends on."""

    @property
    def _why_not_exact(self) -> str | None:
        """Why not even segments make a resumed run equal; None where they do."""
        return None

    def _choose_segment(self) -> None:
        """Settles the length of segments, where training goes in segments.

        To be called by the constructor once the parameters stand.
        """
        config = self._job.config
        if not self._needs_segments or not config.get("checkpoint"):
            return
        self._segment = int(config.get("checkpointInterval") or SEGMENT)
        exact = "so that a resumed run equals an uninterrupted one"
        self._job.warn(
            f"checkpoint: true with these parameters: trained in segments of {self._segment}"
            f" rounds, each seeded anew, {self._why_not_exact or exact}; beyond the first segment"
            " the model differs from that of one plain call"
        )

    @property
    def keeps_checkpoints(self) -> bool:
        """As asked; else where continuing gives exactly what not stopping would have given."""
        wanted = self._job.config.get("checkpoint")
        return not self._needs_segments if wanted is None else bool(wanted)

    # -- the target ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def _objective(self) -> str | None:
        """The objective among the parameters, if there is one."""

    @abstractmethod
    def _settle_classes(self, objective: str, classes: list[Any]) -> None:
        """Holds the labels against the objective. Raises ``InvalidConfiguration``."""

    def prepare(self, data: TableData) -> None:
        """Settles task, objective and labels."""
        assert data.y is not None
        if self.task is None:
            classifier = next(name for name, task in self.tasks.items() if task == CLASSIFICATION)
            how = f"send hyperparameters.objective, or algorithm: {classifier}"
            self.task = parameters.guess_task(self._job, data.y, how)
        if self.task == REGRESSION:
            targets.require_numbers(data.y, str(self._objective or self.algorithm))
            return
        self.classes = targets.labels(data, self.algorithm)
        if self._objective is None:
            two = len(self.classes) == 2
            self.parameters["objective"] = self.two_classes if two else self.many_classes
            self._job.default("objective", self.parameters["objective"])
        self._settle_classes(str(self._objective), self.classes)

    # -- the fit ---------------------------------------------------------------------------------

    @abstractmethod
    def _tables(self, train: TableData, validation: TableData | None) -> Any:
        """The library's own form of the rows, for ``_boost``."""

    @abstractmethod
    def _boost(
        self, tables: Any, seeded: dict[str, Any], count: int, rounds: Rounds, start: bytes | None
    ) -> Any:
        """``count`` more rounds (fewer, where ``rounds.after`` says so) after those in ``start``.

        Args:
            tables: from ``_tables``.
            seeded: the parameters.
            count: of rounds.
            rounds: to be told of each.
            start: content of a booster's file.

        Returns:
            The booster.
        """

    @abstractmethod
    def _seeded(self, number: int) -> dict[str, Any]:
        """The parameters with the seed of segment ``number``; those of the call for the first."""

    @abstractmethod
    def _content(self, booster: Any) -> bytes:
        """The booster's file, from which ``_boost`` can go on."""

    @abstractmethod
    def _booster(self, content: bytes) -> Any:
        """The booster in a file."""

    @abstractmethod
    def _learning_rate(self) -> tuple[str, float]:
        """The learning rate: the parameter's name, and its value."""

    @abstractmethod
    def _more_is_better(self, metric: str) -> bool:
        """The library's own rule for its metrics."""

    @abstractmethod
    def _model(self, booster: Any, rounds: Rounds) -> BoosterModel:
        """The model; the best round, where one was watched for, is the one that it predicts by."""

    def fit(
        self, train: TableData, *, validation: TableData | None = None, progress: Progress
    ) -> BoosterModel:
        """One native training, or one a segment."""
        renamed = safe_names(train.X, self.forbidden)[1]
        if renamed:
            self._job.warn(f"Columns are called otherwise in the model file: {renamed}")
        tables = self._tables(train, validation)
        rounds = Rounds(
            job=self._job,
            total=self._rounds,
            more_is_better=self._more_is_better,
            progress=progress,
            snapshot=self._content,
            suffix=self.suffix,
            stopping=EarlyStopping.from_config(self._job.config)
            if validation is not None
            else None,
            learning_rate=self._learning_rate(),
            segment=self._segment,
            interval=int(self._job.config.get("checkpointInterval") or 1),
        )
        with reported_as_failure(self.algorithm):
            booster = self._train(tables, rounds)
        model = self._model(booster, rounds)
        model.history = rounds.history
        model.better = better_in(rounds.history, self._more_is_better)
        model.metadata = {"rounds": self._rounds, "finalRound": rounds.done}
        if rounds.stopping is not None:
            model.metadata |= {
                "bestRound": rounds.stopping.best + 1,
                "bestScore": rounds.stopping.best_value,
                "earlyStopped": rounds.stopped_early,
            }
        if self._why_not_exact is not None and self.keeps_checkpoints:
            model.metadata["resume"] = f"not exact: {self._why_not_exact}"
        return model

    def _train(self, tables: Any, rounds: Rounds) -> Any:
        start = rounds.start
        if rounds.over and start is not None:
            return self._booster(start)
        while True:
            size, number = rounds.total - rounds.done, 0
            if self._segment is not None:
                number, within = divmod(rounds.done, self._segment)
                size = min(size, self._segment - within)
            booster = self._boost(tables, self._seeded(number), size, rounds, start)
            if rounds.over:
                return booster
            start = self._content(booster)
            rounds.segment_ended(start)
