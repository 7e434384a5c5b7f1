"""CSV and the like: what is found out by itself, what is said of it, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml_runner import errors
from ml_runner.data import Table

Read = Callable[..., Table]
Refused = Callable[..., errors.ExecutorError]
Write = Callable[..., Path]

# -- encodings ------------------------------------------------------------------------------------

GERMAN = "größe,straße\n1,Köln\n2,Zürich – West\n"


@pytest.mark.parametrize(
    ("encoding", "found", "said"),
    [
        ("utf-8", "utf-8", None),
        ("utf-8-sig", "utf-8-sig", None),
        ("cp1252", "cp1252", "read as cp1252"),
        ("utf-16", "utf-16", "UTF-16"),
        ("utf-16-le", "utf-16-le", "no byte order mark"),
        ("utf-16-be", "utf-16-be", "no byte order mark"),
    ],
)
def test_encoding_is_found(
    encoding: str, found: str, said: str | None, read: Read, write: Write, warned: list[str]
) -> None:
    table = read(write(GERMAN, encoding=encoding))
    assert table.encoding == found
    assert list(table.frame.columns) == ["größe", "straße"]
    assert table.frame["straße"].tolist() == ["Köln", "Zürich – West"]
    assert len(warned) == (said is not None)
    assert said is None or said in warned[0]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16", "utf-8-sig", "cp1251"])
def test_encoding_given(encoding: str, read: Read, write: Write) -> None:
    text = "стол,n\nстул,1\n" if encoding == "cp1251" else "é,n\nü,1\n"
    table = read(write(text, encoding=encoding), encoding=encoding)
    assert ",".join(table.frame.columns) == text.split("\n")[0]


def test_bom_with_utf8_asked_for(read: Read, write: Write) -> None:
    assert list(read(write("a,b\n1,2\n", encoding="utf-8-sig"), encoding="utf-8").frame) == [
        "a",
        "b",
    ]


def test_late_byte_of_another_encoding(read: Read, write: Write, warned: list[str]) -> None:
    text = "name,n\n" + "Bob,1\n" * 40_000 + "Zoë,2\n"
    table = read(write(text, encoding="cp1252"))
    assert table.encoding == "cp1252"
    assert table.frame["name"].iloc[-1] == "Zoë"
    assert len(table.frame) == 40_001
    assert "line 40002" in warned[0]


@pytest.mark.parametrize("encoding", ["cp1251", "gbk", "shift_jis", "koi8-r", "euc-kr"])
def test_foreign_text_is_not_taken_for_western(
    encoding: str, refused: Refused, write: Write
) -> None:
    words = {"gbk": "北京市朝阳区", "shift_jis": "東京都渋谷区", "euc-kr": "서울특별시"}
    word = words.get(encoding, "Санкт-Петербург")
    error = refused(write(f"city,n\n{word},1\n{word},2\n", encoding=encoding))
    assert error.type == "data-loading-error"
    assert error.metadata["line"] == 2
    assert "encoding" in error.solution


@pytest.mark.parametrize(("given", "line"), [("utf-8", 3), ("ascii", 3), ("utf-16", 1)])
def test_wrong_encoding_given(given: str, line: int, refused: Refused, write: Write) -> None:
    error = refused(write("a,n\nx,1\né,2\n", encoding="cp1252"), encoding=given)
    assert error.type == "data-loading-error"
    assert error.metadata["encoding"] == given
    if given != "utf-16":
        assert error.metadata["line"] == line
        assert "0xE9" in error.message


def test_wrong_encoding_given_late(refused: Refused, write: Write) -> None:
    path = write("a,n\n" + "x,1\n" * 600_000 + "é,2\n", encoding="cp1252")
    assert refused(path, encoding="utf-8").metadata["line"] == 600_002


@pytest.mark.parametrize("name", ["utf-99", "rot13", "base64", ""])
def test_no_encoding(name: str, refused: Refused, write: Write) -> None:
    error = refused(write("a,b\n1,2\n"), encoding=name)
    assert error.type == "invalid-configuration"
    assert error.metadata["key"] == "encoding"


def test_latin1_asked_for_utf8_is_said(read: Read, write: Write, warned: list[str]) -> None:
    read(write("é,b\n1,2\n"), encoding="latin-1")
    assert "valid UTF-8" in warned[0]


# -- separators -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "said"), [(";", "';'"), ("\t", "a tab"), ("|", "'|'"), (",", None)]
)
def test_separator_is_found(
    mark: str, said: str | None, read: Read, write: Write, warned: list[str]
) -> None:
    path = write(f"a{mark}b{mark}c\n1{mark}x y{mark}0.5\n2{mark}z{mark}\n")
    table = read(path)
    assert table.separator == mark
    assert_frame_equal(table.frame, pd.read_csv(path, sep=mark))
    assert len(warned) == (said is not None)
    assert said is None or said in warned[0]


def test_comma_in_a_tsv_is_said(read: Read, write: Write, warned: list[str]) -> None:
    assert read(write("a,b\n1,2\n", "t.tsv")).separator == ","
    assert "separated by ','" in warned[0]


def test_decimal_commas(read: Read, write: Write, warned: list[str]) -> None:
    table = read(write("preis;menge;ort\n1,5;2;a\n-2,25;3;b\n;4;c,d\n"))
    assert table.frame["preis"].tolist()[:2] == [1.5, -2.25]
    assert table.frame["menge"].dtype == "int64"
    assert table.frame["ort"].tolist() == ["a", "b", "c,d"]
    assert any("decimal commas" in text for text in warned)


def test_decimal_commas_with_separator_given(read: Read, write: Write, warned: list[str]) -> None:
    assert read(write("a;b\n1,5;2\n"), separator=";").frame["a"].tolist() == [1.5]
    assert "decimal commas" in warned[0]


def test_points_and_commas_are_left_alone(read: Read, write: Write) -> None:
    frame = read(write("a;b\n1,5;2.5\n2,5;3.5\n")).frame
    assert frame["a"].tolist() == ["1,5", "2,5"]
    assert frame["b"].tolist() == [2.5, 3.5]


def test_ambiguous_separator(refused: Refused, write: Write) -> None:
    error = refused(write("a|b,c\nx|y,z\n"))
    assert error.metadata["key"] == "separator"
    assert sorted(error.metadata["allowed"]) == [",", "|"]


def test_spaces_as_separator(read: Read, refused: Refused, write: Write) -> None:
    path = write("a  b c\n1 2   3\n4 5 6\n", "t.txt")
    assert "\\s+" in refused(path).solution
    table = read(path, separator="\\s+")
    assert_frame_equal(table.frame, pd.read_csv(path, sep=r"\s+"))
    assert table.locate(1)[1]["line"] == 3


@pytest.mark.parametrize("sent", ["::", "", '"', "\n", "[,;]"])
def test_no_separator(sent: str, refused: Refused, write: Write) -> None:
    error = refused(write("a,b\n1,2\n"), separator=sent)
    assert error.type == "invalid-configuration"
    assert error.metadata["key"] == "separator"


def test_separator_written_out(read: Read, write: Write) -> None:
    assert read(write("a\tb\n1\t2\n"), separator="\\t").separator == "\t"


def test_wrong_separator_given_is_said(read: Read, write: Write, warned: list[str]) -> None:
    read(write("a,b\nx,y\n"), separator=";")
    assert "has one column" in warned[0]


def test_keys_of_text_are_not_for_parquet(read: Read, tmp_path: Path, warned: list[str]) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "t.parquet")
    read(tmp_path / "t.parquet", separator=";", header=True, encoding="utf-8")
    assert [text.split()[0] for text in warned] == ["header", "separator", "encoding"]


# -- header ---------------------------------------------------------------------------------------

NO_HEADER = {
    "numbers": "5.1,3.5\n4.9,3.0\n",
    "zeros and ones": "0,1\n1,0\n",
    "integers": "7,8,10\n1,2,3\n",
    "one column": "0\n1\n2\n",
    "iris": "5.1,3.5,1.4,0.2,Iris-setosa\n4.9,3.0,1.4,0.2,Iris-setosa\n",
    "adult": "39,State-gov,77516,Bachelors\n50,Private,83311,Bachelors\n",
    "text": "p,x,s,n\ne,x,s,y\np,x,y,n\n",
    "decimal commas": "1,5;2,5\n3,5;4,5\n",
    "gaps": "1,,3\n4,5,6\n",
}


@pytest.mark.parametrize("name", NO_HEADER)
def test_first_line_that_looks_like_data(
    name: str, read: Read, refused: Refused, write: Write
) -> None:
    path = write(NO_HEADER[name])
    error = refused(path)
    assert error.type == "data-loading-error"
    assert error.metadata["key"] == "header"
    assert "header: false" in error.solution
    assert error.next_call is None
    lines = NO_HEADER[name].count("\n")
    table = read(path, header=False)
    assert len(table.frame) == lines
    assert list(table.frame.columns) == [str(i) for i in range(table.frame.shape[1])]
    if name != "gaps" and len(set(NO_HEADER[name].split("\n")[0].split(","))) > 3:
        assert len(read(path, header=True).frame) == lines - 1


@pytest.mark.parametrize(
    "text",
    ["0,1,2\n5,6,7\n", ",0,1,2\n0,5,6,7\n", "label,0,1,2\nx,5,6,7\n", "n,2019,2020\nx,1,2\n"],
)
def test_names_that_count_up_are_names(text: str, read: Read, write: Write) -> None:
    path = write(text)
    assert_frame_equal(read(path).frame, pd.read_csv(path))


def test_names_that_count_up_are_said(read: Read, write: Write, warned: list[str]) -> None:
    read(write("0,1,2\n5,6,7\n"))
    assert "taken as its column names" in warned[0]


def test_header_only(refused: Refused, write: Write) -> None:
    error = refused(write("a,b,c\n"))
    assert "3 columns" in error.message
    assert "no rows" in error.message


@pytest.mark.parametrize("text", ["\n\n", "  \n\t\n", "\ufeff"])
def test_blank(text: str, refused: Refused, write: Write) -> None:
    assert refused(write(text)).type == "data-loading-error"


def test_duplicate_names(refused: Refused, write: Write) -> None:
    error = refused(write("a,b,a,c,b\n1,2,3,4,5\n"))
    assert "'a' (columns 1, 3)" in error.message
    assert error.metadata["columns"] == ["a", "b"]


def test_duplicate_names_in_parquet(refused: Refused, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "t.parquet")
    assert "'a'" in refused(tmp_path / "t.parquet").message


# -- ragged lines ---------------------------------------------------------------------------------

RAGGED = {
    # text: (line, expected, found)
    "a,b\n1,2\n3,4,5\n": (3, 2, 3),
    "a,b,c\n1,2,3\n4,5\n6,7,8\n": (3, 3, 2),
    "a,b,c\n1,2,3\n\n4\n": (4, 3, 1),
    "a,b\n1,2,3\n4,5,6\n": (2, 2, 3),
    "a,b\n1,2,\n3,4,\n": (2, 2, 3),
    'a,b\n"x\ny",1\n2\n': (4, 2, 1),
    "a\n1,5\n2,5\n": (2, 1, 2),
}


@pytest.mark.parametrize("text", RAGGED)
def test_ragged(text: str, refused: Refused, write: Write) -> None:
    line, expected, found = RAGGED[text]
    error = refused(write(text))
    assert error.type == "data-loading-error"
    assert {k: error.metadata[k] for k in ("line", "expected", "found")} == {
        "line": line,
        "expected": expected,
        "found": found,
    }
    assert f"line {line} " in error.message


@pytest.mark.parametrize("bad", ["1,2,3,4\n", "1,2\n", "1\n"])
def test_ragged_far_behind(bad: str, refused: Refused, write: Write) -> None:
    error = refused(write("a,b,c\n" + "1,2,3\n" * 60_000 + bad + "1,2,3\n"))
    assert error.metadata["line"] == 60_002
    assert error.metadata["expected"] == 3


def test_row_names_without_a_name(refused: Refused, write: Write) -> None:
    assert "row names" in refused(write("a,b\nx,1,2\ny,3,4\n")).solution


def test_missing_at_the_end_is_not_ragged(read: Read, write: Write) -> None:
    path = write("a,b\n1,\n2,NA\n")
    assert_frame_equal(read(path).frame, pd.read_csv(path))


def test_unclosed_quote(refused: Refused, write: Write) -> None:
    error = refused(write('a,b\n1,2\n"3,4\n5,6\n' + "7,8\n" * 5))
    assert error.metadata["line"] == 3
    assert "quote" in error.message


def test_unclosed_quote_in_a_large_file(refused: Refused, write: Write) -> None:
    error = refused(write('a,b\n1,"2\n' + "7,8\n" * 60_000))
    assert error.type == "data-loading-error"
    assert "quote" in error.message or "EOF inside string" in error.message


# -- where rows are -------------------------------------------------------------------------------


def test_lines_of_rows(read: Read, write: Write, tmp_path: Path) -> None:
    table = read(write('\na,b\n1,2\n\n"x\ny",3\n5,6\n'))
    assert [table.locate(i)[1]["line"] for i in range(3)] == [3, 5, 7]
    assert table.locate(1) == ("line 5", {"line": 5, "row": 2})
    assert read(write("1,2\n3,4\n"), header=False).locate(0)[1]["line"] == 1
    lines = read(write('{"a": 1}\n\n{"a": 2}\n', "t.jsonl"))
    assert lines.locate(1)[1]["line"] == 3
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").locate(1) == ("row 2", {"row": 2})
