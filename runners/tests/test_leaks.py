"""The check that follows every module turns red where a process is left."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import leaks

_PLANT = """
import os
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.execve("/bin/sleep", ["sleep", "1234"], {})
"""


def test_a_child_forked_twice_without_environment_is_found_and_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leaks, "_GRACE_SECONDS", 0.5)
    subprocess.run([sys.executable, "-c", _PLANT], check=True)
    with pytest.raises(pytest.fail.Exception, match=r"\d+ \(of \d+\), \d+ s old: sleep 1234"):
        leaks.check()
    assert leaks.descendants() == []
    leaks.check()


def test_orphans_of_this_module_come_to_this_process() -> None:
    orphan = subprocess.run(
        [sys.executable, "-c", "import os, time\nif os.fork() == 0:\n    time.sleep(0.3)"],
        check=True,
    )
    assert orphan.returncode == 0
    assert all(one.parent == os.getpid() for one in leaks.descendants())
