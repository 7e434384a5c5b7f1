"""After every test module no process of it is left: this process adopts all that are orphaned."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ml_runner.process import system
from tests import leaks


@pytest.fixture(scope="module", autouse=True)
def _no_process_left() -> Iterator[None]:
    system.become_subreaper()
    yield
    gc.collect()  # what holds processes (a loader its workers) may wait in a cycle to be freed
    leaks.check()
