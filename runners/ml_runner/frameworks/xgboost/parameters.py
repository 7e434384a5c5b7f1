"""XGBoost's own training parameters: which there are, and whether their values hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xgboost

from ml_runner import errors

# Names for the number of rounds that people bring from the library's interfaces.
ROUNDS = ("num_boost_round", "n_estimators", "num_round")
SEEDS = ("seed", "random_state")
THREADS = ("nthread", "n_jobs")
LEARNING_RATES = ("eta", "learning_rate")

# What the configuration of a fresh booster does not list: parameters of objectives, metrics,
# other boosters, and what older versions know.
_FURTHER = {
    "aft_loss_distribution", "aft_loss_distribution_scale", "colsample_bylevel",
    "colsample_bynode", "colsample_bytree", "device", "disable_default_eval_metric", "eta",
    "eval_metric", "expectile_alpha", "feature_selector", "gamma", "gpu_id", "grow_policy",
    "huber_slope", "interaction_constraints", "max_bin", "max_cat_threshold", "max_cat_to_onehot",
    "max_delta_step", "min_child_weight", "monotone_constraints", "multi_strategy",
    "normalize_type", "nthread", "num_class", "num_parallel_tree", "objective", "one_drop",
    "predictor", "process_type", "quantile_alpha", "rate_drop", "refresh_leaf", "sample_type",
    "sampling_method", "scale_pos_weight", "single_precision_histogram", "skip_drop", "subsample",
    "top_k", "tree_method", "tweedie_variance_power", "updater", "use_rmm", "verbosity",
}  # fmt: skip

# Listed in a configuration, and not for callers to set.
_INTERNAL = {"name", "num_feature", "num_trees", "num_target", "specified_updater", "updater_seq"}

# Parameters of the Python classes, and what to send instead.
HINTS = {
    "early_stopping_rounds": "Send config.earlyStopping: {patience: N}.",
    "callbacks": "Progress, early stopping and checkpoints are config keys here.",
    "missing": "Leave missing values empty in the table.",
    "enable_categorical": "Name the columns in config.categorical.",
    "feature_types": "Name the columns in config.categorical.",
    "importance_type": "feature_importances.csv holds the gain.",
    "feature_weights": "Send framework sklearn with algorithm XGBClassifier or XGBRegressor.",
    "verbose_eval": "Rounds are in training.log and metrics.csv.",
    "evals": "Send config.validationData or config.validationSplit.",
}


def probe(parameters: dict[str, Any]) -> dict[str, Any]:
    """The full configuration that XGBoost makes of these parameters.

    Raises:
        XGBoostError: a value that it refuses. Takes less than a millisecond.
    """
    tiny = xgboost.DMatrix(np.arange(8.0).reshape(4, 2), label=[0, 1, 0, 1], nthread=1)
    booster = xgboost.Booster({"verbosity": 0, "nthread": 1, **parameters}, [tiny])
    return json.loads(booster.save_config())


def known() -> set[str]:
    """Every parameter name of this version of the library."""
    names = set(_FURTHER)
    for booster in ("gbtree", "dart", "gblinear"):
        _collect(probe({"booster": booster}), names)
    return names - _INTERNAL


def _collect(part: Any, names: set[str]) -> None:
    if isinstance(part, dict):
        for name, value in part.items():
            if isinstance(value, (dict, list)):
                _collect(value, names)
            else:
                names.add(name)
    elif isinstance(part, list):
        for value in part:
            _collect(value, names)


def check_values(parameters: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """``probe``, its complaint told as one about the call.

    Raises:
        InvalidConfiguration: naming the parameter.
    """
    values = {name: value for name, value in parameters.items() if name != "device"}
    if str(values.get("objective", "")).startswith("multi:"):
        values.setdefault("num_class", 2)  # counted later
    try:
        return probe(values)
    except (xgboost.core.XGBoostError, TypeError, ValueError) as error:
        message = first_lines(str(error))
        culprit = next(
            (
                name
                for name, value in sent.items()
                if name in message or (isinstance(value, str) and value in message)
            ),
            None,
        )
        key = "config.hyperparameters" + (f".{culprit}" if culprit else "")
        raise errors.InvalidConfiguration(
            f"XGBoost refuses {culprit or 'the hyperparameters'}: {message}",
            solution=f"Correct {key}.",
            metadata={"key": key, "sent": sent.get(culprit) if culprit else sent},
        ) from error


def first_lines(message: str) -> str:
    """The message without the stack trace and the source position that the library adds."""
    text = message.split("Stack trace", 1)[0].strip()
    if text.startswith("[") and "]" in text:
        text = text.partition("]")[2].strip()
    if ".cc:" in text.partition(" ")[0]:
        text = text.partition(": ")[2]
    return " ".join(text.split())[:600]


def is_sampled(parameters: dict[str, Any]) -> bool:
    """Whether rounds draw at random, so that continuing differs from not having stopped."""
    fractions = ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")
    if any(float(parameters.get(name, 1)) < 1 for name in fractions):
        return True
    # Dropping trees is random; the linear booster's updates depend on the threads' timing.
    return parameters.get("booster", "gbtree") in ("dart", "gblinear")


def why_not_exact(parameters: dict[str, Any]) -> str | None:
    """Why a resumed training cannot equal an uninterrupted one; None where it does."""
    racing = (
        parameters.get("booster") == "gblinear"
        and parameters.get("updater", "shotgun") == "shotgun"
        and any(int(parameters.get(name) or 1) > 1 for name in THREADS)
    )
    if not racing:
        return None
    return (
        "yet no two runs are equal, since updates of gblinear by shotgun depend on the timing of"
        " threads (updater: coord_descent, or nthread: 1, does not)"
    )


def more_is_better(metric: str) -> bool:
    """The library's own rule for its metrics."""
    upwards = ("auc", "aucpr", "pre", "map", "ndcg", "interval-regression-accuracy")
    return metric != "mape" and metric.startswith(upwards)
