"""What the boosting libraries have in common: rounds, targets and early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner import calls, errors
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION, Progress
from ml_runner.nearest import nearest
from ml_runner.training import targets
from ml_runner.training.early_stopping import EarlyStopping
from ml_runner.training.history import History, flat_name

if TYPE_CHECKING:
    from ml_runner.job import Job

# Rounds in a segment of a training that samples and keeps checkpoints.
SEGMENT = 100
# So few distinct whole numbers may be classes.
_FEW = 20


class NativeLearner:
    """What the libraries' native trainings have in common; see ``frameworks.base.Learner``."""

    watches_validation = True
    unit = "round"
    script = None

    _job: Job
    _sampled: bool
    algorithm: str
    task: str | None

    def _agree_on_task(self, objective: Any, task: str, key: str) -> None:
        """Takes the objective's task; refuses it where the class has another one."""
        if self.task is not None and task != self.task:
            raise errors.InvalidConfiguration(
                f"{self.algorithm} is for {self.task}, and the objective '{objective}' for {task}",
                solution="Leave one of the two out.",
                metadata={"key": key, "sent": objective},
            )
        self.task = task

    def _choose_segment(self, config: dict[str, Any]) -> int | None:
        """Rounds of a segment, where training samples and is to be resumable exactly."""
        if not self._sampled or not config.get("checkpoint"):
            return None
        segment = int(config.get("checkpointInterval") or SEGMENT)
        self._job.warn(
            f"checkpoint: true with sampling: trained in segments of {segment} rounds, each seeded"
            " anew, so that a resumed run equals an uninterrupted one; beyond the first segment"
            " the model differs from that of one plain call"
        )
        return segment

    @property
    def keeps_checkpoints(self) -> bool:
        """As asked; else where continuing gives exactly what not stopping would have given."""
        wanted = self._job.config.get("checkpoint")
        return not self._sampled if wanted is None else bool(wanted)


def only_two(objective: str, classes: int, other: str) -> errors.InvalidConfiguration:
    """An objective for two classes, and a target of more; ``other`` is the objective for those."""
    return errors.InvalidConfiguration(
        f"The objective '{objective}' is for two classes, and the target has {classes}",
        solution=f"Use {other}, or leave the objective out.",
        metadata={"key": "config.hyperparameters.objective", "sent": objective},
    )


def miscounted(sent: Any, classes: int) -> errors.InvalidConfiguration:
    """``num_class`` is not the number of the target's labels."""
    return errors.InvalidConfiguration(
        f"hyperparameters.num_class is {sent}, and the target has {classes} classes",
        solution="Leave num_class out: it is counted.",
        metadata={"key": "config.hyperparameters.num_class", "sent": sent},
    )


@dataclass
class Rounds:
    """Follows a training round by round: history, progress, early stopping, checkpoints.

    Attributes:
        job: whose training it is (for the next call that an error proposes).
        total: rounds asked for.
        more_is_better: metric → whether it is to be maximised.
        progress: who is told.
        snapshot: (booster) → its bytes, for checkpoints.
        stopping: the early stopping, or None.
        learning_rate: for the error of a divergence: (parameter's name, value).
        state: what a checkpoint keeps beside the booster.
    """

    job: Job
    total: int
    more_is_better: Callable[[str], bool]
    progress: Progress
    snapshot: Callable[[Any], dict[str, bytes]]
    stopping: EarlyStopping | None
    learning_rate: tuple[str, float]
    state: dict[str, Any] = field(default_factory=dict)
    interval: int = 1
    history: History = field(default_factory=History)
    stopped_early: bool = False
    cancelled: bool = False

    def after(self, booster: Any, values: Mapping[tuple[str, str], float]) -> bool:
        """Takes in one round; True where training is to end.

        Raises:
            TrainingDiverged: a loss is NaN or infinite.
            InvalidConfiguration: ``earlyStopping.metric`` is not measured.
        """
        self.history.add(dict(values))
        self._check_finite(values)
        done = len(self.history)
        latest = {flat_name(*key): float(value) for key, value in values.items()}
        stop = False
        if self.stopping is not None and latest:
            name = self.stopping.name_in(latest)
            better = self.more_is_better(name.partition("_")[2])
            stop = self.stopping.update(done - 1, latest, more_is_better=better)
            self.stopped_early = stop and done < self.total
        self.progress.step("round", done, self.total, latest)
        if self.progress.cancel_requested:
            self.cancelled = True
            self._checkpoint(booster, done, now=True)
            return True
        if done % self.interval == 0 and done < self.total and self.progress.wants_checkpoint():
            self._checkpoint(booster, done, now=False)
        return stop

    def _checkpoint(self, booster: Any, done: int, *, now: bool) -> None:
        series = [[*key, values] for key, values in self.history.series.items()]
        state = {**self.state, "total": self.total, "history": series}
        if self.stopping is not None:
            state["stopping"] = {"best": self.stopping.best, "bestValue": self.stopping.best_value}
        self.progress.checkpoint(done, state, self.snapshot(booster), now=now)

    def _check_finite(self, values: Mapping[tuple[str, str], float]) -> None:
        for (data, metric), value in values.items():
            # The area under a curve of one class is NaN, and no divergence.
            if math.isfinite(value) or self.more_is_better(metric):
                continue
            series = self.history.series[data, metric]
            valid = [earlier for earlier in series if math.isfinite(earlier)]
            name, rate = self.learning_rate
            what = "NaN" if math.isnan(value) else "infinite"
            raise errors.TrainingDiverged(
                f"{flat_name(data, metric)} became {what} at round {len(self.history)}",
                solution=f"Reduce {name} (now {rate:g}; try {rate / 10:g}), or check the target"
                " for values out of all proportion.",
                metadata={
                    "round": len(self.history),
                    "metric": flat_name(data, metric),
                    "lastValidLoss": valid[-1] if valid else None,
                    "learningRate": rate,
                },
                next_call=calls.repeat(self.job, {"hyperparameters": {name: rate / 10}}),
            )

    @property
    def best_score(self) -> float | None:
        """The watched metric at the best round."""
        return None if self.stopping is None else self.stopping.best_value

    @property
    def best(self) -> int | None:
        """Position (from 0) of the best round, where early stopping watched."""
        return self.stopping.best if self.stopping is not None else None


def better_in(history: History, rule: Callable[[str], bool]) -> dict[str, bool]:
    """Metric → whether more is better, of every metric in a history."""
    return {metric: rule(metric) for _, metric in history.series}


def take_rounds(job: Job, parameters: dict[str, Any], aliases: Iterable[str], default: int) -> int:
    """Takes the number of rounds out of ``parameters`` or ``numRounds``; notes the default.

    Raises:
        InvalidConfiguration: two that differ, or one that is no positive whole number.
    """
    given: dict[str, Any] = {}
    if job.config.get("numRounds") is not None:
        given["config.numRounds"] = job.config["numRounds"]
    for alias in aliases:
        if alias in parameters:
            given[f"config.hyperparameters.{alias}"] = parameters.pop(alias)
    if not given:
        job.default("numRounds", default)
        return default
    key, value = next(iter(given.items()))
    if len(set(map(str, given.values()))) > 1:
        raise errors.InvalidConfiguration(
            "The number of rounds is given twice: "
            + ", ".join(f"{name} = {number}" for name, number in given.items()),
            solution="Send numRounds alone.",
            metadata={"key": key, "sent": given},
        )
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise errors.InvalidConfiguration(
            f"{key} is {value!r}",
            solution="Send a whole number of rounds, 1 or more.",
            metadata={"key": key, "sent": value, "allowed": "an integer of 1 or more"},
        )
    return value


def refuse_unknown(
    sent: Mapping[str, Any],
    known: Iterable[str],
    title: str,
    hints: Mapping[str, str],
    *,
    preferred: Iterable[str] = (),
) -> None:
    """Raises ``InvalidConfiguration`` for a hyperparameter that the library does not know.

    Args:
        sent: the hyperparameters.
        known: names that are fine.
        preferred: those of them to suggest, where some are only other names of others.
        title: the library, for the message.
        hints: name → what to use instead, for names of the library's other interfaces.
    """
    names = sorted(known)
    shown = sorted(set(preferred) & set(names)) or names
    for name, value in sent.items():
        if name in names:
            continue
        key = f"config.hyperparameters.{name}"
        if name in hints:
            raise errors.InvalidConfiguration(
                f"'{name}' is not a parameter of {title}'s native training",
                solution=hints[name],
                metadata={"key": key, "sent": value},
            )
        near = nearest(name, shown) or nearest(name, names)
        raise errors.InvalidConfiguration(
            f"{title} has no parameter '{name}'",
            solution=f"Did you mean '{near}'? All that it has are in metadata.allowed."
            if near
            else f"It has: {', '.join(shown)}.",
            metadata={
                "key": key,
                "sent": value,
                "allowed": shown,
                **({"nearest": near} if near else {}),
            },
        )


def set_seed(job: Job, parameters: dict[str, Any], aliases: Iterable[str]) -> None:
    """Puts ``config.seed`` among the parameters; the library's own stays where there is none.

    Raises:
        InvalidConfiguration: the hyperparameters have another one.
    """
    seed = job.config.get("seed")
    own = [alias for alias in aliases if alias in parameters]
    if seed is None:
        return
    if own and parameters[own[0]] != seed:
        raise errors.InvalidConfiguration(
            f"config.seed is {seed}, and hyperparameters.{own[0]} is {parameters[own[0]]}",
            solution="Send one of the two.",
            metadata={"key": "config.seed", "sent": seed},
        )
    if not own:
        parameters["seed"] = seed


def guess_task(job: Job, target: Any, how: str) -> str:
    """The task where neither algorithm nor objective names one: by the target's type.

    Numbers are a regression, as the libraries themselves have it; few whole numbers are warned of.

    Args:
        job: who is warned.
        target: Series.
        how: what to send for a classification, for the warning.
    """
    if targets.holds_labels(target):
        return CLASSIFICATION
    values = target.to_numpy()
    distinct = np.unique(values)
    few = len(distinct) <= _FEW and len(distinct) * 5 <= len(values)
    if few and np.all(distinct == np.floor(distinct)):
        job.warn(
            f"The target '{target.name}' holds {len(distinct)} distinct whole numbers and is"
            f" learned as a regression, the library's default; for classes {how}"
        )
    return REGRESSION


def encode(target: Any, classes: list[Any]) -> np.ndarray:
    """(n,) positions of the labels among ``classes``, as floats.

    Raises:
        DataLoadingError: a label that is not among them.
    """
    values = target.to_numpy()
    if values.dtype == object:
        values = np.asarray(values.tolist())
    targets.refuse_unseen(np.unique(values).tolist(), classes, str(target.name), "these rows")
    return np.searchsorted(np.asarray(classes), values).astype(np.float32)


def safe_names(X: Any, forbidden: str) -> tuple[Any, dict[str, str]]:
    """X with column names that the library takes, and which were changed (old → new).

    Args:
        X: DataFrame.
        forbidden: characters that a name must not have; each becomes ``_``.
    """
    if not any(character in str(name) for name in X.columns for character in forbidden):
        return X, {}
    table = str.maketrans(dict.fromkeys(forbidden, "_"))
    taken: set[str] = set()
    names: list[str] = []
    for name in map(str, X.columns):
        new, number = name.translate(table), 2
        while new in taken:
            new, number = f"{name.translate(table)}_{number}", number + 1
        taken.add(new)
        names.append(new)
    changed = {str(old): new for old, new in zip(X.columns, names, strict=True) if str(old) != new}
    return X.set_axis(names, axis=1), changed
