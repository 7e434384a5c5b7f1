"""Ordinary files come out as plain pandas reads them: values to the last bit, types, order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn import datasets

from ml_runner.data import Table

Read = Callable[..., Table]
Write = Callable[..., Path]

TEXTS = {
    "integers and fractions": "a,b\n1,0.1\n-2,1e-3\n",
    "last digits": "x\n0.1234567890123456789\n2.2250738585072014e-308\n1.7976931348623157e308\n",
    "text": "name,n\nBob,1\n Al ,2\n",
    "missing markers": "a,b,c\n1,NA,x\n,2.5,None\nnull,NaN,n/a\n3,4,y\n",
    "booleans": "flag,n\nTrue,1\nfalse,2\n",
    "booleans with gaps": "flag,n\nTrue,1\n,2\n",
    "quoted": 'a,b\n"x, y",1\n"say ""hi""",2\n"two\nlines",3\n',
    "windows line ends": "a,b\r\n1,2\r\n3,4\r\n",
    "old mac line ends": "a,b\r1,2\r3,4\r",
    "no newline at the end": "a,b\n1,2",
    "blank lines": "\na,b\n\n1,2\n   \n3,4\n\n",
    "huge integers": "a,b\n18446744073709551615,1\n2,2\n",
    "beyond integers": "a,b\n99999999999999999999999,1\n2,2\n",
    "one column": "a\n1\n2\n",
    "unnamed first": ",a\n0,5\n1,6\n",
    "spaces in names": "a b, c\n1,2\n",
    "zeros in front": "zip,n\n007,1\n010,2\n",
    "text that is long": "a,b\n" + "x" * 200_000 + ",1\n",
    "unicode": "größe,名前\n1,ä\n2,漢字\n",
    "thousands": 'a,b\n"1,234",1\n"2,345",2\n',
    "semicolons in text": "a,b\nx; y,1\nu; v,2\n",
    "negative and plus": "a,b\n+1,-0.0\n-1,.5\n",
    "dates": "when,n\n2024-01-01,1\n2024-01-02,2\n",
    "infinity": "a,b\ninf,1\n-inf,2\n",
    "years as names": "name,2019,2020\nBob,1,2\nAl,3,4\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_csv(name: str, read: Read, write: Write) -> None:
    path = write(TEXTS[name])
    assert_frame_equal(
        read(path).frame, pd.read_csv(path, low_memory=False), check_exact=True, check_dtype=True
    )


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "wine", "diabetes", "digits"])
def test_real_data(name: str, read: Read, tmp_path: Path, warned: list[str]) -> None:
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    path = tmp_path / f"{name}.csv"
    frame.to_csv(path, index=False)
    table = read(path)
    assert_frame_equal(table.frame, pd.read_csv(path), check_exact=True)
    assert (table.format, table.encoding, table.separator) == ("csv", "utf-8", ",")
    assert warned == []


@pytest.mark.parametrize("seed", range(5))
def test_random_tables(seed: int, read: Read, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.integers(1, 4000))
    frame = pd.DataFrame(
        {
            "normal": random.normal(size=rows) * 10.0 ** random.integers(-300, 300, rows),
            "int": random.integers(-(2**62), 2**62, rows),
            "gaps": np.where(random.random(rows) < 0.3, np.nan, random.normal(size=rows)),
            "text": random.choice(["a", "b,c", 'd"e', "", "é\nf", " g "], rows),
            "flag": random.random(rows) < 0.5,
        }
    )
    path = tmp_path / "random.csv"
    frame.to_csv(path, index=False)
    assert_frame_equal(read(path).frame, pd.read_csv(path), check_exact=True)


def test_late_text_makes_the_whole_column_text(read: Read, write: Write) -> None:
    # By default pandas types such a table in pieces: numbers in the first, text in the last.
    row = ",".join(["7"] * 20)
    path = write(
        ",".join(f"c{i}" for i in range(20)) + "\n" + f"{row}\n" * 70_000 + f"x{row[1:]}\n"
    )
    column = read(path).frame["c0"]
    assert {type(value) for value in column.tolist()} == {str}
    assert column.iloc[0] == "7"


@pytest.mark.parametrize("compression", ["gzip", "bz2", "xz", "zip"])
def test_compressed(compression: str, read: Read, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"  # the name does not tell
    frame = pd.DataFrame({"a": range(50_000), "b": np.arange(50_000) / 7})
    frame.to_csv(path, index=False, compression=compression)  # type: ignore[call-overload]
    assert_frame_equal(read(path).frame, frame)


def test_tsv(read: Read, write: Write, warned: list[str]) -> None:
    path = write("a\tb\n1\tx, y\n2\tz\n", "train.tsv")
    table = read(path)
    assert (table.format, table.separator) == ("tsv", "\t")
    assert_frame_equal(table.frame, pd.read_csv(path, sep="\t"))
    assert warned == []


def test_no_header(read: Read, write: Write) -> None:
    path = write("1,2,a\n3,4,b\n")
    table = read(path, header=False)
    assert not table.header
    expected = pd.read_csv(path, header=None)
    expected.columns = ["0", "1", "2"]
    assert_frame_equal(table.frame, expected)


def test_wide_table(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(3, 20_000)))
    frame.columns = [f"column_{i}" for i in range(20_000)]
    frame.to_csv(path, index=False)
    assert path.stat().st_size > 1_000_000
    assert_frame_equal(read(path).frame, pd.read_csv(path), check_exact=True)


def test_parquet(read: Read, tmp_path: Path, warned: list[str]) -> None:
    path = tmp_path / "train.parquet"
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": ["x", None], "d": [True, False]})
    frame["e"] = pd.Categorical(["u", "v"])
    frame.to_parquet(path)
    table = read(path)
    assert (table.format, table.encoding, table.separator) == ("parquet", None, None)
    assert_frame_equal(table.frame, pd.read_parquet(path))
    assert warned == []


def test_parquet_under_another_name(read: Read, tmp_path: Path, warned: list[str]) -> None:
    path = tmp_path / "train.csv"
    pd.DataFrame({"a": [1, 2]}).to_parquet(path)
    assert read(path).frame["a"].tolist() == [1, 2]
    assert "named .csv but holds Parquet" in warned[0]


def test_stored_index_is_named(read: Read, tmp_path: Path, warned: list[str]) -> None:
    path = tmp_path / "train.parquet"
    pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")).to_parquet(path)
    frame = read(path).frame
    assert list(frame.columns) == ["a"]
    assert list(frame.index) == [0, 1]
    assert "index (key)" in warned[0]


def test_feather_and_arrow_stream(read: Read, tmp_path: Path) -> None:
    import pyarrow as pa

    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame.to_feather(tmp_path / "t.feather")
    assert_frame_equal(read(tmp_path / "t.feather").frame, frame)
    arrow = pa.Table.from_pandas(frame)
    with pa.ipc.new_stream(str(tmp_path / "t.arrows"), arrow.schema) as writer:
        writer.write_table(arrow)
    table = read(tmp_path / "t.arrows")
    assert table.format == "arrow"
    assert_frame_equal(table.frame, frame)


def test_json_lines_keeps_types(read: Read, write: Write) -> None:
    path = write('{"a": 1, "s": "007", "f": 0.1}\n\n{"a": 2, "s": "x", "z": true}\n', "t.jsonl")
    table = read(path)
    assert (table.format, table.encoding) == ("jsonl", "utf-8")
    assert table.frame["a"].tolist() == [1, 2]
    assert table.frame["s"].tolist() == ["007", "x"]
    assert table.frame["f"].iloc[0] == 0.1
    assert table.frame["f"].isna().tolist() == [False, True]
    assert table.frame["z"].iloc[1] is True or table.frame["z"].iloc[1] == True  # noqa: E712


def test_json_lines_in_pieces(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    path.write_text("".join(f'{{"a": {i}, "b": "{i}"}}\n' for i in range(100_500)))
    frame = read(path).frame
    assert frame["a"].tolist() == list(range(100_500))
    assert list(frame.index[-2:]) == [100_498, 100_499]
    assert frame["b"].iloc[-1] == "100499"


@pytest.mark.parametrize("orient", ["records", "columns", "split", "list"])
def test_json(orient: str, read: Read, tmp_path: Path) -> None:
    import json

    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "1", "z"]})
    path = tmp_path / "t.json"
    if orient == "list":
        path.write_text(json.dumps(frame.to_dict("list")))
    else:
        frame.to_json(path, orient=orient)  # type: ignore[call-overload]
    table = read(path)
    assert table.format == "json"
    assert_frame_equal(table.frame, frame)


def test_npz(read: Read, tmp_path: Path, warned: list[str]) -> None:
    path = tmp_path / "t.npz"
    features, labels = np.arange(6.0).reshape(3, 2), np.array(["u", "v", "u"])
    np.savez(path, X=features, y=labels, classes=np.array(2))
    frame = read(path).frame
    assert list(frame.columns) == ["0", "1", "y"]
    assert (frame[["0", "1"]].to_numpy() == features).all()
    assert frame["y"].tolist() == ["u", "v", "u"]
    assert "'classes'" in warned[0]


def test_npz_of_two_matrices_and_a_column(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez_compressed(path, a=np.ones((2, 2)), b=np.zeros((2, 3)), y=np.array([[1], [2]]))
    frame = read(path).frame
    assert list(frame.columns) == ["a_0", "a_1", "b_0", "b_1", "b_2", "y"]
    assert frame["y"].tolist() == [1, 2]


def test_npy(read: Read, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.arange(6, dtype="int32").reshape(3, 2))
    frame = read(tmp_path / "m.npy").frame
    assert list(frame.columns) == ["0", "1"]
    assert frame.dtypes.tolist() == [np.dtype("int32")] * 2
    np.save(tmp_path / "v.npy", np.array([1.5, 2.5]))
    assert read(tmp_path / "v.npy").frame["0"].tolist() == [1.5, 2.5]
    np.save(tmp_path / "s.npy", np.array([(1, 2.5)], dtype=[("n", "i8"), ("f", "f8")]))
    assert list(read(tmp_path / "s.npy").frame.columns) == ["n", "f"]


def test_npz_of_one_narrow_matrix(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, X=np.array([[0.5], [1.5]]), y=np.array([1, 2]))
    frame = read(path).frame
    assert list(frame.columns) == ["0", "y"]
    assert frame["0"].tolist() == [0.5, 1.5]
