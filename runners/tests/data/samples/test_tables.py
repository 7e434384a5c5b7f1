"""Tables as samples, and their scaling against scikit-learn's scalers."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import preprocessing
from sklearn.datasets import load_wine

from ml_runner import errors
from ml_runner.data.samples import Parts, Scaling, hold_out, scaled

SCALERS = {
    "standard": preprocessing.StandardScaler,
    "minmax": preprocessing.MinMaxScaler,
    "robust": preprocessing.RobustScaler,
    "maxabs": preprocessing.MaxAbsScaler,
}


@pytest.fixture
def wine(tmp_path: Path) -> Path:
    data: Any = load_wine(as_frame=True)
    path = tmp_path / "wine.csv"
    frame = data.frame.assign(flat=3.7, flag=data.frame.index % 2 == 0)
    frame.to_csv(path, index=False)
    return path


def test_rows_as_float32(wine: Path, reading: Any) -> None:
    train = reading.train(wine, targetColumn="target")
    frame = pd.read_csv(wine)
    expected = frame.drop(columns="target").to_numpy(dtype=np.float64).astype(np.float32)
    assert (train.kind, len(train), train.inputs_shape) == ("table", 178, (15,))
    assert np.array_equal(train.whole(), expected)
    assert np.array_equal(train.batch([5, 3]), expected[[5, 3]])
    assert train.batch([5]).dtype == np.float32
    assert train.targets.tolist() == frame["target"].tolist()
    assert train.in_memory
    chosen = reading.train(wine, targetColumn="target", featureColumns=["hue", "flag"])
    assert chosen.spec["schema"]["features"] == ["hue", "flag"]
    assert np.array_equal(pickle.loads(pickle.dumps(chosen)).whole(), chosen.whole())


@pytest.mark.parametrize("method", list(SCALERS))
def test_scaled_as_scikit_learn_does(wine: Path, reading: Any, method: str) -> None:
    parts = reading.parts(wine, targetColumn="target", featureScaling=method)
    rows, held = hold_out(len(parts.train), 0.25, 3)
    parts = scaled(Parts(parts.train.take(rows), parts.train.take(held)), method)
    x = pd.read_csv(wine).drop(columns="target").to_numpy(dtype=np.float64)
    scaler = SCALERS[method]().fit(x[rows])
    assert np.array_equal(
        parts.train.whole(), scaler.transform(x[rows]).astype(np.float32)
    ) or np.allclose(parts.train.whole(), scaler.transform(x[rows]), atol=1e-6, rtol=1e-6)
    assert np.allclose(parts.validation.whole(), scaler.transform(x[held]), atol=1e-6, rtol=1e-6)
    spec = json.loads(json.dumps(parts.train.spec))
    scaling = Scaling.from_json(spec["scaling"])
    assert np.allclose(scaling.apply(x), scaler.transform(x), atol=1e-12, rtol=1e-12)
    flat = list(pd.read_csv(wine).columns).index("flat") - 1
    assert spec["scaling"]["scale"][flat] == (3.7 if method == "maxabs" else 1)
    # A later table, its columns in another order and the target missing.
    frame = pd.read_csv(wine).drop(columns="target").iloc[:7, ::-1]
    frame.to_csv(wine.parent / "later.csv", index=False)
    later = reading.like(wine.parent / "later.csv", spec, targets=False)
    assert later.targets is None
    assert np.allclose(later.whole(), scaler.transform(x[:7]), atol=1e-6, rtol=1e-6)
    with_target = reading.like(wine, spec)
    assert np.array_equal(with_target.whole()[rows], parts.train.whole())


@pytest.mark.parametrize("method", list(SCALERS))
@pytest.mark.parametrize("case", ["noise", "constant", "tiny", "far", "zeros"])
def test_scaling_of_awkward_columns(method: str, case: str) -> None:
    random = np.random.default_rng(1)
    x = {
        "noise": random.normal(5, 3, (50, 4)),
        "constant": np.full((50, 4), 0.1) * [1, 3, 1e5, -7],
        "tiny": random.normal(0, 1e-17, (50, 4)),
        "far": random.normal(1e3, 1, (50, 4)),
        "zeros": np.zeros((50, 4)),
    }[case]
    expected = SCALERS[method]().fit_transform(x)
    assert np.allclose(Scaling.fit(method, x).apply(x), expected, rtol=1e-12, atol=1e-12)


def test_text_labels_and_weights(tmp_path: Path, reading: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,w,y\n1,0.5,no\n2,1,yes\n3,2,no\n")
    train = reading.train(path, targetColumn="y", sampleWeightColumn="w")
    assert train.targets.tolist() == ["no", "yes", "no"]
    assert train.targets.dtype.kind == "U"
    assert train.take([2, 0]).weights.tolist() == [2, 0.5]
    assert train.inputs_shape == (1,)
    later = reading.like(path, train.spec, sampleWeightColumn="w")
    assert later.weights.tolist() == [0.5, 1, 2]


@pytest.mark.parametrize(
    ("text", "config", "type_", "words"),
    [
        ("a,y\n1,0\n,1\n", {}, errors.DataLoadingError, "'a' (1)"),
        ("a,y\nx,0\nz,1\n", {}, errors.InvalidConfiguration, "holds text"),
        ("a,y\nx,0\nz,1\n", {"categorical": ["a"]}, errors.InvalidConfiguration, "categories"),
        ("a,y\n1e300,0\n1,1\n", {}, errors.DataLoadingError, "too large for float32 in line 2"),
        ("a,y\ninf,0\n1,1\n", {}, errors.DataLoadingError, "infinite in line 2"),
        ("a,y\n1,0\n1,1\n", {"imageSize": 3}, errors.InvalidConfiguration, "imageSize"),
        ("a,y\n1,0\n1,1\n", {"normalize": "unit"}, errors.InvalidConfiguration, "normalize"),
        ("a,y\n1,0\n1,1\n", {"targetData": "y"}, errors.InvalidConfiguration, "targetData"),
    ],
)
def test_refused(
    tmp_path: Path, reading: Any, text: str, config: Any, type_: Any, words: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    error = reading.refused(path, targetColumn="y", **config)
    assert isinstance(error, type_)
    assert words in error.message


def test_an_array_file_as_a_table(tmp_path: Path, reading: Any) -> None:
    values = np.random.default_rng(0).normal(size=(9, 3))
    np.save(tmp_path / "t.npy", values)
    train = reading.train(tmp_path / "t.npy", targetColumn="2")
    assert train.kind == "table"
    assert np.array_equal(train.whole(), values[:, :2].astype(np.float32))
    assert np.array_equal(train.targets, values[:, 2])
    np.savez(tmp_path / "t.npz", X=values, y=values[:, 0])
    train = reading.train(tmp_path / "t.npz", targetColumn="y", featureColumns=["1", "2"])
    assert train.inputs_shape == (2,)
    assert reading.like(tmp_path / "t.npz", train.spec).kind == "table"


def test_scaling_is_for_tables(image_folder: Path, reading: Any) -> None:
    parts = reading.parts(image_folder)
    with pytest.raises(errors.InvalidConfiguration, match="is for tables"):
        scaled(parts, "standard")
    assert scaled(parts, "none") is parts


def test_fingerprint(wine: Path, reading: Any) -> None:
    parts = reading.parts(wine, targetColumn="target", featureScaling="standard")
    done = scaled(parts, "standard").train
    same = scaled(reading.parts(wine, targetColumn="target", featureScaling="standard"), "standard")
    assert same.train.fingerprint() == done.fingerprint()
    prints = {done.fingerprint(), done.take(range(9)).fingerprint(), parts.train.fingerprint()}
    # The same rows, taken before the scaling was applied or after it.
    taken = parts.train.take(range(5, 14)).scaled(done.scaling)
    assert taken.fingerprint() == done.take(range(5, 14)).fingerprint()
    wine.write_text(wine.read_text().replace("14.23", "14.24", 1))
    prints.add(reading.train(wine, targetColumn="target").fingerprint())
    assert len(prints) == 4


def test_other_data_than_the_model_was_trained_on(
    wine: Path, image_folder: Path, reading: Any
) -> None:
    spec = reading.train(wine, targetColumn="target").spec
    with pytest.raises(errors.DataLoadingError, match="is read as images"):
        reading.like(image_folder, spec)
    with pytest.raises(errors.DataLoadingError, match="is read as a table"):
        reading.like(wine, reading.train(image_folder).spec)
