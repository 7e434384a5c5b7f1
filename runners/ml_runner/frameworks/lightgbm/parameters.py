"""LightGBM's own training parameters: which there are, and whether their values hold."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import lightgbm
import numpy as np

from ml_runner import errors
from ml_runner.nearest import nearest

# Parameters of the command-line program, or of files that it reads.
_OF_PROGRAM = {
    "config", "convert_model", "convert_model_language", "data", "header", "group_column",
    "ignore_column", "input_model", "is_provide_training_metric", "label_column",
    "local_listen_port", "machine_list_filename", "machines", "metric_freq", "num_machines",
    "output_model", "output_result", "parser_config_file", "pre_partition", "precise_float_parser",
    "save_binary", "snapshot_freq", "task", "time_out", "two_round", "valid", "weight_column",
}  # fmt: skip

_ELSEWHERE = {
    "early_stopping_round": "Send config.earlyStopping: {patience: N}.",
    "early_stopping_min_delta": "Send config.earlyStopping: {patience: N, minDelta: D}.",
    "categorical_feature": "Name the columns in config.categorical.",
}

_CLASS_HINTS = {
    "class_weight": "Send is_unbalance or scale_pos_weight, or config.sampleWeightColumn.",
    "importance_type": "feature_importances.csv holds the gain.",
    "callbacks": "Progress, early stopping and checkpoints are config keys here.",
    "feature_name": "Features are called as their columns are.",
    "subsample_for_bin": "Send bin_construct_sample_cnt.",
}

# An unknown name is ignored in silence by the library itself.
_METRICS = {
    "", "none", "null", "na", "custom", "l1", "mean_absolute_error", "mae", "regression_l1", "l2",
    "mean_squared_error", "mse", "regression_l2", "regression", "rmse", "root_mean_squared_error",
    "l2_root", "r2", "quantile", "mape", "mean_absolute_percentage_error", "huber", "fair",
    "poisson", "gamma", "gamma_deviance", "tweedie", "ndcg", "lambdarank", "rank_xendcg",
    "xendcg", "xe_ndcg", "xe_ndcg_mart", "xendcg_mart", "map", "mean_average_precision", "auc",
    "average_precision", "binary_logloss", "binary", "binary_error", "auc_mu", "multi_logloss",
    "multiclass", "softmax", "multiclassova", "multiclass_ova", "ova", "ovr", "multi_error",
    "cross_entropy", "xentropy", "cross_entropy_lambda", "xentlambda", "kullback_leibler", "kldiv",
}  # fmt: skip

_UPWARDS = ("auc", "ndcg", "map", "average_precision", "r2")


@lru_cache(maxsize=1)
def aliases() -> dict[str, list[str]]:
    """Parameter → all its names, its own first, as the library itself lists them."""
    from lightgbm.basic import _ConfigAliases

    listed = _ConfigAliases._get_all_param_aliases()
    return {name: [name, *(n for n in names if n != name)] for name, names in listed.items()}


def known() -> set[str]:
    """Every name that may stand in ``hyperparameters``."""
    return {
        name
        for parameter, names in aliases().items()
        if parameter not in _OF_PROGRAM and parameter not in _ELSEWHERE
        for name in names
    }


def hints() -> dict[str, str]:
    """Name → what to send instead, for names that have no place in ``hyperparameters``."""
    found = dict(_CLASS_HINTS)
    for parameter, advice in _ELSEWHERE.items():
        found |= dict.fromkeys(aliases().get(parameter, [parameter]), advice)
    for parameter in _OF_PROGRAM:
        for name in aliases().get(parameter, [parameter]):
            found[name] = "It belongs to LightGBM's command-line program; leave it out."
    return {name: advice for name, advice in found.items() if name not in known()}


def value_of(parameters: dict[str, Any], parameter: str, default: Any = None) -> Any:
    """The value of a parameter under whichever of its names it was sent."""
    for name in aliases().get(parameter, [parameter]):
        if name in parameters:
            return parameters[name]
    return default


def name_of(parameters: dict[str, Any], parameter: str) -> str:
    """The name under which a parameter was sent, or its own."""
    names = aliases().get(parameter, [parameter])
    return next((name for name in names if name in parameters), parameter)


def check_values(parameters: dict[str, Any], sent: dict[str, Any]) -> None:
    """Lets the library judge the values on four rows, before any data is read.

    Raises:
        InvalidConfiguration: naming the parameter.
    """
    _check_metrics(value_of(parameters, "metric"))
    tried = {
        name: value
        for name, value in parameters.items()
        # Some depend on the data, and hardware is judged where it is used.
        if name not in aliases()["device_type"] + aliases()["monotone_constraints"]
        and name not in aliases()["interaction_constraints"] + aliases()["feature_contri"]
        and name not in aliases()["max_bin_by_feature"] + ["forcedsplits_filename"]
    }
    if is_multiclass(value_of(tried, "objective")) and value_of(tried, "num_class") is None:
        tried["num_class"] = 2
    tried |= {"verbosity": -1, "num_threads": 1}
    for name in aliases()["num_threads"][1:] + aliases()["verbosity"][1:]:
        tried.pop(name, None)
    try:
        # The library reports its complaints on stdout too.
        with _Silence():
            tiny = lightgbm.Dataset(np.arange(8.0).reshape(4, 2), label=[0, 1, 0, 1], params=tried)
            lightgbm.Booster(tried, tiny)
    except (lightgbm.basic.LightGBMError, TypeError, ValueError) as error:
        message = plain(str(error))
        culprit = next(
            (
                name
                for name, value in sent.items()
                if any(alias in message for alias in _names_of(name))
                or (isinstance(value, str) and value in message)
            ),
            None,
        )
        key = "config.hyperparameters" + (f".{culprit}" if culprit else "")
        raise errors.InvalidConfiguration(
            f"LightGBM refuses {culprit or 'the hyperparameters'}: {message}",
            solution=f"Correct {key}.",
            metadata={"key": key, "sent": sent.get(culprit) if culprit else sent},
        ) from error


def _names_of(name: str) -> list[str]:
    return next((names for names in aliases().values() if name in names), [name])


def _check_metrics(metric: Any) -> None:
    if metric is None:
        return
    parts = metric.split(",") if isinstance(metric, str) else metric
    for part in parts if isinstance(parts, (list, tuple)) else [parts]:
        name = str(part).strip().lower().partition("@")[0]
        if name in _METRICS:
            continue
        near = nearest(name, _METRICS)
        raise errors.InvalidConfiguration(
            f"LightGBM has no metric '{part}'",
            solution=(f"Did you mean '{near}'? " if near else "")
            + f"It has: {', '.join(sorted(filter(None, _METRICS)))}.",
            metadata={"key": "config.hyperparameters.metric", "sent": part},
        )


def plain(message: str) -> str:
    """The message without the source position that the library adds."""
    return " ".join(message.partition(" at /")[0].split())[:600]


class _Quiet:
    def info(self, message: str) -> None:
        """Dropped."""

    def warning(self, message: str) -> None:
        """Dropped."""


class _Silence:
    """Within it, the library's own messages are dropped."""

    def __enter__(self) -> None:
        import lightgbm.basic as basic

        self._before = (basic._LOGGER, basic._INFO_METHOD_NAME, basic._WARNING_METHOD_NAME)
        lightgbm.register_logger(_Quiet())

    def __exit__(self, *_: object) -> None:
        import lightgbm.basic as basic

        basic._LOGGER, basic._INFO_METHOD_NAME, basic._WARNING_METHOD_NAME = self._before


def is_multiclass(objective: Any) -> bool:
    """Whether the objective learns one score a class."""
    return objective in ("multiclass", "softmax", "multiclassova", "multiclass_ova", "ova", "ovr")


def needs_segments(parameters: dict[str, Any]) -> bool:
    """Whether a round depends on more than the model's file holds.

    That is so where rounds draw at random; where leaves are linear (the file rounds them); and for
    a price on features, since which were paid for is in no file.
    """

    def value(name: str, default: Any) -> Any:
        return value_of(parameters, name, default)

    bags = int(value("bagging_freq", 0)) > 0 and (
        float(value("bagging_fraction", 1)) < 1
        or float(value("pos_bagging_fraction", 1)) < 1
        or float(value("neg_bagging_fraction", 1)) < 1
    )
    features = any(
        float(value(name, 1)) < 1 for name in ("feature_fraction", "feature_fraction_bynode")
    )
    kinds = value("boosting", "gbdt") in ("dart", "rf", "random_forest", "goss")
    drawn = value("data_sample_strategy", "bagging") == "goss"
    return bool(
        bags or features or kinds or drawn or value("extra_trees", False)
        or value("use_quantized_grad", False)
        or value("linear_tree", False) or value("cegb_penalty_feature_coupled", None)
        or value("cegb_penalty_feature_lazy", None)
    )  # fmt: skip


def is_forest(parameters: dict[str, Any]) -> bool:
    """Whether it grows a random forest, which the library cannot go on with."""
    return value_of(parameters, "boosting", "gbdt") in ("rf", "random_forest")


def more_is_better(metric: str) -> bool:
    """The library's own rule for its metrics."""
    return metric.startswith(_UPWARDS) and metric != "mape"
