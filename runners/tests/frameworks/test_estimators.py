"""Finding and building estimators by name."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils import all_estimators

from ml_runner import errors, frameworks
from ml_runner.frameworks.sklearn import building, estimators


def test_every_classifier_and_regressor_is_found_and_suggested() -> None:
    known = set(estimators.names())
    for name, cls in all_estimators(type_filter=["classifier", "regressor"]):
        found = estimators.find(name)
        assert found is not None, name
        assert found.cls is cls
        assert name in known


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.svm.SVC",
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.svm._classes.SVC",
    ],
)
def test_dotted_names_within_the_package(name: str) -> None:
    found = estimators.find(name)
    assert found is not None
    assert found.cls.__name__ == name.rpartition(".")[2]


@pytest.mark.parametrize(
    "name",
    ["os.system", "subprocess.Popen", "sklearn.os.system", "builtins.eval", "joblib.Memory",
     "sklearn.utils.Bunch", "__import__", "", "sklearn", "sklearnx.svm.SVC", "..SVC"],
)  # fmt: skip
def test_nothing_else_is_imported(name: str) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="is not an estimator"):
        estimators.resolve(name)


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        estimators.resolve("RandomForrestClassifier")
    assert caught.value.metadata["nearest"] == "RandomForestClassifier"
    with pytest.raises(errors.InvalidConfiguration) as caught:
        estimators.resolve("XGBClasifier")
    assert caught.value.metadata["nearest"] == "XGBClassifier"


@pytest.mark.parametrize("name", ["XGBClassifier", "xgboost.XGBClassifier", "LGBMRegressor",
                                  "lightgbm.sklearn.LGBMRegressor", "XGBRFRegressor"])  # fmt: skip
def test_other_frameworks_lend_their_classes(name: str) -> None:
    found = estimators.resolve(name)
    assert found.framework in ("xgboost", "lightgbm")
    assert found.cls.__name__ == name.rpartition(".")[2]


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("RandomForestClassifier", {"n_estimator": 5}, "Did you mean 'n_estimators'"),
        ("RandomForestClassifier", {"n_estimators": -1}, "must be an int"),
        ("RandomForestClassifier", {"criterion": "entropi"}, "must be a str among"),
        ("SVC", {"C": "high"}, "'C' parameter of SVC"),
        ("XGBClassifier", {"max_deph": 3}, "Did you mean 'max_depth'"),
        ("XGBClassifier", {"max_depth": -3}, "XGBoost refuses max_depth"),
        ("XGBClassifier", {"objective": "binary:logstic"}, "Unknown objective function"),
        ("LGBMClassifier", {"num_leafs": 3}, "Did you mean 'num_leaves'"),
        ("LGBMClassifier", {"num_leaves": -3}, "LightGBM refuses num_leaves"),
        ("VotingClassifier", {}, "needs estimators"),
        ("LogisticRegression", {"nested__thing": 1}, "has no hyperparameter"),
    ],
)
def test_refuses_what_the_library_would(name: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        building.build(estimators.resolve(name), parameters)
    assert words in f"{caught.value.message} {caught.value.solution}"
    assert caught.value.metadata["key"].startswith("config.hyperparameters")


def test_lists_become_what_the_estimator_takes() -> None:
    network = building.build(
        estimators.resolve("MLPClassifier"), {"hidden_layer_sizes": [5, 3], "max_iter": 9}
    )
    assert list(network.hidden_layer_sizes) == [5, 3]
    spline = building.build(
        estimators.resolve("TransformedTargetRegressor"), {"regressor": {"algorithm": "Ridge"}}
    )
    assert type(spline.regressor).__name__ == "Ridge"


def test_estimators_within_estimators() -> None:
    found = building.build(
        estimators.resolve("VotingClassifier"),
        {
            "estimators": [
                ["tree", {"algorithm": "ExtraTreeClassifier", "hyperparameters": {"max_depth": 3}}],
                ["boosted", {"algorithm": "XGBClassifier"}],
            ],
            "voting": "soft",
        },
    )  # fmt: skip
    assert [name for name, _ in found.estimators] == ["tree", "boosted"]
    assert found.estimators[0][1].max_depth == 3
    with pytest.raises(errors.InvalidConfiguration) as caught:
        building.build(
            estimators.resolve("AdaBoostClassifier"),
            {"estimator": {"algorithm": "DecisionTreeClassifier", "hyperparameters": {"depth": 1}}},
        )
    assert caught.value.metadata["key"] == "config.hyperparameters.estimator.hyperparameters.depth"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("KMeans", "a clusterer"),
        ("IsolationForest", "an outlier detector"),
        ("PCA", "a transformer"),
    ],
)
def test_what_learns_no_target_is_refused(name: str, words: str) -> None:
    built = building.build(estimators.resolve(name), {})
    with pytest.raises(errors.InvalidConfiguration, match=words):
        estimators.task_of(built, name)


def test_one_may_be_a_count_or_a_share() -> None:
    built = building.build(estimators.resolve("RandomForestRegressor"), {"max_features": 1})
    assert building.ambiguous_ones(built, {"max_features": 1}) == ["max_features"]
    assert building.ambiguous_ones(built, {"max_features": 0.5, "n_estimators": 1}) == []


@pytest.mark.parametrize(
    ("algorithm", "framework"),
    [
        ("RandomForestClassifier", "sklearn"),
        ("XGBRegressor", "xgboost"),
        ("LGBMClassifier", "lightgbm"),
        ("XGBRFClassifier", "sklearn"),
        ("sklearn.svm.SVC", "sklearn"),
    ],
)
def test_auto_finds_the_framework(algorithm: str, framework: str) -> None:
    adapter, why = frameworks.resolve_training("auto", {"algorithm": algorithm})
    assert adapter.name == framework
    assert why


def test_auto_needs_an_algorithm_that_somebody_has() -> None:
    with pytest.raises(errors.InvalidConfiguration, match="does not say what to train"):
        frameworks.resolve_training("auto", {})
    with pytest.raises(errors.InvalidConfiguration) as caught:
        frameworks.resolve_training("auto", {"algorithm": "RandomForestClasifier"})
    assert caught.value.metadata["nearest"] == "RandomForestClassifier"
