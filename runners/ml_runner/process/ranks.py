"""A job of several processes, one of them for each device: started, watched and ended as one.

The job's own process computes nothing meanwhile. It starts the others (its ranks) afresh, since a
process that has once used a GPU cannot be forked, and answers for all of them: rank 0 says what the
job says and does what it writes; a request to stop goes to it. Whichever ends before its time ends
them all. They die with the job's process, as that does with its supervisor.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ml_runner import bounds, errors
from ml_runner.process import ending, launch, system
from ml_runner.process.history import History

if TYPE_CHECKING:
    from ml_runner.job import Job

# After one has failed: so long may the others take to say what they have met.
_GRACE_SECONDS = 2.0
_LOOK_SECONDS = 0.05
# What a dying process printed is on its way through a pipe to its supervisor.
_SECONDS_TO_PRINT = 0.2
_CHUNK_BYTES = 1 << 20
# Before a message stands how long it is.
_HEAD_BYTES = 8
# What no process is to blame for.
_OF_THE_CALL = (errors.Cancelled, errors.InvalidConfiguration)


class PeerLost(errors.TrainingFailure):
    """A rank waited in vain for the others: the consequence of what one of those met."""


@dataclass(frozen=True)
class Assignment:
    """What a rank is told, once, through its standard input.

    Attributes:
        directory: the job's.
        parent: pid of the job's own process.
        threads: for this rank.
        state: of the job (``Job.state``).
        bound: what it is bound to (``bounds.current``).
        call: pickled (function, arguments): what it does with the job; apart, since to unpickle it
            imports modules, which may fail.
    """

    directory: Path
    parent: int
    threads: int
    state: dict[str, Any]
    bound: list[Path] | None
    call: bytes


@dataclass(frozen=True)
class Outcome:
    """What a rank says at its end.

    Attributes:
        value: what its function returned.
        error: what it raised.
        state: of the job, as this rank has it.
    """

    value: Any
    error: errors.ExecutorError | None
    state: dict[str, Any]


class Member:
    """A rank, seen from the job's own process.

    Args:
        job: the job.
        rank: its number, from 0.
        count: how many there are.
        call: pickled, as for ``Assignment``.

    Attributes:
        rank: its number.
        outcome: what it said at its end; None where it has not.
        dead: it ended without a word.
    """

    def __init__(self, job: Job, rank: int, count: int, call: bytes) -> None:
        self.rank = rank
        self.outcome: Outcome | None = None
        self.dead = False
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._said = b""
        names = str(rank), str(count), str(writer)
        self._process = subprocess.Popen(
            launch.command(sys.executable, "rank", *names),
            stdin=subprocess.PIPE,
            pass_fds=[writer],
        )
        os.close(writer)
        assignment = Assignment(
            job.directory,
            os.getpid(),
            threads_of(job.threads, count),
            job.state(),
            bounds.current(),
            call,
        )
        assert self._process.stdin is not None
        # It stays open: as long as it is, rank 0 keeps what it has locked.
        self._orders: IO[bytes] = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it died at once
            send(self._orders, assignment)

    @property
    def status(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._process.poll()

    def look(self) -> None:
        """Takes in what it has said since, and whether it is still there."""
        # First: what it said before its end has all come then.
        ended = self.status is not None
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reader, _CHUNK_BYTES):
                self._said += data
        if len(self._said) >= _length(self._said):
            self.outcome = pickle.loads(self._said[_HEAD_BYTES:])
        self.dead = ended and self.outcome is None

    def send(self, number: signal.Signals) -> None:
        """Signals it, if it is still there."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Kills it, and waits until it is gone."""
        self._process.kill()
        self._process.wait()


def send(file: IO[bytes], value: Any) -> None:
    """Writes a value that ``receive`` reads, with its length: nothing behind it is waited for."""
    data = pickle.dumps(value)
    file.write(len(data).to_bytes(_HEAD_BYTES, "big") + data)
    file.flush()


def receive(file: IO[bytes]) -> Any:
    """The value that ``send`` wrote."""
    return pickle.loads(file.read(int.from_bytes(file.read(_HEAD_BYTES), "big")))


def _length(said: bytes) -> int:
    """How long the whole of a message is that begins so."""
    return _HEAD_BYTES + int.from_bytes(said[:_HEAD_BYTES], "big")


def threads_of(threads: int, count: int) -> int:
    """Threads for each of ``count`` ranks of a job with ``threads``."""
    return max(1, threads // count)


def run(job: Job, count: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Has ``function(job, *arguments)`` done by ``count`` processes; what rank 0 returns.

    Args:
        job: this process's. It says nothing while the ranks run; afterwards it knows what rank 0's
            has come to know.
        count: how many.
        function: of a module, to be imported by its name. Its first argument is the job as the rank
            has it: ``job.rank`` is its number.
        *arguments: to be pickled.

    Raises:
        Cancelled: rank 0 was asked to stop, and did.
        RunnerCrashed, OutOfMemory: a rank died, which is named.
        ExecutorError: what a rank raised; named where not all of them did.
    """
    call = pickle.dumps((function, arguments))
    kills = system.out_of_memory_kills()
    members: list[Member] = []
    done = False
    try:
        with _passing_on_requests_to_stop(members):
            with _request_held_back():
                for rank in range(count):
                    members.append(Member(job, rank, count, call))
            failed = _wait(members)
        leader = members[0].outcome
        if failed:
            raise _why(job, members, failed, system.out_of_memory_kills() - kills)
        assert leader is not None
        done = True
    finally:
        # Rank 0 holds the output directory until the job's answer is there: it ends with this one.
        for member in members[1:] if done else members:
            member.end()
    job.restore(leader.state)
    for member in members[1:]:
        # What happened to one of them alone; the rest is told already.
        said: list[str] = [] if member.outcome is None else member.outcome.state["warnings"]
        for warning in said:
            if warning not in job.warnings:
                job.warn(f"rank {member.rank}: {warning}")
    return leader.value


# -- while they run --------------------------------------------------------------------------------


@contextlib.contextmanager
def _passing_on_requests_to_stop(members: Sequence[Member]) -> Generator[None, None, None]:
    def pass_on(_signal: int, _frame: object) -> None:
        if members:
            members[0].send(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def _request_held_back() -> Generator[None, None, None]:
    """Within it, none comes; and who is started within it gets none until it says so."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


def _wait(members: Sequence[Member]) -> list[Member]:
    """Until rank 0 is done (then none), or some have failed: those."""
    give_up = None
    while True:
        for member in members:
            member.look()
        leader = members[0].outcome
        if leader is not None and leader.error is None:
            return []
        failed = [member for member in members if _has_failed(member)]
        if leader is not None and isinstance(leader.error, _OF_THE_CALL):
            return failed  # the others have nothing to add
        if len(failed) == len(members) or any(member.dead for member in failed):
            return failed
        if failed and give_up is None:
            give_up = time.monotonic() + _GRACE_SECONDS
        if give_up is not None and time.monotonic() > give_up:
            return failed
        # The end of a pipe would tell too little: what a rank has started may hold it open.
        time.sleep(_LOOK_SECONDS)


def _has_failed(member: Member) -> bool:
    return member.dead or (member.outcome is not None and member.outcome.error is not None)


# -- why they ended --------------------------------------------------------------------------------


def _why(
    job: Job, members: Sequence[Member], failed: Sequence[Member], oom_kills: int
) -> errors.ExecutorError:
    """The one error that tells of all: a death before an error, an error before its consequence."""
    count = len(members)
    dead = next((member for member in failed if member.dead), None)
    if dead is not None:
        what = _circumstances(job)
        error = ending.crashed(what, dead.status, oom_kills, who=_name(dead.rank, count))
        error.metadata |= {"rank": dead.rank, "ranks": count}
        return error
    raised = {
        member.rank: member.outcome.error
        for member in failed
        if member.outcome is not None and member.outcome.error is not None
    }
    causes = {rank: error for rank, error in raised.items() if not isinstance(error, PeerLost)}
    if not causes:
        return _silence(job, raised, count)
    rank, error = min(causes.items())
    if not isinstance(error, _OF_THE_CALL) and len(causes) < count:
        error.message = f"{_name(rank, count)}: {error.message}"
        error.metadata |= {"rank": rank, "ranks": count}
    return error


def _silence(job: Job, raised: dict[int, errors.ExecutorError], count: int) -> errors.ExecutorError:
    """Nobody died, and some waited in vain."""
    error = min(raised.items())[1]
    silent = [rank for rank in range(count) if rank not in raised]
    who = " and ".join(str(rank) for rank in silent)
    error.message = (
        f"Rank {who} of {count} did not answer: {error.message}" if silent else error.message
    )
    error.metadata |= {"ranks": count, **({"silentRanks": silent} if silent else {})}
    what = _circumstances(job)
    error.metadata |= what.metadata
    error.next_call = what.resume_call()
    return error


def _circumstances(job: Job) -> ending.Circumstances:
    time.sleep(_SECONDS_TO_PRINT)
    history = History.read(job.directory)
    return ending.Circumstances(
        job.record,
        checkpoint=history.checkpoint,
        progress=history.progress,
        elapsed=time.time() - job.started_at,
        stderr=ending.last_lines(job.directory / "stderr.log"),
    )


def _name(rank: int, count: int) -> str:
    return f"Rank {rank} of {count}"
