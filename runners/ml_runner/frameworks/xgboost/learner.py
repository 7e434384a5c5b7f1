"""``xgboost.train`` on tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xgboost
from xgboost.callback import TrainingCallback

from ml_runner import errors, gpu_choice
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.frameworks.boosting import columns, parameters
from ml_runner.frameworks.boosting.learner import NativeLearner
from ml_runner.frameworks.boosting.rounds import Rounds
from ml_runner.frameworks.xgboost import parameters as names
from ml_runner.frameworks.xgboost.model import FORBIDDEN, XGBoostModel

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.job import Job

_LIBRARY_ROUNDS, _CLASS_ROUNDS = 10, 100


class XGBoostLearner(NativeLearner):
    """See ``NativeLearner``."""

    framework = "xgboost"
    forbidden = FORBIDDEN
    suffix = "ubj"
    tasks = {"XGBClassifier": CLASSIFICATION, "XGBRegressor": REGRESSION}
    elsewhere = "Other classes of the library, and scikit-learn's, work with framework 'sklearn'."
    two_classes, many_classes = "binary:logistic", "multi:softprob"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        own = dict(self._sent)
        default = _LIBRARY_ROUNDS if job.config.get("algorithm") is None else _CLASS_ROUNDS
        self._rounds = parameters.take_rounds(job, own, names.ROUNDS, default)
        parameters.refuse_unknown(own, names.known(), "XGBoost", names.HINTS)
        parameters.set_seed(job, own, names.SEEDS)
        if not any(alias in own for alias in names.THREADS):
            own["nthread"] = job.threads
        own.setdefault("verbosity", 0)
        self.gpu_used = self._choose_device(own)
        self.parameters = own
        names.check_values(own, self._sent)
        self._take_task_of_objective(own.get("objective"))
        self._choose_segment()

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

    @property
    def _needs_segments(self) -> bool:
        return names.is_sampled(self.parameters)

    @property
    def _why_not_exact(self) -> str | None:
        return names.why_not_exact(self.parameters)

    @property
    def _objective(self) -> str | None:
        return self.parameters.get("objective")

    def _settle_classes(self, objective: str, classes: list[Any]) -> None:
        if objective.startswith("binary:"):
            if len(classes) > 2:
                raise parameters.only_two(objective, len(classes), "multi:softprob")
            return
        count = self.parameters.setdefault("num_class", len(classes))
        if count != len(classes):
            raise parameters.miscounted(count, len(classes))

    def _matrix(self, data: TableData) -> xgboost.DMatrix:
        assert data.y is not None
        label = data.y if self.classes is None else columns.encode(data.y, self.classes)
        threads = self.parameters.get("nthread", self.parameters.get("n_jobs"))
        X, _ = columns.safe_names(data.X, FORBIDDEN)
        return xgboost.DMatrix(
            X, label=label, weight=data.weight, enable_categorical=True, nthread=threads
        )

    def _tables(
        self, train: TableData, validation: TableData | None
    ) -> list[tuple[xgboost.DMatrix, str]]:
        tables = [(self._matrix(train), "train")]
        if validation is not None:
            tables.append((self._matrix(validation), "validation"))
        return tables

    def _boost(
        self, tables: Any, seeded: dict[str, Any], count: int, rounds: Rounds, start: bytes | None
    ) -> xgboost.Booster:
        return xgboost.train(
            seeded,
            tables[0][0],
            num_boost_round=count,
            evals=tables,
            verbose_eval=False,
            callbacks=[_Watch(rounds)],
            xgb_model=None if start is None else bytearray(start),
        )

    def _seeded(self, number: int) -> dict[str, Any]:
        if number == 0:
            return self.parameters
        base = int(self.parameters.get("seed", self.parameters.get("random_state", 0)))
        fixed = {k: v for k, v in self.parameters.items() if k not in names.SEEDS}
        return {**fixed, "seed": base + number}

    def _content(self, booster: xgboost.Booster) -> bytes:
        return bytes(booster.save_raw(raw_format="ubj"))

    def _booster(self, content: bytes) -> xgboost.Booster:
        return xgboost.Booster(self.parameters, model_file=bytearray(content))

    def _more_is_better(self, metric: str) -> bool:
        return names.more_is_better(metric)

    def _model(self, booster: xgboost.Booster, rounds: Rounds) -> XGBoostModel:
        stopping = rounds.stopping
        if stopping is not None and stopping.best >= 0:
            booster.set_attr(best_iteration=str(stopping.best), best_score=str(stopping.best_value))
        return XGBoostModel(
            booster,
            algorithm=self.algorithm,
            classes=self.classes,
            objective=str(self.parameters.get("objective", "reg:squarederror")),
            threads=int(self.parameters.get("nthread") or self.parameters.get("n_jobs") or 0),
        )

    def _learning_rate(self) -> tuple[str, float]:
        for name in names.LEARNING_RATES:
            if name in self.parameters:
                return name, float(self.parameters[name])
        return "learning_rate", 0.3


class _Watch(TrainingCallback):
    def __init__(self, rounds: Rounds) -> None:
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


def _why_no_gpu() -> str | None:
    if not xgboost.build_info().get("USE_CUDA"):
        return "this build of XGBoost has no CUDA (install xgboost instead of xgboost-cpu)"
    nvidia = any(gpu.kind == "cuda" for gpu in gpu_choice.visible())
    return None if nvidia else "no NVIDIA GPU was found"
