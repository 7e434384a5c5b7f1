"""One of the processes of a job (``ranks``): its own main program."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ml_runner import bounds, failures
from ml_runner.job import Job
from ml_runner.process import child, ranks, system
from ml_runner.process.ranks import Assignment, Outcome


class Follower(Job):
    """The job as the ranks behind the first have it: it says nothing, and is never asked to stop.

    What it is warned of is told at the end, where rank 0 has not met the same.
    """

    def event(self, type: str, **fields: Any) -> None:
        """Not told."""

    def progress(self, *_arguments: Any, **_more: Any) -> None:
        """Not told."""

    def checkpoint_saved(self, path: Path, unit: str, done: int) -> None:
        """Not told."""


def main(rank: int, count: int, writer: int) -> NoReturn:
    """Does its part of the job, says how that ended through ``writer``, and ends the process.

    Args:
        rank: its number, from 0.
        count: how many there are.
        writer: descriptor for its ``Outcome``.
    """
    os.set_inheritable(writer, False)
    orders = os.dup(0)
    with os.fdopen(orders, "rb", closefd=False) as file:
        assignment: Assignment = ranks.receive(file)
    system.die_with_parent(assignment.parent)
    system.watch_parent()
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    outcome = _perform(assignment, rank, count)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with os.fdopen(writer, "wb", closefd=False) as file:
        ranks.send(file, _picklable(outcome))
    if rank == 0 and outcome.error is None:
        # The job's own process closes it when it ends, and not before.
        os.read(orders, 1)
    # Neither exit handlers nor destructors of libraries get a say: they may wait for other ranks.
    os._exit(0)


def _perform(assignment: Assignment, rank: int, count: int) -> Outcome:
    job = (Job if rank == 0 else Follower)(assignment.directory)
    job.restore(assignment.state)
    job.rank, job.ranks = rank, count
    if assignment.bound is not None:
        bounds.bind(assignment.bound)
    try:
        if rank == 0:
            job.listen_for_cancel()
        else:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        os.environ.update(_variables(rank, count))
        child.make_fresh(assignment.threads)
        function, arguments = pickle.loads(assignment.call)
        return Outcome(function(job, *arguments), None, job.state())
    except BaseException as error:
        return Outcome(None, failures.to_error(error, job), job.state())


def _variables(rank: int, count: int) -> Mapping[str, str]:
    """What scripts that are written for several processes look at."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    return {name: str(number) for name, number in names.items()}


def _picklable(outcome: Outcome) -> Outcome:
    try:
        pickle.dumps(outcome)
        return outcome
    except Exception as error:
        return Outcome(None, failures.to_error(error), outcome.state)
