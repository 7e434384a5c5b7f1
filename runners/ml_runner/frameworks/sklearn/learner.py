"""An estimator of scikit-learn (or one like it) that is fitted on tables."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble._forest import BaseForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from ml_runner import calls, errors, frameworks, scripts
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION, Progress
from ml_runner.frameworks.sklearn import building, estimators, fitting
from ml_runner.frameworks.sklearn.model import SklearnModel, last_step
from ml_runner.training import targets
from ml_runner.training.user_code import reported_as_failure

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.job import Job

_SCALERS = {
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "robust": RobustScaler,
    "maxabs": MaxAbsScaler,
}

# rows × columns × trees below which threads cost more than they bring.
_SERIAL = 2e6


class SklearnLearner:
    """See ``frameworks.base.Learner``."""

    watches_validation = False
    heeds_cancel = False
    total_key = None
    gpu_used = False

    def __init__(self, job: Job) -> None:
        config = job.config
        self._threads = job.threads
        sent = dict(config.get("hyperparameters") or {})
        self.script = scripts.of_call(config, job.resolve)
        if self.script is None:
            self._found = estimators.resolve(config["algorithm"])
            self._estimator = building.build(self._found, sent)
        else:
            self._found, self._estimator = estimators.of_script(self.script, config)
        self.algorithm: str = type(last_step(self._estimator)).__name__
        self.task: str | None = estimators.task_of(self._estimator, self.algorithm)
        self.classes: list[Any] | None = None
        self._sent = sent
        if config.get("categorical"):
            unset = {k: v for k, v in self._found.for_categories.items() if k not in sent}
            self._estimator.set_params(**unset)
        self._seed(job, sent)
        for name in building.ambiguous_ones(self._estimator, sent):
            job.warn(
                f"hyperparameters.{name} is 1 and is taken as the whole number 1, not as the share"
                " 1.0 (all); for nearly all write 0.999999, or leave it out"
            )
        self._scaling = config.get("featureScaling") or "none"
        if self._scaling != "none" and config.get("categorical"):
            raise errors.InvalidConfiguration(
                f"featureScaling '{self._scaling}' cannot scale the columns in categorical",
                solution="Leave one of the two out.",
                metadata={"key": "config.featureScaling", "sent": self._scaling},
            )
        self._refuse_other_hardware(job)
        self._job = job
        self._wanted: bool | None = config.get("checkpoint")
        self._rows = 0
        if self._wanted:
            self._check_can_keep()
        self.accepts_missing = self.script is not None or self._takes_missing()
        self.accepts_strings = self._found.accepts_strings
        self.accepts_categories = self._found.accepts_categories and self._scaling == "none"
        self.accepts_weights = "sample_weight" in inspect.signature(self._estimator.fit).parameters

    @property
    def parameters(self) -> dict[str, Any]:
        """The estimator's parameters, as far as they are plain values."""
        return self._estimator.get_params(deep=False)

    def _seed(self, job: Job, sent: dict[str, Any]) -> None:
        seed = job.config.get("seed")
        if seed is None:
            seed = self._found.default_seed
        if seed is None:
            return
        unseeded = {
            name: seed
            for name, value in self._estimator.get_params(deep=True).items()
            if (name == "random_state" or name.endswith("__random_state"))
            and value is None
            and name not in sent
        }
        if not unseeded:
            return
        self._estimator.set_params(**unseeded)
        if job.config.get("seed") is None:
            job.default("seed", seed)

    # -- checkpoints -----------------------------------------------------------------------------

    @property
    def keeps_checkpoints(self) -> bool:
        """As asked; else where fitting step by step gives exactly what one fit gives."""
        kind = fitting.steps_for(self._estimator, self._rows)
        return kind is not None and (kind.exact if self._wanted is None else self._wanted)

    @property
    def unit(self) -> str:
        """What a fit counts."""
        return fitting.unit_of(self._estimator)

    def _check_can_keep(self) -> None:
        """For ``checkpoint: true``, as soon as it can be known."""
        kind = fitting.steps_for(self._estimator, self._rows)
        if kind is None:
            raise errors.InvalidConfiguration(
                f"checkpoint is true, and {self.algorithm} with these parameters cannot be taken up"
                " again in the middle of a fit",
                solution=f"Leave checkpoint out. These can: {fitting.CAN}",
                metadata={"key": "config.checkpoint", "sent": True, "algorithm": self.algorithm},
                next_call=calls.repeat(self._job, {"checkpoint": None}),
            )
        if not kind.exact:
            self._job.warn(
                f"checkpoint: true: {self.algorithm} is trained by partial_fit for all its max_iter"
                " epochs, without a look at tol, so the model differs from that of one fit; a"
                " resumed run equals an uninterrupted one"
            )

    def _refuse_other_hardware(self, job: Job) -> None:
        if job.request.get("gpuEnabled"):
            job.warn(f"gpuEnabled: {self.algorithm} is computed on the CPU")

    def _takes_missing(self) -> bool:
        try:
            from sklearn.utils import get_tags

            return bool(get_tags(self._estimator).input_tags.allow_nan)
        except ImportError:  # before scikit-learn 1.6
            return bool(self._estimator._get_tags()["allow_nan"])

    def versions(self) -> dict[str, str]:
        """scikit-learn's, and those of the framework that the estimator is from."""
        own = frameworks.get("sklearn").versions()
        return {**own, **frameworks.get(self._found.framework).versions()}

    def prepare(self, data: TableData) -> None:
        """Holds the target against the kind of estimator and takes its labels down."""
        assert data.y is not None
        self._rows = len(data.X)
        if self._wanted:
            self._check_can_keep()
        if self.task == REGRESSION:
            targets.require_numbers(data.y, self.algorithm)
            return
        self.classes = targets.labels(data, self.algorithm)
        self._name_weights_by_label()

    def _name_weights_by_label(self) -> None:
        """JSON has only string keys: ``{"0": 1, "1": 5}`` means the labels 0 and 1."""
        weights = self._estimator.get_params(deep=False).get("class_weight")
        if not isinstance(weights, dict) or self.classes is None:
            return
        by_name = {str(label): label for label in self.classes}
        unknown = [name for name in weights if str(name) not in by_name]
        if unknown:
            raise errors.InvalidConfiguration(
                f"hyperparameters.class_weight names '{unknown[0]}', no label of the target",
                solution=f"The labels are: {', '.join(list(by_name)[:20])}.",
                metadata={
                    "key": "config.hyperparameters.class_weight",
                    "sent": unknown[0],
                    "allowed": list(by_name)[:50],
                },
            )
        renamed = {by_name[str(name)]: weight for name, weight in weights.items()}
        self._estimator.set_params(class_weight=renamed)

    def fit(
        self, train: TableData, *, validation: TableData | None = None, progress: Progress
    ) -> SklearnModel:
        """Fits a fresh copy on ``train``; what is saved has the parameters that were asked for."""
        assert train.y is not None
        estimator: Any = clone(self._estimator)
        encoded = self._found.encoded_labels and self.task == CLASSIFICATION
        y = train.y.to_numpy()
        if encoded:
            y = np.searchsorted(np.asarray(self.classes), y)
        elif self.task == CLASSIFICATION and y.dtype == object:
            y = np.asarray(y.tolist())
        only_for_fit, fit_parameters = self._found.fit_hooks(estimator, progress)
        if train.weight is not None:
            fit_parameters["sample_weight"] = np.asarray(train.weight)
        only_for_fit.update(self._threading(estimator, train.X))
        before = {name: estimator.get_params(deep=False)[name] for name in only_for_fit}
        scaler = _SCALERS[self._scaling]() if self._scaling in _SCALERS else None
        with reported_as_failure(self.algorithm):
            X = train.X if scaler is None else scaler.fit_transform(train.X)
            estimator.set_params(**only_for_fit)
            estimator = fitting.fit(
                estimator, X, y, progress, wanted=self._wanted, **fit_parameters
            )
            estimator.set_params(**before)
        whole = estimator
        if scaler is not None:
            whole = Pipeline([("scaler", scaler), ("model", estimator)])
        return SklearnModel(
            whole,
            algorithm=self.algorithm,
            task=str(self.task),
            classes=self._classes_of(estimator, encoded),
            encoded=encoded,
            scaler=scaler,
        )

    def _classes_of(self, estimator: Any, encoded: bool) -> list[Any] | None:
        if self.task == REGRESSION:
            return None
        # A fold may lack a class: its probability columns are those that the estimator has seen.
        seen = getattr(estimator, "classes_", None)
        if encoded or seen is None:
            return self.classes
        return np.asarray(seen).tolist()

    def _threading(self, estimator: Any, X: Any) -> dict[str, Any]:
        """``n_jobs`` for the fit, where the caller sent none and the result stays the same."""
        parameters = estimator.get_params(deep=False)
        if "n_jobs" not in parameters or "n_jobs" in self._sent:
            return {}
        if self._found.threads:
            return {"n_jobs": self._threads}
        large = X.shape[0] * X.shape[1] * parameters.get("n_estimators", 1) > _SERIAL
        if isinstance(estimator, BaseForest) and self._threads > 1 and large:
            return {"n_jobs": self._threads}
        return {}
