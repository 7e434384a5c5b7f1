"""From tables to training data: what is taken, what is converted, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

from ml_runner import errors
from ml_runner.data import Schema, Table, TableData, select

Read = Callable[..., Table]
Write = Callable[..., Path]
Choose = Callable[..., TableData]
Refused = Callable[..., errors.ExecutorError]

DEFAULTS: dict[str, Any] = {"target_column": "y", "feature_columns": None}


@pytest.fixture
def choose(read: Read, write: Write, warned: list[str]) -> Choose:
    """``select`` on the text of a CSV, or on a file."""

    def choose(table: str | Path, **options: Any) -> TableData:
        path = write(table) if isinstance(table, str) else table
        return select(read(path), warn=warned.append, **{**DEFAULTS, **options})

    return choose


@pytest.fixture
def refused(choose: Choose) -> Refused:
    """The error with which ``select`` refuses."""

    def refused(table: str | Path, **options: Any) -> errors.ExecutorError:
        with pytest.raises(errors.ExecutorError) as caught:
            choose(table, **options)
        error = caught.value
        assert len(error.solution) > 10
        assert error.next_call is None
        json.dumps(error.metadata, allow_nan=False)
        if isinstance(error, errors.DataLoadingError):
            assert "train." in error.message
            assert "file" in error.metadata
        return error

    return refused


# -- what comes out -------------------------------------------------------------------------------


def test_all_but_the_target(choose: Choose, warned: list[str]) -> None:
    data = choose("b,y,a\n1,u,0.5\n2,v,1.5\n")
    assert_frame_equal(data.X, pd.DataFrame({"b": [1, 2], "a": [0.5, 1.5]}))
    assert data.y is not None
    assert data.y.tolist() == ["u", "v"]
    assert data.weight is None
    assert data.groups is None
    assert data.schema == Schema(
        features=["b", "a"], dtypes={"b": "int64", "a": "float64", "y": "str"}, target="y"
    )
    assert warned == []


def test_named_features_in_their_order(choose: Choose) -> None:
    data = choose("a,b,c,y\n1,2,3,0\n", feature_columns=["c", "a"])
    assert list(data.X.columns) == ["c", "a"]


def test_weight_and_group_are_no_features(choose: Choose) -> None:
    data = choose("a,w,g,y\n1,2,k,0\n2,0,l,1\n", weight_column="w", group_column="g")
    assert list(data.X.columns) == ["a"]
    assert data.weight is not None
    assert data.weight.tolist() == [2.0, 0.0]
    assert data.weight.dtype == "float64"
    assert data.groups is not None
    assert data.groups.tolist() == ["k", "l"]
    assert (data.schema.weight, data.schema.group) == ("w", "g")


def test_without_a_target(choose: Choose) -> None:
    data = choose("a,b\n1,2\n", target_column=None)
    assert data.y is None
    assert list(data.X.columns) == ["a", "b"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("no,yes, no ", ["no", "yes", " no "]),
        ("3,5,7", [3, 5, 7]),
        ("True,False,True", [True, False, True]),
        ("0.5,1.5,-2.5", [0.5, 1.5, -2.5]),
        ("a,1,2", ["a", "1", "2"]),
    ],
)
def test_target_is_kept_as_it_is(cells: str, expected: list[Any], choose: Choose) -> None:
    text = "a,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells.split(",")))
    y = choose(text).y
    assert y is not None
    assert y.tolist() == expected


def test_booleans_become_numbers(choose: Choose) -> None:
    data = choose("f,g,y\nTrue,,0\nFalse,True,1\n")
    assert data.X["f"].tolist() == [1, 0]
    assert data.X["f"].dtype == "int64"
    assert data.X["g"].dtype == "float64"
    assert np.isnan(data.X["g"].iloc[0])
    assert data.X["g"].iloc[1] == 1.0
    assert data.schema.dtypes["f"] == data.schema.dtypes["g"] == "bool"


def test_nullable_types_become_numpy(choose: Choose, tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None, 3], dtype="Int64"),
            "whole": pd.array([1, 2, 3], dtype="Int32"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "f": pd.array([0.5, None, 1], dtype="Float32"),
            "y": [1, 2, 3],
        }
    )
    frame.to_parquet(path)
    x = choose(path).X
    assert [str(d) for d in x.dtypes] == ["float64", "int32", "float64", "float64"]
    assert x["i"].tolist()[::2] == [1.0, 3.0]
    assert x["b"].tolist()[::2] == [1.0, 0.0]
    assert x.isna().sum().tolist() == [1, 0, 1, 1]


def test_decimals_become_numbers(choose: Choose, tmp_path: Path) -> None:
    from decimal import Decimal

    pd.DataFrame({"a": [Decimal("1.25"), None], "y": [0, 1]}).to_parquet(tmp_path / "train.parquet")
    assert choose(tmp_path / "train.parquet").X["a"].iloc[0] == 1.25


def test_huge_integers_keep_their_type(choose: Choose) -> None:
    data = choose("a,b,y\n18446744073709551615,9007199254740993,0\n1,2,1\n")
    assert str(data.X["a"].dtype) == "uint64"
    assert data.X["b"].tolist() == [9007199254740993, 2]


@pytest.mark.parametrize(
    ("cells", "categories"),
    [
        (["b", "a", "", "b"], ["a", "b"]),
        (["3", "1", "2", "1"], [1, 2, 3]),
        (["2.5", "", "1", "1"], [1.0, 2.5]),
        (["True", "False", "True", "True"], [0, 1]),
        (["b", "1", "a", "2"], ["1", "2", "a", "b"]),
    ],
)
def test_categories(cells: list[str], categories: list[Any], choose: Choose) -> None:
    text = "n,c,y\n" + "".join(f"{i},{cell},{i}\n" for i, cell in enumerate(cells))
    data = choose(text, categorical=["c"])
    assert data.X["c"].cat.categories.tolist() == categories
    assert data.X["c"].isna().tolist() == [cell == "" for cell in cells]
    assert data.schema.categorical == {"c": categories}
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema


def test_dates_as_categories(choose: Choose, tmp_path: Path) -> None:
    frame = pd.DataFrame({"d": pd.to_datetime(["2024-02-01", "2024-01-01"]), "y": [0, 1]})
    frame.to_parquet(tmp_path / "train.parquet")
    data = choose(tmp_path / "train.parquet", categorical=["d"])
    assert data.X["d"].cat.categories.tolist() == ["2024-01-01T00:00:00", "2024-02-01T00:00:00"]


def test_text_where_it_is_accepted(choose: Choose) -> None:
    data = choose("s,y\nu,0\nv,1\n", accepts_strings=True)
    assert data.X["s"].tolist() == ["u", "v"]
    assert data.schema.dtypes["s"] == "str"


def test_mixed_where_text_is_accepted_is_said(choose: Choose, warned: list[str]) -> None:
    assert choose("s,y\n1,0\n2,1\nx,1\n", accepts_strings=True).X["s"].tolist() == ["1", "2", "x"]
    assert "taken as text" in warned[0]


def test_unnamed_index_is_said(choose: Choose, warned: list[str]) -> None:
    assert list(choose(",a,y\n0,5,1\n1,6,0\n").X.columns) == ["Unnamed: 0", "a"]
    assert "no name" in warned[0]


def test_no_rows_are_dropped_and_the_table_is_unharmed(choose: Choose) -> None:
    data = choose("f,c,y\nTrue,u,0\n,v,1\n", categorical=["c"])
    assert len(data.X) == 2
    assert data.table.frame["f"].iloc[0] is True
    assert data.table.frame["c"].tolist() == ["u", "v"]


# -- columns that are not there -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"target_column": "lable"}, "targetColumn"),
        ({"target_column": "label", "feature_columns": ["lable"]}, "featureColumns"),
        ({"target_column": "a", "weight_column": "lable"}, "sampleWeightColumn"),
        ({"target_column": "a", "group_column": "lable"}, "groupColumn"),
        ({"target_column": "a", "categorical": ["lable"]}, "categorical"),
    ],
)
def test_misspelt(options: dict[str, Any], key: str, refused: Refused) -> None:
    error = refused("a,b,label\n1,2,3\n", **options)
    assert error.type == "invalid-configuration"
    assert error.metadata["key"] == key
    assert error.metadata["allowed"] == ["a", "b", "label"]
    assert error.metadata["nearest"] == "label"
    assert "'a', 'b', 'label'" in error.message
    assert "Did you mean 'label'?" in error.solution


def test_unknown_without_a_guess(refused: Refused) -> None:
    error = refused("a,b\n1,2\n", target_column="z")
    assert "nearest" not in error.metadata


def test_spaces_around_a_name(refused: Refused) -> None:
    assert refused("a, y\n1,2\n", target_column="y").metadata["nearest"] == " y"


def test_many_columns_are_not_all_listed(refused: Refused) -> None:
    names = [f"column_{i}" for i in range(3000)]
    error = refused(",".join(names) + "\n" + ",".join(["1"] * 3000) + "\n")
    assert "and 2970 more" in error.message
    assert len(error.message) < 2000


@pytest.mark.parametrize(
    "options",
    [
        {"feature_columns": []},
        {"feature_columns": ["a", "y"]},
        {"feature_columns": ["a", "a"]},
        {"feature_columns": ["a"], "categorical": ["b"]},
        {"categorical": ["y"]},
        {"weight_column": "y"},
        {"group_column": "y"},
    ],
)
def test_impossible(options: dict[str, Any], refused: Refused) -> None:
    assert refused("a,b,y\n1,2,3\n", **options).type == "invalid-configuration"


def test_nothing_but_the_target(refused: Refused) -> None:
    error = refused("y\nu\nv\n")
    assert error.type == "invalid-configuration"
    assert "no feature" in error.message


# -- values that will not do ----------------------------------------------------------------------


def test_text_among_the_features(refused: Refused) -> None:
    error = refused("s,t,n,y\nred,x,1,0\nblue,x,2,1\n")
    assert error.type == "invalid-configuration"
    assert error.metadata["columns"] == ["s", "t"]
    assert "'s' ('red', 'blue')" in error.message
    assert "categorical" in error.solution
    assert "featureColumns" in error.solution


def test_dates_are_text(refused: Refused, tmp_path: Path) -> None:
    frame = pd.DataFrame({"d": pd.to_datetime(["2024-02-01"]), "y": [0]})
    frame.to_parquet(tmp_path / "train.parquet")
    assert refused(tmp_path / "train.parquet").metadata["columns"] == ["d"]


@pytest.mark.parametrize("content", [[[1, 2], [3]], [{"a": 1}, {"a": 2}], [b"x", b"y"]])
@pytest.mark.parametrize("accepts", [True, False])
def test_nested(content: list[Any], accepts: bool, refused: Refused, tmp_path: Path) -> None:
    pd.DataFrame({"n": content, "y": [0, 1]}).to_parquet(tmp_path / "train.parquet")
    error = refused(tmp_path / "train.parquet", accepts_strings=accepts)
    assert error.metadata["column"] == "n"


def test_mixed(refused: Refused) -> None:
    text = "a,b,y\n" + "1,2,0\n" * 10 + "3,oops,1\n4,n.a.,1\n"
    error = refused(text)
    assert error.type == "data-loading-error"
    wanted = {"column": "b", "value": "oops", "count": 2, "line": 12, "row": 11}
    assert wanted.items() <= error.metadata.items()
    assert "'oops' in line 12" in error.message


def test_mixed_json(refused: Refused, write: Write) -> None:
    lines = '{"a": 1, "y": 0}\n' * 3 + '{"a": "x", "y": 1}\n'
    assert refused(write(lines, "train.jsonl")).metadata["line"] == 4


def test_infinity(refused: Refused) -> None:
    error = refused("a,b,y\n1,2,0\n3,inf,1\n-inf,5,0\n1,inf,1\n")
    wanted = {"column": "b", "line": 3, "row": 2, "count": 2}
    assert wanted.items() <= error.metadata.items()


def test_infinity_far_behind_among_gaps(refused: Refused) -> None:
    text = "a,b,y\n" + "1,,0\n" * 70_000 + "1,-inf,0\n1,2,1\n"
    assert refused(text).metadata["line"] == 70_002


def test_finite_values_whose_sum_is_not(choose: Choose) -> None:
    assert len(choose("a,b,y\n1e308,1,0\n1e308,1,1\n1e308,1,1\n").X) == 3


def test_infinity_in_a_nullable_column(refused: Refused, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": pd.array([0.5, np.inf], dtype="Float64"), "y": [0, 1]})
    frame.to_parquet(tmp_path / "train.parquet")
    assert refused(tmp_path / "train.parquet").metadata["row"] == 2


def test_all_missing(choose: Choose, refused: Refused, warned: list[str]) -> None:
    text = "a,b,y\n1,,0\n2,,1\n"
    assert choose(text).X["b"].isna().all()
    assert "'b'" in warned[0]
    error = refused(text, accepts_missing=False)
    assert error.metadata["column"] == "b"
    assert "no value in any row" in error.message


def test_missing_where_none_is_accepted(refused: Refused) -> None:
    error = refused("a,b,y\n1,1,0\n,1,0\n2,,1\n,3,1\n", accepts_missing=False)
    assert error.type == "data-loading-error"
    assert error.metadata["columns"] == {"a": 2, "b": 1}
    assert error.metadata["line"] == 3


def test_missing_in_the_target(refused: Refused) -> None:
    error = refused("a,y\n1,0\n2,\n3,1\n4,NA\n")
    wanted = {"column": "y", "count": 2, "line": 3}
    assert wanted.items() <= error.metadata.items()
    assert "2 of 4 rows" in error.message
    assert "Drop" in error.solution


def test_infinity_in_the_target(refused: Refused) -> None:
    assert refused("a,y\n1,0.5\n2,inf\n").metadata["line"] == 3


@pytest.mark.parametrize(
    ("cells", "line"),
    [("1,,1", 3), ("1,-2,1", 3), ("1,1,inf", 4), ("1,x,2", 3), ("u,v,w", None), ("0,0,0", None)],
)
def test_weights(cells: str, line: int | None, refused: Refused) -> None:
    rows = "".join(f"{i},{cell},{i % 2}\n" for i, cell in enumerate(cells.split(",")))
    error = refused("a,w,y\n" + rows, weight_column="w")
    assert error.type == "data-loading-error"
    assert error.metadata["column"] == "w"
    assert error.metadata.get("line") == line


def test_missing_group(refused: Refused) -> None:
    error = refused("a,g,y\n1,u,0\n2,,1\n", group_column="g")
    assert error.metadata["line"] == 3


def test_category_without_values(refused: Refused) -> None:
    assert refused("a,c,y\n1,,0\n2,,1\n", categorical=["c"]).metadata["column"] == "c"


def test_series_share_one_index(choose: Choose) -> None:
    data = choose("a,w,y\n1,1,0\n2,1,1\n", weight_column="w")
    assert data.y is not None
    assert_series_equal(data.X["a"], pd.Series([1, 2], name="a"))
    assert list(data.X.index) == list(data.y.index) == [0, 1]
