"""``lightgbm.train`` on tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightgbm

from ml_runner import errors, frameworks
from ml_runner.frameworks import boosting
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION, Progress
from ml_runner.frameworks.lightgbm import parameters as names
from ml_runner.frameworks.lightgbm.model import LightGBMModel
from ml_runner.training import targets
from ml_runner.training.early_stopping import EarlyStopping
from ml_runner.training.user_code import reported_as_failure

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.job import Job

# The classes whose objective the native training can take over.
TASKS = {"LGBMClassifier": CLASSIFICATION, "LGBMRegressor": REGRESSION}
_LIBRARY_ROUNDS = 100


class LightGBMLearner(boosting.NativeLearner):
    """See ``frameworks.base.Learner``."""

    accepts_strings = False
    accepts_missing = True
    accepts_categories = True
    accepts_weights = True

    def __init__(self, job: Job) -> None:
        self._job = job
        config = job.config
        named = config.get("algorithm")
        self.algorithm = "LightGBM" if named is None else named.rpartition(".")[2]
        self.task: str | None = None if named is None else _task_of(self.algorithm)
        self.classes: list[Any] | None = None
        self._sent = dict(config.get("hyperparameters") or {})
        own = dict(self._sent)
        counts = names.aliases()["num_iterations"]
        self._rounds = boosting.take_rounds(job, own, counts, _LIBRARY_ROUNDS)
        boosting.refuse_unknown(
            own, names.known(), "LightGBM", names.hints(), preferred=names.aliases()
        )
        boosting.set_seed(job, own, names.aliases()["seed"])
        if names.value_of(own, "num_threads") is None:
            own["num_threads"] = job.threads
        if names.value_of(own, "verbosity") is None:
            own["verbosity"] = -1
        self.gpu_used = str(names.value_of(own, "device_type", "cpu")) in ("gpu", "cuda")
        if job.request.get("gpuEnabled") and not self.gpu_used:
            job.warn(
                "gpuEnabled: computed on the CPU, since LightGBM's usual builds have no GPU; where"
                " yours has, send hyperparameters.device_type"
            )
        self.parameters = own
        names.check_values(own, self._sent)
        self._take_task_of_objective(names.value_of(own, "objective"))
        self._sampled = names.is_sampled(own)
        self._segment = self._choose_segment(config)

    def _take_task_of_objective(self, objective: Any) -> None:
        if objective is None:
            return
        key = f"config.hyperparameters.{names.name_of(self.parameters, 'objective')}"
        if "rank" in str(objective) or "ndcg" in str(objective):
            raise errors.InvalidConfiguration(
                f"The objective '{objective}' needs groups of rows to rank, which train does not"
                " read from tables",
                solution="Use an objective of regression or classification.",
                metadata={"key": key, "sent": objective},
            )
        classes = objective == "binary" or names.is_multiclass(objective)
        task = CLASSIFICATION if classes else REGRESSION
        self._agree_on_task(objective, task, key)

    def versions(self) -> dict[str, str]:
        """The adapter's."""
        return frameworks.get("lightgbm").versions()

    def prepare(self, data: TableData) -> None:
        """Settles task, objective and labels."""
        assert data.y is not None
        objective = names.value_of(self.parameters, "objective")
        if self.task is None:
            how = "send hyperparameters.objective, or algorithm: LGBMClassifier"
            self.task = boosting.guess_task(self._job, data.y, how)
        if self.task == REGRESSION:
            targets.require_numbers(data.y, str(objective or self.algorithm))
            return
        self.classes = targets.labels(data, self.algorithm)
        if objective is None:
            objective = "binary" if len(self.classes) == 2 else "multiclass"
            self.parameters["objective"] = objective
            self._job.default("objective", objective)
        self._settle_classes(objective, self.classes)

    def _settle_classes(self, objective: str, classes: list[Any]) -> None:
        if not names.is_multiclass(objective):
            if len(classes) > 2:
                raise boosting.only_two(objective, len(classes), "multiclass")
            return
        count = names.value_of(self.parameters, "num_class")
        if count is None:
            self.parameters["num_class"] = len(classes)
        elif count != len(classes):
            raise boosting.miscounted(count, len(classes))

    def _dataset(self, data: TableData, reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
        assert data.y is not None
        label = data.y if self.classes is None else boosting.encode(data.y, self.classes)
        X, _ = boosting.safe_names(data.X, _FORBIDDEN)
        return lightgbm.Dataset(
            X,
            label=label,
            weight=data.weight,
            reference=reference,
            free_raw_data=self._segment is None,
        )

    def fit(
        self, train: TableData, *, validation: TableData | None = None, progress: Progress
    ) -> LightGBMModel:
        """One ``lightgbm.train``, or one a segment."""
        renamed = boosting.safe_names(train.X, _FORBIDDEN)[1]
        if renamed:
            self._job.warn(f"Columns are called otherwise in the model file: {renamed}")
        dataset = self._dataset(train, None)
        sets = [(dataset, "train")]
        if validation is not None:
            sets.append((self._dataset(validation, dataset), "validation"))
        rounds = boosting.Rounds(
            job=self._job,
            total=self._rounds,
            more_is_better=names.more_is_better,
            progress=progress,
            snapshot=lambda booster: {"txt": booster.model_to_string(num_iteration=-1).encode()},
            stopping=EarlyStopping.from_config(self._job.config) if validation else None,
            learning_rate=(
                names.name_of(self.parameters, "learning_rate"),
                float(names.value_of(self.parameters, "learning_rate", 0.1)),
            ),
            state={"segment": self._segment, "parameters": self.parameters},
            interval=int(self._job.config.get("checkpointInterval") or 1),
        )
        progress.step("round", 0, self._rounds, {})
        with reported_as_failure(self.algorithm):
            booster = self._train(dataset, sets, rounds)
        return self._model(booster, rounds)

    def _train(
        self,
        dataset: lightgbm.Dataset,
        sets: list[tuple[lightgbm.Dataset, str]],
        rounds: boosting.Rounds,
    ) -> lightgbm.Booster:
        if self._segment is None:
            return _train(self.parameters, dataset, self._rounds, sets, rounds, None)
        seeds = names.aliases()["seed"]
        base = int(names.value_of(self.parameters, "seed", 0))
        fixed = {name: value for name, value in self.parameters.items() if name not in seeds}
        booster, done = None, 0
        for number in range(-(-self._rounds // self._segment)):
            size = min(self._segment, self._rounds - done)
            # Without a seed of the caller's, the first segment has the library's own.
            seeded = {**fixed, "seed": base + number} if number or base else self.parameters
            booster = _train(seeded, dataset, size, sets, rounds, booster)
            done += size
            if len(rounds.history) < done or rounds.stopped_early or rounds.cancelled:
                break
        assert booster is not None
        return booster

    def _model(self, booster: lightgbm.Booster, rounds: boosting.Rounds) -> LightGBMModel:
        if rounds.best is not None and rounds.best >= 0:
            booster.best_iteration = rounds.best + 1
        model = LightGBMModel(
            booster,
            algorithm=self.algorithm,
            classes=self.classes,
            objective=str(names.value_of(self.parameters, "objective", "regression")),
            threads=int(names.value_of(self.parameters, "num_threads", 0)),
        )
        model.history = rounds.history
        model.better = boosting.better_in(rounds.history, names.more_is_better)
        model.metadata = {"rounds": self._rounds, "finalRound": len(rounds.history)}
        if rounds.best is not None:
            model.metadata |= {
                "bestRound": rounds.best + 1,
                "bestScore": rounds.best_score,
                "earlyStopped": rounds.stopped_early,
            }
        return model


# The library refuses these in the names of features, which it writes as JSON.
_FORBIDDEN = '",:[]{}'


def _train(
    parameters: dict[str, Any],
    dataset: lightgbm.Dataset,
    count: int,
    sets: list[tuple[lightgbm.Dataset, str]],
    rounds: boosting.Rounds,
    start: lightgbm.Booster | None,
) -> lightgbm.Booster:
    def watch(env: Any) -> None:
        values = {(item[0], item[1]): float(item[2]) for item in env.evaluation_result_list}
        stop = rounds.after(env.model, values)
        # The library marks the best round at the end too, not only where it stops before it.
        last = env.iteration == env.end_iteration - 1 and rounds.stopping is not None
        if stop or (last and len(rounds.history) == rounds.total):
            best = rounds.best if rounds.best is not None else env.iteration
            raise lightgbm.callback.EarlyStopException(best, env.evaluation_result_list)

    return lightgbm.train(
        parameters,
        dataset,
        num_boost_round=count,
        valid_sets=[dataset for dataset, _ in sets],
        valid_names=[name for _, name in sets],
        init_model=start,
        callbacks=[watch],
    )


def _task_of(algorithm: str) -> str:
    if algorithm in TASKS:
        return TASKS[algorithm]
    raise errors.InvalidConfiguration(
        f"'{algorithm}' cannot be trained natively with framework 'lightgbm'",
        solution=f"Use one of {', '.join(TASKS)} here, or leave algorithm out. scikit-learn's"
        " estimators work with framework 'sklearn'.",
        metadata={"key": "config.algorithm", "sent": algorithm, "allowed": list(TASKS)},
    )
