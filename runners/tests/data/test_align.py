"""Later tables are brought into the form of the training table, by name and by value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml_runner import errors
from ml_runner.data import Schema, Table, TableData, align, select

Read = Callable[..., Table]
Write = Callable[..., Path]

TRAIN = "n,f,c,k,y\n1,True,red,1,u\n2,False,blue,2,v\n3,True,007,3,u\n"


@pytest.fixture
def schema(read: Read, write: Write, warned: list[str]) -> Schema:
    """Of a table with a number, a boolean, categories of text and of numbers."""
    table = read(write(TRAIN))
    data = select(
        table,
        target_column="y",
        feature_columns=None,
        categorical=["c", "k"],
        warn=warned.append,
    )
    assert warned == []
    return Schema.from_json(data.schema.to_json())


@pytest.fixture
def fit(schema: Schema, read: Read, write: Write, warned: list[str]) -> Callable[..., TableData]:
    """``align`` of the text of a CSV."""

    def fit(
        text: str, *, schema: Schema = schema, name: str = "new.csv", **options: Any
    ) -> TableData:
        options = {"with_target": False, **options}
        return align(read(write(text, name)), schema, warn=warned.append, **options)

    return fit


@pytest.fixture
def refuse(fit: Callable[..., TableData]) -> Callable[..., errors.ExecutorError]:
    """The error with which ``align`` refuses."""

    def refuse(text: str, **options: Any) -> errors.ExecutorError:
        with pytest.raises(errors.DataLoadingError) as caught:
            fit(text, **options)
        return caught.value

    return refuse


def test_the_training_table_itself(fit: Any, schema: Schema) -> None:
    data = fit(TRAIN, with_target=True)
    assert list(data.X.columns) == ["n", "f", "c", "k"]
    assert data.X["f"].tolist() == [1, 0, 1]
    assert data.X["c"].tolist() == ["red", "blue", "007"]
    assert data.X["c"].cat.categories.tolist() == ["007", "blue", "red"]
    assert data.X["k"].cat.categories.tolist() == [1, 2, 3]
    assert data.y.tolist() == ["u", "v", "u"]
    assert data.schema == schema


def test_any_order_and_more_columns(fit: Any, warned: list[str]) -> None:
    data = fit("id,k,c,n,f\n9,2,red,5,False\n")
    assert list(data.X.columns) == ["n", "f", "c", "k"]
    assert data.X.iloc[0].tolist() == [5, 0, "red", 2]
    assert data.y is None
    assert warned == []


def test_target_is_ignored_by_predict(fit: Any, warned: list[str]) -> None:
    assert fit("y,k,c,n,f\n,2,red,5,False\n").y is None
    assert warned == []


def test_text_that_looks_like_numbers(fit: Any, warned: list[str]) -> None:
    data = fit("n,f,c,k\n1,True,007,1\n")
    assert data.X["c"].tolist() == ["007"]
    assert warned == []


def test_numbers_that_have_gaps(fit: Any) -> None:
    data = fit("n,f,c,k\n1,True,red,1\n2,True,red,\n")
    assert data.X["k"].cat.codes.tolist() == [0, -1]


def test_unseen_categories(fit: Any, refuse: Any, warned: list[str]) -> None:
    text = "n,f,c,k\n1,True,green,1\n2,True,red,9\n3,True,green,2\n4,True,,1\n"
    data = fit(text)
    assert data.X["c"].isna().tolist() == [True, False, True, True]
    assert data.X["k"].cat.codes.tolist() == [0, -1, 1, 0]
    assert "2 of 4 rows" in warned[0]
    assert "'green'" in warned[0]
    assert "1 of 4 rows" in warned[1]
    error = refuse(text, accepts_missing=False)
    assert error.metadata["line"] == 2
    assert error.metadata["column"] == "c"


def test_text_where_categories_were_numbers(fit: Any, warned: list[str]) -> None:
    data = fit("n,f,c,k\n1,True,red,2\n2,True,red,x\n")
    assert data.X["k"].cat.codes.tolist() == [1, -1]
    assert "'x'" in warned[0]


def test_missing_columns(refuse: Any) -> None:
    error = refuse("N,f,colour,k\n1,True,red,1\n")
    assert error.metadata["columns"] == ["n", "c"]
    assert error.metadata["found"] == ["N", "f", "colour", "k"]
    assert error.metadata["nearest"] == {"n": "N"}
    assert "'n', 'c'" in error.message


def test_missing_target(refuse: Any) -> None:
    error = refuse("n,f,c,k\n1,True,red,1\n", with_target=True)
    assert "lacks target" in error.message
    assert error.metadata["columns"] == ["y"]


def test_missing_values_in_the_target(refuse: Any) -> None:
    text = "n,f,c,k,y\n1,True,red,1,\n2,True,red,1,u\n"
    assert refuse(text, with_target=True).metadata["line"] == 2


def test_no_target_to_compare_with(fit: Any) -> None:
    with pytest.raises(errors.InvalidConfiguration):
        fit("a\nx\n", schema=Schema(["a"], {"a": "str"}), with_target=True)


def test_text_where_numbers_were(refuse: Any) -> None:
    error = refuse("n,f,c,k\nmany,True,red,1\nfew,True,red,1\n")
    assert error.metadata["column"] == "n"
    assert "'many', 'few'" in error.message
    error = refuse("n,f,c,k\n1,True,red,1\nfew,True,red,1\n")
    assert error.metadata["line"] == 3
    error = refuse("n,f,c,k\n1,yes,red,1\n")
    assert error.metadata["column"] == "f"


def test_infinity(refuse: Any) -> None:
    assert refuse("n,f,c,k\n1,True,red,1\ninf,True,red,1\n").metadata["line"] == 3


def test_missing_values_where_none_are_taken(fit: Any, refuse: Any) -> None:
    text = "n,f,c,k\n1,True,red,1\n,True,red,1\n"
    assert fit(text).X["n"].isna().sum() == 1
    assert refuse(text, accepts_missing=False).metadata["line"] == 3


def test_without_header_is_said(fit: Any, read: Read, write: Write, schema: Schema) -> None:
    table = read(write("1,True,red,1\n"), header=False)
    with pytest.raises(errors.DataLoadingError, match="lacks columns") as caught:
        align(table, schema, with_target=False, warn=lambda _: None)
    assert "header: false" in caught.value.solution


def test_text_features_stay_text(fit: Any) -> None:
    schema = Schema(["s", "n"], {"s": "str", "n": "int64"})
    data = fit("s,n\n010,1\n020,2\n", schema=schema)
    assert data.X["s"].tolist() == ["010", "020"]
    data = fit("s,n\n,1\n,2\n", schema=schema)
    assert data.X["s"].isna().all()


def test_text_labels_stay_text(fit: Any) -> None:
    schema = Schema(["n"], {"n": "int64", "y": "str"}, target="y")
    assert fit("n,y\n1,01\n2,02\n", schema=schema, with_target=True).y.tolist() == ["01", "02"]


def test_text_of_another_format(fit: Any) -> None:
    schema = Schema(["s"], {"s": "str"})
    text = '{"s": 1}\n{"s": null}\n{"s": 3}\n'
    found = fit(text, schema=schema, name="new.jsonl").X["s"]
    assert found.isna().tolist() == [False, True, False]


def test_weights_and_groups(fit: Any, warned: list[str]) -> None:
    schema = Schema(["n"], {"n": "int64", "y": "int64"}, target="y", weight="w", group="g")
    data = fit("n,y,w,g\n1,0,2,a\n2,1,3,b\n", schema=schema, with_target=True)
    assert data.weight.tolist() == [2.0, 3.0]
    assert data.groups.tolist() == ["a", "b"]
    assert warned == []
    assert fit("n,y,w,g\n1,0,2,a\n", schema=schema).weight is None
    data = fit("n,y\n1,0\n2,1\n", schema=schema, with_target=True)
    assert data.weight is None
    assert "weigh the same" in warned[0]


def test_another_format_gives_the_same(
    fit: Any, schema: Schema, read: Read, tmp_path: Path
) -> None:
    frame = pd.read_csv(tmp_path / "train.csv")
    frame.to_parquet(tmp_path / "t.parquet")
    from_csv = fit(TRAIN).X
    table = read(tmp_path / "t.parquet")
    assert_frame_equal(align(table, schema, with_target=False, warn=lambda _: None).X, from_csv)
