"""NPZ and NPY files, and arrays that an adapter hands over."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_runner import errors
from ml_runner.data.samples import ArraySamples, array_files

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(20, 3, 4))
Y = np.arange(20) % 4
BYTES = RANDOM.integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("x", "y"), [("X", "y"), ("data", "labels"), ("images", "targets"), ("inputs", "target")]
)
def test_the_usual_names(tmp_path: Path, reading: Any, x: str, y: str) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **{x: X, y: Y})
    train = reading.train(path)
    assert (train.kind, len(train), train.inputs_shape) == ("arrays", 20, (3, 4))
    assert train.in_memory
    batch = train.batch(np.array([5, 2]))
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert np.array_equal(batch, X[[5, 2]].astype(np.float32))
    assert np.array_equal(train.read(7), X[7].astype(np.float32))
    assert np.array_equal(train.targets, Y)
    assert reading.warned == []


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_names_by_part(tmp_path: Path, reading: Any, names: tuple[str, ...]) -> None:
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **dict(zip(names, (BYTES, Y, BYTES[:5], Y[:5]), strict=True)))
    parts = reading.parts(path)
    assert (len(parts.train), len(parts.test), parts.validation) == (20, 5, None)
    assert np.array_equal(parts.test.targets, Y[:5])
    with pytest.raises(errors.InvalidConfiguration, match="train, test"):
        reading.like(path, parts.train.spec)
    test = reading.like(path, parts.train.spec, inputKey=names[2])
    assert np.array_equal(test.batch(range(5)), parts.test.batch(range(5)))


def test_names_that_say_nothing(tmp_path: Path, reading: Any) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, emb=X, cls=Y)
    error = reading.refused(path)
    assert isinstance(error, errors.InvalidConfiguration)
    assert error.metadata["allowed"] == ["emb", "cls"]
    assert "'emb' (20, 3, 4) float64" in error.message
    train = reading.train(path, inputKey="emb", targetColumn="cls")
    assert np.array_equal(train.targets, Y)
    assert np.array_equal(train.batch([1]), X[[1]].astype(np.float32))
    again = reading.like(path, json.loads(json.dumps(train.spec)), targetColumn="cls")
    assert np.array_equal(again.batch([1]), train.batch([1]))
    assert reading.refused(path, inputKey="embs").metadata["sent"] == "embs"
    np.savez(path, X=X, data=X, y=Y)
    assert "'X' and 'data' may both be the inputs" in reading.refused(path).message
    np.savez(path, X=X, y=Y, ids=Y)
    reading.train(path)
    assert reading.warned == [f"'{path}': arrays left out: 'ids'"]


def test_npy_with_its_targets(tmp_path: Path, reading: Any) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    train = reading.train(tmp_path / "x.npy", targetData=str(tmp_path / "y.npy"))
    assert np.array_equal(train.targets, Y)
    assert np.array_equal(train.whole(), X.astype(np.float32))
    assert reading.train(tmp_path / "x.npy").targets is None
    with pytest.raises(errors.DataLoadingError, match="no targets"):
        reading.like(tmp_path / "x.npy", train.spec)
    np.save(tmp_path / "y.npy", Y[:7])
    error = reading.refused(tmp_path / "x.npy", targetData=str(tmp_path / "y.npy"))
    assert isinstance(error, errors.DataLoadingError)
    assert error.metadata["shape"] == [20, 3, 4]
    assert error.metadata["targetShape"] == [7]


def test_types(tmp_path: Path, reading: Any) -> None:
    path = tmp_path / "data.npz"
    for given, config, expected in (
        ("float16", {}, "float32"),
        ("float64", {}, "float32"),
        ("uint8", {}, "float32"),
        ("bool", {}, "float32"),
        ("int16", {}, "int64"),
        ("int64", {}, "int64"),
        ("int64", {"inputDtype": "float32"}, "float32"),
        ("uint8", {"inputDtype": "int64"}, "int64"),
    ):
        values = (X * 3).astype(given)
        np.savez(path, X=values, y=Y)
        train = reading.train(path, **config)
        assert train.batch([3]).dtype == expected, given
        assert np.array_equal(train.batch([3]), values[[3]].astype(expected))
        assert train.spec["inputDtype"] == expected
    np.savez(path, X=X, y=Y)
    assert reading.refused(path, inputDtype="int64").metadata["key"] == "config.inputDtype"
    np.savez(path, X=X.astype("U"), y=Y)
    assert "takes numbers" in reading.refused(path).message
    np.savez(path, X=np.full((20, 2), 2**63, dtype=np.uint64), y=Y)
    assert "too large for int64" in reading.refused(path).message


def test_bytes_stay_as_they_are_unless_normalised(tmp_path: Path, reading: Any) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, images=BYTES, labels=Y)
    assert np.array_equal(reading.train(path).whole(), BYTES.astype(np.float32))
    unit = BYTES.astype(np.float32) / np.float32(255)
    train = reading.train(path, normalize="unit")
    assert np.array_equal(train.whole(), unit)
    mean, std = np.array([0.485, 0.456, 0.406], "f4"), np.array([0.229, 0.224, 0.225], "f4")
    train = reading.train(path, normalize="imagenet")
    assert np.array_equal(train.whole(), (unit - mean) / std)
    again = reading.like(path, json.loads(json.dumps(train.spec)))
    assert np.array_equal(again.whole(), train.whole())
    np.savez(path, images=BYTES.transpose(0, 3, 1, 2), labels=Y)
    first = reading.train(path, normalize="imagenet").whole()
    assert np.array_equal(first, train.whole().transpose(0, 3, 1, 2))
    np.savez(path, images=unit, labels=Y)
    with pytest.raises(errors.DataLoadingError, match="scaled differently"):
        reading.like(path, train.spec)
    np.savez(path, images=BYTES[..., 0], labels=Y)
    assert reading.refused(path, normalize="imagenet").metadata["key"] == "config.normalize"
    np.savez(path, images=BYTES.astype(np.int32), labels=Y)
    assert "int32" in reading.refused(path, normalize="unit").message


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (-np.inf, "infinite"), (1e39, "too large for float32")]
)
def test_what_is_not_finite_is_found(
    tmp_path: Path, reading: Any, value: float, words: str, monkeypatch: Any
) -> None:
    bad = X.copy()
    bad[13, 2, 1] = value
    bad[15, 0, 0] = value
    np.savez(tmp_path / "data.npz", X=bad, y=Y)
    np.save(tmp_path / "data.npy", bad)
    error = reading.refused(tmp_path / "data.npz")
    assert isinstance(error, errors.DataLoadingError)
    assert error.metadata["position"] == [13, 2, 1]
    assert "(20, 3, 4)" in error.message
    assert words in error.message
    # A mapped file is looked at batch by batch.
    monkeypatch.setattr(array_files, "_MAPPED_BYTES", 100)
    train = reading.train(tmp_path / "data.npy").take([1, 13, 2])
    train.batch([0, 2])
    with pytest.raises(errors.DataLoadingError) as caught:
        train.batch([0, 1])
    assert caught.value.metadata["position"] == [13, 2, 1]


def test_a_mapped_file(tmp_path: Path, reading: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(array_files, "_MAPPED_BYTES", 100)
    for order in ("C", "F"):
        path = tmp_path / f"{order}.npy"
        np.save(path, np.asarray(X, order=order))
        train = reading.train(path).take(range(2, 20))
        data = pickle.dumps(train)
        assert len(data) < 2000
        assert np.array_equal(pickle.loads(data).batch([4, 0]), X[[6, 2]].astype(np.float32))
        assert train.batch([4, 0]).flags.c_contiguous
    # A part of a map is not the map.
    part = np.load(path, mmap_mode="r")[3:]
    samples = ArraySamples(part, None, source=path)
    assert np.array_equal(pickle.loads(pickle.dumps(samples)).batch([0]), X[[3]].astype("f4"))


def test_arrays_of_an_adapter(tmp_path: Path) -> None:
    samples = ArraySamples(X, Y, source=tmp_path / "data.pt", key="x")
    some = samples.take([4, 9]).take([1])
    assert (len(some), some.targets.tolist()) == (1, [1])
    assert np.array_equal(some.batch([0]), X[[9]].astype(np.float32))
    prints = {
        samples.fingerprint(),
        some.fingerprint(),
        ArraySamples(X, Y[::-1], source=tmp_path / "data.pt", key="x").fingerprint(),
        ArraySamples(X + 1, Y, source=tmp_path / "data.pt", key="x").fingerprint(),
    }
    assert len(prints) == 4
    assert ArraySamples(X, Y, source=tmp_path / "data.pt", key="x").fingerprint() in prints
    with pytest.raises(errors.DataLoadingError, match="one more"):
        ArraySamples(Y, Y, source=tmp_path)
    with pytest.raises(errors.DataLoadingError, match="empty"):
        ArraySamples(X[:0], Y[:0], source=tmp_path)


def test_broken_and_unsafe_files(tmp_path: Path, reading: Any) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, X=X, y=np.array([object()] * 20, dtype=object))
    assert "pickle" in reading.refused(path).message
    np.savez_compressed(path, X=X, y=Y)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100] + b"\0" * 200 + whole[300:], b""):
        path.write_bytes(content)
        error = reading.refused(path)
        assert isinstance(error, errors.DataLoadingError)
        assert str(path) in error.message
    npy = tmp_path / "x.npy"
    np.save(npy, X)
    npy.write_bytes(npy.read_bytes()[:500])
    assert "cut off" in reading.refused(npy).message
    assert "does not exist" in reading.refused(tmp_path / "data.npy").message


def test_another_shape_is_told(tmp_path: Path, reading: Any) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=Y)
    np.savez(tmp_path / "b.npz", X=X[:, :2], y=Y)
    spec = reading.train(tmp_path / "a.npz").spec
    reading.like(tmp_path / "b.npz", spec)
    assert "(20, 2, 4) float64" in reading.warned[0]
    assert "(3, 4)" in reading.warned[0]
    np.savez(tmp_path / "c.npz", X=X.astype(int), y=Y)
    spec = reading.train(tmp_path / "c.npz").spec
    with pytest.raises(errors.DataLoadingError, match="whole numbers"):
        reading.like(tmp_path / "a.npz", spec)
