"""``lightgbm.train`` on tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightgbm

from ml_runner import calls, errors
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.frameworks.boosting import columns, parameters
from ml_runner.frameworks.boosting.learner import NativeLearner
from ml_runner.frameworks.boosting.rounds import Rounds
from ml_runner.frameworks.lightgbm import parameters as names
from ml_runner.frameworks.lightgbm.model import LightGBMModel

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.job import Job

_LIBRARY_ROUNDS = 100


class LightGBMLearner(NativeLearner):
    """See ``NativeLearner``."""

    framework = "lightgbm"
    # Names of features are written as JSON.
    forbidden = '",:[]{}'
    suffix = "txt"
    tasks = {"LGBMClassifier": CLASSIFICATION, "LGBMRegressor": REGRESSION}
    elsewhere = "scikit-learn's estimators work with framework 'sklearn'."
    two_classes, many_classes = "binary", "multiclass"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        own = dict(self._sent)
        counts = names.aliases()["num_iterations"]
        self._rounds = parameters.take_rounds(job, own, counts, _LIBRARY_ROUNDS)
        parameters.refuse_unknown(
            own, names.known(), "LightGBM", names.hints(), preferred=names.aliases()
        )
        parameters.set_seed(job, own, names.aliases()["seed"])
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
        if job.config.get("checkpoint") and names.is_forest(own):
            raise errors.InvalidConfiguration(
                "checkpoint is true, and LightGBM cannot go on with a forest (boosting: rf)",
                solution="Leave checkpoint out, or use boosting: gbdt, dart or goss.",
                metadata={"key": "config.checkpoint", "sent": True},
                next_call=calls.repeat(job, {"checkpoint": None, "checkpointInterval": None}),
            )
        self._choose_segment()

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

    @property
    def _needs_segments(self) -> bool:
        return names.needs_segments(self.parameters)

    @property
    def _objective(self) -> str | None:
        return names.value_of(self.parameters, "objective")

    def _settle_classes(self, objective: str, classes: list[Any]) -> None:
        if not names.is_multiclass(objective):
            if len(classes) > 2:
                raise parameters.only_two(objective, len(classes), "multiclass")
            return
        count = names.value_of(self.parameters, "num_class")
        if count is None:
            self.parameters["num_class"] = len(classes)
        elif count != len(classes):
            raise parameters.miscounted(count, len(classes))

    def _dataset(self, data: TableData, reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
        assert data.y is not None
        label = data.y if self.classes is None else columns.encode(data.y, self.classes)
        X, _ = columns.safe_names(data.X, self.forbidden)
        return lightgbm.Dataset(
            X,
            label=label,
            weight=data.weight,
            reference=reference,
            free_raw_data=self._segment is None,
        )

    def _tables(
        self, train: TableData, validation: TableData | None
    ) -> list[tuple[lightgbm.Dataset, str]]:
        dataset = self._dataset(train, None)
        tables = [(dataset, "train")]
        if validation is not None:
            tables.append((self._dataset(validation, dataset), "validation"))
        return tables

    def _boost(
        self, tables: Any, seeded: dict[str, Any], count: int, rounds: Rounds, start: bytes | None
    ) -> lightgbm.Booster:
        goal = rounds.done + count

        def watch(env: Any) -> None:
            values = {(item[0], item[1]): float(item[2]) for item in env.evaluation_result_list}
            stop = rounds.after(env.model, values)
            watched = rounds.stopping is not None and rounds.done == rounds.total
            # The library marks the best round at the end too, not only where it stops before it.
            if stop or watched or rounds.done == goal:
                best = rounds.done - 1
                if rounds.stopping is not None and rounds.stopping.best >= 0:
                    best = rounds.stopping.best
                raise lightgbm.callback.EarlyStopException(best, env.evaluation_result_list)

        return lightgbm.train(
            seeded,
            tables[0][0],
            # The number stands in the model's file: that of the whole, not of what is left of it.
            num_boost_round=goal if self._segment is None else count,
            valid_sets=[dataset for dataset, _ in tables],
            valid_names=[name for _, name in tables],
            init_model=None if start is None else self._booster(start),
            callbacks=[watch],
        )

    def _seeded(self, number: int) -> dict[str, Any]:
        # Without a seed of the caller's, the first segment has the library's own.
        if number == 0:
            return self.parameters
        seeds = names.aliases()["seed"]
        base = int(names.value_of(self.parameters, "seed", 0))
        fixed = {name: value for name, value in self.parameters.items() if name not in seeds}
        return {**fixed, "seed": base + number}

    def _content(self, booster: lightgbm.Booster) -> bytes:
        return booster.model_to_string(num_iteration=-1).encode()

    def _booster(self, content: bytes) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=content.decode())

    def _learning_rate(self) -> tuple[str, float]:
        rate = float(names.value_of(self.parameters, "learning_rate", 0.1))
        return names.name_of(self.parameters, "learning_rate"), rate

    def _more_is_better(self, metric: str) -> bool:
        return names.more_is_better(metric)

    def _model(self, booster: lightgbm.Booster, rounds: Rounds) -> LightGBMModel:
        stopping = rounds.stopping
        booster.best_iteration = -1
        if stopping is not None and stopping.best >= 0:
            booster.best_iteration = stopping.best + 1
        return LightGBMModel(
            booster,
            algorithm=self.algorithm,
            classes=self.classes,
            objective=str(names.value_of(self.parameters, "objective", "regression")),
            threads=int(names.value_of(self.parameters, "num_threads", 0)),
        )
