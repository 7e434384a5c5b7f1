"""From the supervisor's fork to the first line of the job.

Both ways of starting go through here: a forked job goes on in the same process (its ``entry`` is
``child.main``), a spawned one starts a fresh interpreter (its ``entry`` is ``execute``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ml_runner import errors, files
from ml_runner.process import system

PACKAGE = Path(__file__).resolve().parents[1]

# Read by OpenMP, OpenBLAS, MKL, numexpr, Apple's Accelerate and Rayon while they are loaded.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)

Entry = Callable[[Path], object]


def set_thread_variables(threads: int) -> None:
    """Sets the environment from which libraries take their number of threads at import.

    And how these wait for each other: asleep, unless the user has said otherwise. OpenMP and
    OpenBLAS wait in a loop by default. Where another program wants the same cores, XGBoost with two
    threads took 12 times as long that way; and the thread that OpenBLAS starts when its limit is
    raised halved the speed of a job's first 60 ms on cores that are two threads of one.
    """
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 cycles, the least it takes


def fork(
    directory: Path,
    record: dict[str, Any],
    entry: Entry,
    *,
    stdout: int,
    stderr: int,
    slots: Sequence[int],
    variables: Mapping[str, str],
) -> tuple[int, int]:
    """Forks the job's process, which waits until a byte is written to the returned descriptor.

    So the supervisor can say ``started``, with the job's pid, before the job says anything.

    Args:
        directory: the job's directory.
        record: its ``JobRequest``.
        entry: what the job does; the process ends when it returns.
        stdout: descriptor that becomes the job's stdout.
        stderr: likewise.
        slots: descriptors that the job inherits.
        variables: of its environment, beside those of this process.

    Returns:
        The job's pid and the descriptor that lets it go.
    """
    gate_reader, gate_writer = os.pipe()
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        os.close(gate_reader)
        return pid, gate_writer
    try:
        _become_job(supervisor, gate_reader, stdout, stderr, slots)
        os.environ.update(variables)
        _enter(directory, record)
        entry(directory)
        _flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        _flush()
        os._exit(errors.InternalError.default_exit_code())


def execute(directory: Path) -> NoReturn:
    """The entry of a spawned job: becomes ``python -m ml_runner job`` in the job's own Python."""
    record = files.read_json(directory / "request.json")
    executable = record["python"]["executable"]
    set_thread_variables(record["threads"])
    # Of the interpreter that is left here; another one would not find its library with it.
    os.environ.pop("PYTHONHOME", None)
    try:
        os.execv(executable, command(executable, "job", str(directory)))
    except OSError as error:
        failure = errors.InvalidConfiguration(
            f"The Python interpreter '{executable}' cannot be started: {error.strerror}",
            solution="Name an interpreter or an environment that exists as pythonEnv.",
            metadata={"key": "pythonEnv", "sent": record["request"].get("pythonEnv")},
        )
        files.write_json(directory / "result.json", failure.to_answer())
        os._exit(failure.exit_code)


def command(executable: str, *arguments: str) -> list[str]:
    """The command line that runs this package in the interpreter ``executable``.

    By its path and not with ``-m``, which would put the working directory, and whatever modules of
    the user's lie there, before the standard library.
    """
    return [executable, str(PACKAGE), *arguments]


def detach(logs: Path) -> None:
    """Makes this process independent of whoever started it: own session, no terminal, no pipes."""
    # A process that was started detached leads a session already.
    with contextlib.suppress(PermissionError):
        os.setsid()
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    log = os.open(logs / "supervisors.log", flags, 0o600)
    redirect(stdin=os.devnull, stdout=log, stderr=log)
    os.close(log)


def redirect(*, stdin: str, stdout: int, stderr: int) -> None:
    """Points the standard descriptors elsewhere."""
    empty = os.open(stdin, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((empty, 0), (stdout, 1), (stderr, 2)):
        if source == target:
            os.set_inheritable(target, True)
        else:
            os.dup2(source, target)
    if empty > 2:
        os.close(empty)


def _become_job(supervisor: int, gate: int, stdout: int, stderr: int, slots: Sequence[int]) -> None:
    system.die_with_parent(supervisor)
    # A session of its own, so that a job that signals its group does not hit its supervisor.
    os.setsid()
    undo_signals()
    redirect(stdin=os.devnull, stdout=stdout, stderr=stderr)
    system.close_descriptors(keep=[gate, *slots])
    for slot in slots:
        os.set_inheritable(slot, True)
    system.volunteer_for_oom_killer()
    if not os.read(gate, 1):
        os._exit(128 + signal.SIGKILL)
    os.close(gate)


def _enter(directory: Path, record: dict[str, Any]) -> None:
    # By these two whatever is left of the job can be found, should its supervisor be killed: the
    # environment of a process that was merely forked is not to be seen from outside.
    os.environ["ML_EXECUTOR_JOB"] = record["id"]
    os.open(directory / "events.ndjson", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    os.environ["ML_EXECUTOR_HOME"] = str(files.state_home())
    # Nobody sees a window that a user's script opens, and it would wait for ever.
    os.environ.setdefault("MPLBACKEND", "Agg")
    for place in (record["baseDir"], directory):
        with contextlib.suppress(OSError):
            os.chdir(place)
            return


def undo_signals() -> None:
    """Gives every signal the meaning that it has in a fresh Python process."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number in (signal.SIGKILL, signal.SIGSTOP):
            continue
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def keep_from_children() -> None:
    """Lets no program that a job starts inherit the descriptors that this process inherited."""
    for descriptor in system.open_descriptors():
        if descriptor > 2:
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
