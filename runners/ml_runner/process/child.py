"""The job's own process: from the request in its directory to the answer beside it."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import os
import signal
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ml_runner import calls, failures, libraries, validation
from ml_runner.job import Job
from ml_runner.process import ending, launch, system
from ml_runner.process.decline import Decline


def main(directory: Path) -> NoReturn:
    """Does the job, writes ``result.json`` and ends the process with the answer's exit code.

    The process is a forked one (of a zygote that has imported the framework) or a fresh one; what
    another job left in it cannot be: each process does one job.
    """
    answer = _answer(directory)
    # There is an answer now; a request to stop comes too late to change it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    ending.write_result(directory, answer)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    # Neither exit handlers nor destructors of libraries get a say after the answer.
    os._exit(answer.get("executionReport", answer.get("error", {})).get("exitCode", 0))


def perform(job: Job) -> dict[str, Any]:
    """Validates a job's request once more and runs its action; the answer, an error included.

    Raises:
        Decline: in a resident process, where the action will not run there.
    """
    from ml_runner import report

    try:
        validation.validate(job.action, job.request)
        framework = job.request.get("framework", "auto")
        if framework != "auto":
            libraries.require_framework(framework)
        body = load_action(job.action).run(job)
        return report.finish(job, body)
    except Decline:
        raise
    except BaseException as error:
        failure = failures.to_error(error, job)
        failure.next_call = failure.next_call or calls.with_nearest(job, failure.metadata)
        return failure.to_answer()


def load_action(name: str) -> Any:
    """The module of an action."""
    return importlib.import_module(f"ml_runner.actions.{name.replace('-', '_')}")


def _answer(directory: Path) -> dict[str, Any]:
    try:
        job = Job(directory)
        job.listen_for_cancel()
        system.watch_parent()
        make_fresh(job.threads)
        return perform(job)
    except BaseException as error:
        # Before there was an action to blame: the record is broken, or a request to stop came.
        return failures.to_error(error).to_answer()


def make_fresh(threads: int) -> None:
    """Gives a forked process what a fresh one has: random numbers, arguments, streams, threads."""
    gc.enable()
    # Scripts see neither the server's arguments nor leave compiled files beside themselves.
    sys.argv = [sys.executable]
    sys.dont_write_bytecode = True
    # New ones: those of a zygote believe that what they write to can be sought in. What a script
    # prints is to be seen while it runs, and no character of it is an error.
    sys.stdout = sys.__stdout__ = _stream(1)
    sys.stderr = sys.__stderr__ = _stream(2)
    faulthandler.enable()
    _reseed()
    limit_threads(threads)


def _stream(descriptor: int) -> TextIO:
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def _reseed() -> None:
    # Forks of one zygote would all draw the same numbers; Python's own generator sees to itself.
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


@lru_cache(maxsize=1)
def thread_pools() -> Any:
    """The controller of the libraries loaded now; None where threadpoolctl is not installed.

    It is looked for once: a zygote does it before it forks, since it takes some milliseconds.
    """
    try:
        return importlib.import_module("threadpoolctl").ThreadpoolController()
    except ImportError:
        return None


def limit_threads(threads: int) -> None:
    """Bounds the threads of what is imported already, and of what will be.

    Environment variables are read when a library is loaded; a forked process has that behind it.
    """
    launch.set_thread_variables(threads)
    pools = thread_pools()
    if pools is not None:
        pools.limit(limits=threads)
    registry = sys.modules.get("ml_runner.frameworks")
    if registry is None:
        return
    # Not all of sys.modules: to look at a module is to copy its page from the zygote's. And only
    # what has been imported: an adapter may not be importable here.
    for name in registry.names():
        adapter = getattr(sys.modules.get(f"ml_runner.frameworks.{name}"), "ADAPTER", None)
        after_fork = getattr(adapter, "after_fork", None)
        if after_fork is not None:
            after_fork(threads)
