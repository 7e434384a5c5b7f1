"""Setting up the managed environment: in layers, cut off anywhere, and twice at once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import small_locks as tiny

pytestmark = pytest.mark.skipif(
    not (3, 11) <= sys.version_info[:2] <= (3, 13), reason="the locks are for Python 3.11 to 3.13"
)


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    return tiny.write(tmp_path / "locks")


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    return tmp_path / "environments"


def the(environments: Path) -> Path:
    (environment,) = (path for path in environments.iterdir() if path.is_dir())
    return environment


def of_type(messages: list[dict[str, Any]], type: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == type]


def wait_for(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if wanted in line:
            return
    raise AssertionError(f"the setup ended without {wanted}")


def test_layers_are_installed_once_and_extended(locks: Path, environments: Path) -> None:
    first = tiny.set_up(locks, environments, "low")
    assert [m["layer"] for m in of_type(first, "layer") if m["state"] == "done"] == ["low"]
    assert tiny.modules_work(the(environments), "six")
    assert not tiny.modules_work(the(environments), "packaging")

    second = tiny.set_up(locks, environments, "high")
    assert of_type(second, "plan")[0]["present"] == ["low"]
    assert of_type(second, "done")[0]["installed"] == ["high"]
    assert tiny.modules_work(the(environments), "six", "packaging")

    third = tiny.set_up(locks, environments, "high,low")
    assert of_type(third, "done")[0]["installed"] == []
    assert not of_type(third, "venv")


def test_another_lock_is_another_environment(locks: Path, environments: Path) -> None:
    tiny.set_up(locks, environments, "low")
    (locks / "low.txt").write_text("six==1.16.0\n")
    tiny.set_up(locks, environments, "low")
    assert len([path for path in environments.iterdir() if path.is_dir()]) == 2


def test_two_setups_at_once(locks: Path, environments: Path) -> None:
    both = [tiny.start(locks, environments, "high") for _ in range(2)]
    results = [tiny.finish(process) for process in both]
    assert [code for code, _messages in results] == [0, 0]
    messages = [message for _code, told in results for message in told]
    # One did the work while the other waited for it.
    assert len(of_type(messages, "venv")) == 1
    assert sorted(m["layer"] for m in of_type(messages, "layer") if m["state"] == "done") == [
        "high",
        "low",
    ]
    assert of_type(messages, "waiting")
    assert tiny.modules_work(the(environments), "six", "packaging")


@pytest.mark.parametrize(
    ("how", "where"),
    [
        (signal.SIGKILL, '"venv"'),
        (signal.SIGKILL, '"installing"'),
        (signal.SIGKILL, '"step"'),
        (signal.SIGTERM, '"venv"'),
        (signal.SIGINT, '"step"'),
    ],
)
def test_cut_off_anywhere_and_run_again(
    locks: Path, environments: Path, how: signal.Signals, where: str
) -> None:
    process = tiny.start(locks, environments, "high")
    wait_for(process, where)
    process.send_signal(how)
    code, messages = tiny.finish(process)
    assert code == (130 if how != signal.SIGKILL else -signal.SIGKILL)
    assert bool(of_type(messages, "interrupted")) == (how != signal.SIGKILL)

    tiny.set_up(locks, environments, "high")
    assert tiny.modules_work(the(environments), "six", "packaging")
    assert not list((the(environments) / "ml-executor").glob("*.installing"))


def break_it(site: Path, how: str) -> None:
    info = site / "six-1.17.0.dist-info"
    if how == "no RECORD":
        (info / "RECORD").unlink()
    elif how == "the wheel's RECORD":
        lines = (info / "RECORD").read_text().splitlines(keepends=True)
        (info / "RECORD").write_text("".join(x for x in lines if "INSTALLER" not in x))
    elif how == "module missing":
        (site / "six.py").unlink()
    elif how == "module cut short":
        (site / "six.py").write_text("import sys\n")


@pytest.mark.parametrize(
    "how", ["no RECORD", "the wheel's RECORD", "module missing", "module cut short"]
)
def test_half_installed_distribution_is_installed_again(
    locks: Path, environments: Path, how: str
) -> None:
    tiny.set_up(locks, environments, "low")
    environment = the(environments)
    site = next(environment.glob("lib/python*/site-packages"))
    # As a setup leaves it that is killed while pip installs: metadata there, the rest not quite.
    break_it(site, how)
    (environment / "ml-executor" / "low.json").unlink()
    (environment / "ml-executor" / "low.installing").touch()

    messages = tiny.set_up(locks, environments, "low")
    assert of_type(messages, "repaired")[0]["removed"] == ["six-1.17.0"]
    assert (site / "six.py").stat().st_size > 10_000
    assert tiny.modules_work(environment, "six")


def test_interpreter_that_is_gone_is_replaced(locks: Path, environments: Path) -> None:
    tiny.set_up(locks, environments, "low")
    python = the(environments) / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    messages = tiny.set_up(locks, environments, "low")
    assert of_type(messages, "venv")
    assert tiny.modules_work(the(environments), "six")


def test_pip_that_fails_says_why_and_where(locks: Path, environments: Path) -> None:
    (locks / "low.txt").write_text("six==0.0.0.1\n")
    code, messages = tiny.finish(tiny.start(locks, environments, "low"))
    assert code == 1
    (error,) = of_type(messages, "error")
    assert "six==0.0.0.1" in error["message"]
    assert str(the(environments) / "ml-executor" / "setup.log") in error["solution"]


def test_unknown_layer_is_refused(locks: Path, environments: Path) -> None:
    code, messages = tiny.finish(tiny.start(locks, environments, "middle"))
    assert code == 1
    assert "middle" in of_type(messages, "error")[0]["message"]
    assert "low, high" in of_type(messages, "error")[0]["solution"]


@pytest.fixture
def orphaned_pip(locks: Path, environments: Path) -> Iterator[subprocess.Popen[str]]:
    process = tiny.start(locks, environments, "low")
    yield process
    process.kill()


def test_killed_setup_takes_pip_with_it(
    orphaned_pip: subprocess.Popen[str], environments: Path
) -> None:
    wait_for(orphaned_pip, '"installing"')
    orphaned_pip.kill()
    orphaned_pip.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and writers_below(environments):
        time.sleep(0.05)
    assert writers_below(environments) == []


def writers_below(directory: Path) -> list[str]:
    found: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if str(directory) in command and "pip" in command:
                found.append(command)
    return found


def test_every_lock_pins_a_distribution_alike() -> None:
    versions: dict[str, set[str]] = {}
    directory = tiny.RUNNERS / "locks"
    for path in directory.glob("*.txt"):
        for line in path.read_text().splitlines():
            if line.startswith("#"):
                continue
            name, version = line.split(";")[0].strip().split("==")
            assert "+" not in version, f"{path.name}: {line} has a local version"
            versions.setdefault(name.lower().replace("_", "-"), set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
    layers = json.loads((directory / "layers.json").read_text())["layers"]
    named = {row[key] for row in layers.values() for key in row if key.startswith("lock")}
    assert named == {path.name for path in directory.glob("*.txt")}
    assert os.path.exists(directory / "sklearn.txt")
