"""The tool ``describe``: true figures, within 2 KB whatever the table."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from ml_runner import errors
from ml_runner.data import describe as module
from ml_runner.data.describe import describe

Write = Callable[..., Path]


def size(answer: dict[str, Any]) -> int:
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return len(text.encode())


def told(path: Path, **params: Any) -> dict[str, Any]:
    answer = describe({"path": path.name, **params}, str(path.parent), None)
    assert size(answer) <= 2048
    return answer


def test_iris(tmp_path: Path) -> None:
    data: Any = datasets.load_iris(as_frame=True)
    frame = data.frame.rename(columns={"target": "species"})
    frame["species"] = frame["species"].map(dict(enumerate(data.target_names)))
    frame.to_csv(tmp_path / "iris.csv", index=False)
    answer = told(tmp_path / "iris.csv")
    assert {k: answer[k] for k in ("path", "format", "encoding", "separator", "rows")} == {
        "path": "iris.csv",
        "format": "csv",
        "encoding": "utf-8",
        "separator": ",",
        "rows": 150,
    }
    assert [c["name"] for c in answer["columns"]] == list(frame.columns)
    assert answer["columns"][0] == {
        "name": "sepal length (cm)",
        "type": "number",
        "missing": 0,
        "min": 4.3,
        "max": 7.9,
        "mean": 5.843333,
    }
    assert answer["columns"][4]["classCounts"] == {"setosa": 50, "versicolor": 50, "virginica": 50}
    assert answer["warnings"] == []
    assert "truncated" not in answer


def test_every_kind_of_column(write: Write) -> None:
    rows = [
        "i,f,gaps,flag,few,many,none,odd,inf,y",
        "1,0.5,,True,a,k0,,1,1.5,no",
        "2,1.5,3,False,b,k1,,2,inf,yes",
        "3,2.5,4,True,a,k2,,x,2.5,no",
        "3,2.5,4,,a,k3,,5,3.5,no",
    ]
    answer = told(write("\n".join(rows) + "\n"))
    found = {c["name"]: c for c in answer["columns"]}
    assert found["i"]["classCounts"] == {"3": 2, "1": 1, "2": 1}
    assert (found["i"]["type"], found["i"]["min"], found["i"]["max"]) == ("integer", 1, 3)
    assert (found["f"]["type"], found["f"]["mean"]) == ("number", 1.75)
    assert (found["gaps"]["type"], found["gaps"]["missing"]) == ("integer", 1)
    assert found["gaps"]["classCounts"] == {"4": 2, "3": 1}
    assert found["flag"]["classCounts"] == {"True": 2, "False": 1}
    assert found["few"]["classCounts"] == {"a": 3, "b": 1}
    assert found["many"]["unique"] == 4
    assert found["many"]["examples"] == ["k0", "k1", "k2"]
    assert found["none"] == {"name": "none", "type": "empty", "missing": 4}
    assert found["odd"]["type"] == "mixed"
    assert found["odd"]["firstOther"] == {"line": 4, "row": 3, "value": "x"}
    assert (found["inf"]["infinite"], found["inf"]["max"]) == (1, 3.5)
    assert found["y"]["classCounts"] == {"no": 3, "yes": 1}


def test_wide_table_keeps_the_last_column(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 500)))
    frame.columns = [f"feature_{i}" for i in range(500)]
    frame["label"] = ["a", "b"] * 10
    frame.to_csv(tmp_path / "wide.csv", index=False)
    answer = told(tmp_path / "wide.csv")
    shown = len(answer["columns"])
    assert answer["truncated"] == [
        f"{501 - shown} of 501 columns are left out, before the last one"
    ]
    assert answer["columns"][-1]["classCounts"] == {"a": 10, "b": 10}
    assert answer["columns"][0]["name"] == "feature_0"
    assert shown >= 12


@pytest.mark.parametrize("seed", range(20))
def test_never_over_2_kb(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    letters = 'aé漢"\\,\t😀 '
    word = lambda most: "".join(chance.choices(letters, k=chance.randint(1, most)))  # noqa: E731
    width = chance.choice([1, 3, 30, 300])
    frame = pd.DataFrame({f"{i}{word(200)}": [word(300) for _ in range(8)] for i in range(width)})
    path = tmp_path / ("n" * 200 + ".parquet")
    frame.to_parquet(path)
    answer = told(path)
    assert answer["rows"] == 8
    assert answer["columns"]


def test_warnings_are_told_and_bounded(write: Write) -> None:
    answer = told(write("größe;b\n1,5;2\n", encoding="cp1252"))
    assert len(answer["warnings"]) == 3
    assert all(len(text) <= 240 for text in answer["warnings"])
    assert answer["columns"][0]["max"] == 1.5


def test_options_are_heeded(write: Write) -> None:
    answer = told(write("1;2\n3;4\n"), header=False, separator=";", encoding="utf-8")
    assert [c["name"] for c in answer["columns"]] == ["0", "1"]
    assert answer["rows"] == 2
    assert answer["header"] is False


LARGE = {
    "plain.csv": "a,b\n" + "".join(f"{i},x{i}\n" for i in range(3000)),
    "no end.csv": "a,b\n" + "".join(f"{i},x{i}\n" for i in range(3000)) + "1,2",
    "blank.csv": "\na,b\n" + "".join(f"{i},x{i}\n\n  \n" for i in range(3000)),
    "quoted.csv": "a,b\n" + "".join(f'{i},"x\n{i}"\n' for i in range(3000)),
    "windows.csv": "a,b\r\n" + "".join(f"{i},x\r\n" for i in range(3000)),
    "mac.csv": "a,b\r" + "".join(f"{i},x\r" for i in range(3000)),
    "utf16.csv": ("a,b\n" + "".join(f"{i},é\n" for i in range(3000))).encode("utf-16"),
    "late latin.csv": ("a,b\n" + "1,x\n" * 3000 + "2,é\n").encode("cp1252"),
    "lines.jsonl": "".join(f'{{"a": {i}, "b": "x"}}\n\n' for i in range(3000)),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_files_are_counted(
    name: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(LARGE[name], name)
    whole = told(path)
    monkeypatch.setattr(module, "LARGE_BYTES", 100)
    monkeypatch.setattr(module, "SAMPLED_ROWS", 1000)
    answer = told(path)
    assert answer["rows"] == whole["rows"] >= 3000
    assert answer["statisticsFromRows"] == 1000
    assert any("first 1000" in text for text in answer["warnings"])
    assert answer["columns"][0]["max"] == (1 if name == "late latin.csv" else 999)


def test_large_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame({"a": range(3000)}).to_parquet(tmp_path / "t.parquet", row_group_size=700)
    monkeypatch.setattr(module, "LARGE_BYTES", 100)
    monkeypatch.setattr(module, "SAMPLED_ROWS", 1000)
    answer = told(tmp_path / "t.parquet")
    assert answer["rows"] == 3000
    assert answer["columns"][0]["min"] == 0
    assert answer["statisticsFromRows"] <= 1000


@pytest.mark.soak
def test_really_large(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write("a,b,c\n")
        for i in range(4_000_000):
            file.write(f"{i},{i / 7},some text\n")
    assert path.stat().st_size > module.LARGE_BYTES
    assert told(path)["rows"] == 4_000_000


def test_models_that_came_alone(write: Write) -> None:
    import pickle

    answer = told(write(pickle.dumps({"a": 1}), "model.pkl"))
    assert (answer["kind"], answer["described"], answer["needsAllowPickle"]) == (
        "model",
        False,
        True,
    )
    text = "tree\nversion=v4\nnum_class=1\n"
    assert told(write(text, "model.txt"))["needsAllowPickle"] is False
    assert told(write('{"learner": {"a": 1}, "version": [3]}', "model.json"))["kind"] == "model"
    rows = '{"learner": "x", "y": 1}\n{"learner": "z", "y": 2}\n'
    assert told(write(rows, "t.jsonl"))["format"] == "jsonl"


def test_a_trained_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runners = Path(__file__).resolve().parents[2]
    data: Any = datasets.load_iris(as_frame=True)
    data.frame.to_csv(tmp_path / "iris.csv", index=False)
    config = {
        "algorithm": "LogisticRegression",
        "dataPath": "iris.csv",
        "targetColumn": "target",
        "featureColumns": ["petal width (cm)", "petal length (cm)"],
        "hyperparameters": {"max_iter": 1000},
    }
    request = {"action": "train", "framework": "sklearn", "config": config, "outputDir": "run"}
    (tmp_path / "request.json").write_text(json.dumps(request))
    environment = {
        **os.environ,
        "PYTHONPATH": str(runners),
        "ML_EXECUTOR_HOME": str(tmp_path / "home"),
    }
    command = [sys.executable, "-m", "ml_runner", "run", "request.json"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    params = {"params": {"path": "run"}, "baseDir": str(tmp_path), "roots": None}
    (tmp_path / "params.json").write_text(json.dumps(params))
    found = subprocess.run(
        [sys.executable, "-m", "ml_runner", "describe", "params.json"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    answer = json.loads(found.stdout)["description"]
    assert size(answer) <= 2048
    assert (answer["path"], answer["kind"], answer["described"]) == ("run", "model", True)
    assert answer["algorithm"] == "LogisticRegression"
    assert answer["classes"] == [0, 1, 2]
    assert answer["features"] == {"petal width (cm)": "float64", "petal length (cm)": "float64"}
    assert answer["target"] == "target"
    assert answer["parameters"]["max_iter"] == 1000
    assert answer["modelSizeBytes"] == (tmp_path / "run" / "model.pkl").stat().st_size
    monkeypatch.setenv("ML_EXECUTOR_HOME", str(tmp_path / "another home"))
    # Without the key under which it was signed, it is a stranger's.
    answer = told(tmp_path / "run" / "model.pkl")
    assert (answer["described"], answer["needsAllowPickle"]) == (False, True)
    assert "not signed" in answer["warnings"][0]


def test_faults_are_the_readers(write: Write, tmp_path: Path) -> None:
    with pytest.raises(errors.DataLoadingError, match="line 3"):
        told(write("a,b\n1,2\n3\n"))
    with pytest.raises(errors.DataLoadingError, match="does not exist"):
        told(tmp_path / "nothing.csv")
    with pytest.raises(errors.InvalidConfiguration):
        describe({}, str(tmp_path), None)
    with pytest.raises(errors.InvalidConfiguration, match="outside"):
        describe({"path": "/etc/passwd"}, str(tmp_path), [str(tmp_path)])
