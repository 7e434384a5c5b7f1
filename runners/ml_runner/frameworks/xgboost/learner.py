"""``xgboost.train`` on tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xgboost
from xgboost.callback import TrainingCallback

from ml_runner import errors, frameworks, gpu_choice
from ml_runner.frameworks import boosting
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION, Progress
from ml_runner.frameworks.xgboost import parameters as names
from ml_runner.frameworks.xgboost.model import FORBIDDEN, XGBoostModel
from ml_runner.training import targets
from ml_runner.training.early_stopping import EarlyStopping
from ml_runner.training.user_code import reported_as_failure

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.job import Job

# The classes whose objective and default number of rounds the native training can take over.
TASKS = {"XGBClassifier": CLASSIFICATION, "XGBRegressor": REGRESSION}
_LIBRARY_ROUNDS, _CLASS_ROUNDS = 10, 100


class XGBoostLearner(boosting.NativeLearner):
    """See ``frameworks.base.Learner``."""

    accepts_strings = False
    accepts_missing = True
    accepts_categories = True
    accepts_weights = True

    def __init__(self, job: Job) -> None:
        self._job = job
        config = job.config
        named = config.get("algorithm")
        self.algorithm = "XGBoost" if named is None else named.rpartition(".")[2]
        self.task: str | None = None if named is None else _task_of(self.algorithm)
        self.classes: list[Any] | None = None
        self._sent = dict(config.get("hyperparameters") or {})
        own = dict(self._sent)
        default = _LIBRARY_ROUNDS if named is None else _CLASS_ROUNDS
        self._rounds = boosting.take_rounds(job, own, names.ROUNDS, default)
        boosting.refuse_unknown(own, names.known(), "XGBoost", names.HINTS)
        boosting.set_seed(job, own, names.SEEDS)
        if not any(alias in own for alias in names.THREADS):
            own["nthread"] = job.threads
        own.setdefault("verbosity", 0)
        self.gpu_used = self._choose_device(own)
        self.parameters = own
        self._probed = names.check_values(own, self._sent)
        self._take_task_of_objective(own.get("objective"))
        self._sampled = names.is_sampled(own)
        self._segment = self._choose_segment(config)

    def _choose_device(self, own: dict[str, Any]) -> bool:
        wanted, sent = self._job.request.get("gpuEnabled"), str(own.get("device", ""))
        if sent:
            on_gpu = sent.startswith(("cuda", "gpu"))
            if on_gpu and wanted is False:
                raise errors.InvalidConfiguration(
                    f"gpuEnabled is false, and hyperparameters.device is '{sent}'",
                    solution="Leave one of the two out.",
                    metadata={"key": "config.hyperparameters.device", "sent": sent},
                )
            return on_gpu
        if wanted is False:
            return False
        missing = _why_no_gpu()
        if missing is None:
            own["device"] = "cuda"
            return True
        if wanted:
            self._job.warn(f"gpuEnabled: computed on the CPU, since {missing}")
        return False

    def _take_task_of_objective(self, objective: Any) -> None:
        if objective is None:
            return
        if str(objective).startswith(("rank:", "survival:aft")):
            raise errors.InvalidConfiguration(
                f"The objective '{objective}' needs more than one target column a row (groups or"
                " bounds), which train does not read from tables",
                solution="Use an objective of regression or classification.",
                metadata={"key": "config.hyperparameters.objective", "sent": objective},
            )
        task = CLASSIFICATION if str(objective).startswith(("binary:", "multi:")) else REGRESSION
        self._agree_on_task(objective, task, "config.hyperparameters.objective")

    def versions(self) -> dict[str, str]:
        """The adapter's."""
        return frameworks.get("xgboost").versions()

    def prepare(self, data: TableData) -> None:
        """Settles task, objective and labels."""
        assert data.y is not None
        if self.task is None:
            how = "send hyperparameters.objective, or algorithm: XGBClassifier"
            self.task = boosting.guess_task(self._job, data.y, how)
        if self.task == REGRESSION:
            targets.require_numbers(data.y, str(self.parameters.get("objective", self.algorithm)))
            return
        self.classes = targets.labels(data, self.algorithm)
        if "objective" not in self.parameters:
            two = len(self.classes) == 2
            self.parameters["objective"] = "binary:logistic" if two else "multi:softprob"
            self._job.default("objective", self.parameters["objective"])
        self._settle_classes(self.parameters["objective"], self.classes)

    def _settle_classes(self, objective: str, classes: list[Any]) -> None:
        if objective.startswith("binary:"):
            if len(classes) > 2:
                raise boosting.only_two(objective, len(classes), "multi:softprob")
            return
        count = self.parameters.setdefault("num_class", len(classes))
        if count != len(classes):
            raise boosting.miscounted(count, len(classes))

    def _matrix(self, data: TableData) -> xgboost.DMatrix:
        assert data.y is not None
        label = data.y if self.classes is None else boosting.encode(data.y, self.classes)
        threads = self.parameters.get("nthread", self.parameters.get("n_jobs"))
        X, _ = boosting.safe_names(data.X, FORBIDDEN)
        return xgboost.DMatrix(
            X, label=label, weight=data.weight, enable_categorical=True, nthread=threads
        )

    def fit(
        self, train: TableData, *, validation: TableData | None = None, progress: Progress
    ) -> XGBoostModel:
        """One ``xgboost.train``, or one a segment."""
        renamed = boosting.safe_names(train.X, FORBIDDEN)[1]
        if renamed:
            self._job.warn(f"Columns are called otherwise in the model file: {renamed}")
        matrix = self._matrix(train)
        evals = [(matrix, "train")]
        if validation is not None:
            evals.append((self._matrix(validation), "validation"))
        rounds = boosting.Rounds(
            job=self._job,
            total=self._rounds,
            more_is_better=names.more_is_better,
            progress=progress,
            snapshot=lambda booster: {"ubj": bytes(booster.save_raw(raw_format="ubj"))},
            stopping=EarlyStopping.from_config(self._job.config) if validation else None,
            learning_rate=self._learning_rate(),
            state={"segment": self._segment, "parameters": self.parameters},
            interval=int(self._job.config.get("checkpointInterval") or 1),
        )
        progress.step("round", 0, self._rounds, {})
        with reported_as_failure(self.algorithm):
            booster = self._train(matrix, evals, rounds)
        return self._model(booster, rounds)

    def _train(
        self, matrix: xgboost.DMatrix, evals: list[tuple[Any, str]], rounds: boosting.Rounds
    ) -> xgboost.Booster:
        if self._segment is None:
            return _train(self.parameters, matrix, self._rounds, evals, rounds, None)
        base = int(self.parameters.get("seed", self.parameters.get("random_state", 0)))
        fixed = {k: v for k, v in self.parameters.items() if k not in names.SEEDS}
        booster, done = None, 0
        for number in range(-(-self._rounds // self._segment)):
            size = min(self._segment, self._rounds - done)
            seeded = {**fixed, "seed": base + number}
            booster = _train(seeded, matrix, size, evals, rounds, booster)
            done += size
            if len(rounds.history) < done or rounds.stopped_early or rounds.cancelled:
                break
        assert booster is not None
        return booster

    def _model(self, booster: xgboost.Booster, rounds: boosting.Rounds) -> XGBoostModel:
        if rounds.best is not None and rounds.best >= 0 and rounds.stopping is not None:
            booster.set_attr(
                best_iteration=str(rounds.best), best_score=str(rounds.stopping.best_value)
            )
        model = XGBoostModel(
            booster,
            algorithm=self.algorithm,
            classes=self.classes,
            objective=str(self.parameters.get("objective", "reg:squarederror")),
            threads=int(self.parameters.get("nthread") or self.parameters.get("n_jobs") or 0),
        )
        model.history = rounds.history
        model.better = boosting.better_in(rounds.history, names.more_is_better)
        model.metadata = {"rounds": self._rounds, "finalRound": booster.num_boosted_rounds()}
        if rounds.best is not None:
            model.metadata |= {
                "bestRound": rounds.best + 1,
                "bestScore": rounds.best_score,
                "earlyStopped": rounds.stopped_early,
            }
        return model

    def _learning_rate(self) -> tuple[str, float]:
        for name in names.LEARNING_RATES:
            if name in self.parameters:
                return name, float(self.parameters[name])
        return "learning_rate", 0.3


class _Watch(TrainingCallback):
    def __init__(self, rounds: boosting.Rounds) -> None:
        super().__init__()
        self._rounds = rounds

    def after_iteration(
        self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, list[Any]]]
    ) -> bool:
        values = {
            (data, metric): float(scores[-1])
            for data, metrics in evals_log.items()
            for metric, scores in metrics.items()
        }
        return self._rounds.after(model, values)


def _train(
    parameters: dict[str, Any],
    matrix: xgboost.DMatrix,
    count: int,
    evals: list[tuple[Any, str]],
    rounds: boosting.Rounds,
    start: xgboost.Booster | None,
) -> xgboost.Booster:
    return xgboost.train(
        parameters,
        matrix,
        num_boost_round=count,
        evals=evals,
        verbose_eval=False,
        callbacks=[_Watch(rounds)],
        xgb_model=start,
    )


def _task_of(algorithm: str) -> str:
    if algorithm in TASKS:
        return TASKS[algorithm]
    raise errors.InvalidConfiguration(
        f"'{algorithm}' cannot be trained natively with framework 'xgboost'",
        solution=f"Use one of {', '.join(TASKS)} here, or leave algorithm out. Other classes of the"
        " library, and scikit-learn's, work with framework 'sklearn'.",
        metadata={"key": "config.algorithm", "sent": algorithm, "allowed": list(TASKS)},
    )


def _why_no_gpu() -> str | None:
    if not xgboost.build_info().get("USE_CUDA"):
        return "this build of XGBoost has no CUDA (install xgboost instead of xgboost-cpu)"
    nvidia = any(gpu.kind == "cuda" for gpu in gpu_choice.visible())
    return None if nvidia else "no NVIDIA GPU was found"
