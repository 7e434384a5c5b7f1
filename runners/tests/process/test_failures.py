"""What an exception means: whose code raised it."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ml_runner import errors, failures

RUNNERS = Path(__file__).resolve().parents[2]


def raised(tmp_path: Path, code: str) -> BaseException:
    """What a user's script with this code raises."""
    script = tmp_path / "user_script.py"
    script.write_text(code)
    try:
        exec(compile(code, str(script), "exec"), {"__name__": "user_script"})
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_our_own_errors_are_what_they_are() -> None:
    error = errors.DataLoadingError("no such file", solution="make one")
    assert failures.to_error(error) is error


def test_the_users_frame_is_named(tmp_path: Path) -> None:
    code = "def forward(x):\n    return x['a'] + 1\n\nforward({'a': 'text'})\n"
    error = failures.to_error(raised(tmp_path, code))
    assert error.type == "training-failure"
    assert error.metadata["exception"] == "TypeError"
    assert error.metadata["frame"] == {
        "file": str(tmp_path / "user_script.py"),
        "line": 2,
        "function": "forward",
        "code": "return x['a'] + 1",
    }
    assert "line 2, in forward" in error.message
    assert "can only concatenate" in (error.stderr or "")


def test_a_library_called_by_the_user_leaves_the_users_frame(tmp_path: Path) -> None:
    code = "import pandas\ndef build():\n    return pandas.DataFrame({'a': [1]})['b']\nbuild()\n"
    error = failures.to_error(raised(tmp_path, code))
    assert error.type == "training-failure"
    assert error.metadata["frame"]["function"] == "build"
    assert error.metadata["frame"]["line"] == 3


def test_a_library_called_by_us(tmp_path: Path) -> None:
    svm = pytest.importorskip("sklearn.svm")
    with pytest.raises(ValueError) as caught:
        svm.SVC(C=-1).fit([[0], [1]], [0, 1])
    # This test is no part of the package, so its frame counts as the user's.
    error = failures.to_error(caught.value)
    assert error.type == "training-failure"
    assert "'C' parameter" in error.message


def test_our_own_defects_are_internal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ml_runner import files

    with pytest.raises(ValueError) as caught:
        files.write_json(tmp_path / "x.json", {"value": float("nan")})
    error = failures.to_error(caught.value)
    assert error.type == "internal-error"
    assert error.exit_code == 70
    assert "write_json" in (error.stderr or "")
    assert "Traceback" in capsys.readouterr().err


def test_sys_exit_of_a_script(tmp_path: Path) -> None:
    error = failures.to_error(raised(tmp_path, "import sys\nsys.exit(3)\n"))
    assert error.type == "training-failure"
    assert "sys.exit(3)" in error.message


def test_a_module_that_a_script_lacks(tmp_path: Path) -> None:
    error = failures.to_error(raised(tmp_path, "import no_such_module_here\n"))
    assert error.type == "training-failure"
    assert "install no_such_module_here" in error.solution


def test_a_syntax_error_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "broken.py"
    script.write_text("x = 1\ny = (\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SyntaxError) as caught:
        __import__("broken")
    error = failures.to_error(caught.value)
    assert error.type == "training-failure"
    assert error.metadata["frame"]["file"] == str(script)
    assert error.metadata["frame"]["line"] == 2


def test_memory(tmp_path: Path) -> None:
    error = failures.to_error(raised(tmp_path, "import numpy\nnumpy.zeros(10**15)\n"))
    assert (error.type, error.exit_code) == ("out-of-memory", 137)
    assert "Unable to allocate" in error.message


def test_a_full_disk(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "model.pkl"))
    error = failures.to_error(full)
    assert "No space left on device" in error.message
    assert "model.pkl" in error.message


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    error = failures.to_error(raised(tmp_path, "raise ValueError('x' * 100000)\n"))
    assert len(json.dumps(error.to_answer())) < 8192


def test_a_library_that_our_code_lacks_is_not_found(tmp_path: Path) -> None:
    # A Python without site-packages: our own import of numpy fails.
    code = (
        "from ml_runner import failures\n"
        "try:\n"
        "    import ml_runner.frameworks.base\n"
        "except ImportError as error:\n"
        "    print(failures.to_error(error).to_answer())\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(RUNNERS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'framework-not-found'" in done.stdout
    assert "numpy" in done.stdout
