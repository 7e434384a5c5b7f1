"""The resident process: light jobs one after another, with the models that it has loaded.

It never forks and is killed to cancel what it does; models are then loaded again on demand. An
action that will not run here raises ``Decline`` before it has done anything.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_runner import errors, failures, files, gpu_choice
from ml_runner.job import EventLog, Job
from ml_runner.process import adopt, child, ending, launch, lines, memory_limit, models, system
from ml_runner.process.decline import Decline

Perform = Callable[[Job], dict[str, Any]]

__all__ = ["Decline", "describe", "forked", "main", "serve"]


def main(path: str, framework: str, threads: int) -> int:
    """A resident process without a zygote: imports ``framework`` itself, then serves."""
    from ml_runner.process import zygote  # it uses this module in turn

    # Before the imports: that is when libraries read it.
    launch.set_thread_variables(threads)
    zygote.preload(framework)
    return serve(path, threads)


def forked(zygote: int, path: str, threads: int) -> int:
    """What a fork of the zygote (whose pid is ``zygote``) does to become a resident process."""
    system.die_with_parent(zygote)
    launch.undo_signals()
    system.close_descriptors()
    return serve(path, threads)


def serve(path: str, threads: int, perform: Perform = child.perform) -> int:
    """Connects to the Unix socket at ``path`` and answers until the other side closes.

    Args:
        path: of a socket that the server listens on.
        threads: that each call may use.
        perform: does a light job; raises ``Decline`` to have it done elsewhere.

    Returns:
        The process's exit code.
    """
    from ml_runner.process import zygote

    # It holds no GPU's slot; see allotment.py.
    os.environ.update(gpu_choice.variables([]))
    child.make_fresh(threads)
    # Ctrl-C in the server's terminal goes to everybody in its group; the server decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    models.enable()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    descriptor = connection.fileno()
    try:
        lines.send(descriptor, zygote.hello())
        for message in lines.LineReader(descriptor):
            lines.send(descriptor, {"id": message["id"], **_handle(message, perform)})
    except (BrokenPipeError, ConnectionResetError):
        pass
    return 0


def describe(request: dict[str, Any]) -> dict[str, Any]:
    """What the tool ``describe`` answers.

    Args:
        request: ``{"params", "baseDir", "roots"}``.

    Raises:
        Decline: in a resident process, where it will not do it there.
    """
    try:
        module = importlib.import_module("ml_runner.data.describe")
        found = module.describe(request["params"], request["baseDir"], request["roots"])
        return {"description": found}
    except Decline:
        raise
    except BaseException as error:
        return failures.to_error(error).to_answer()


def _handle(message: dict[str, Any], perform: Perform) -> dict[str, Any]:
    try:
        if message["type"] == "describe":
            return {"type": "answer", "answer": describe(message)}
        if message["type"] == "run":
            return {"type": "answer", "answer": _run(Path(message["jobDir"]), perform)}
    except Decline as decline:
        return {"type": "decline", "why": decline.why}
    raise ValueError(f"unknown message {message['type']!r}")


def _run(directory: Path, perform: Perform) -> dict[str, Any]:
    """Does one light job and publishes its answer.

    Raises:
        Decline: it is another process's, or the action will not run here.
    """
    lock = files.try_lock(directory / "lock")
    if lock is None:
        raise Decline("another process has this job")
    try:
        if adopt.conclude(directory) is None:
            answer = _perform(directory, perform)
            try:
                ending.publish(directory, answer, durable=False)
            except OSError as error:
                # The caller is told all the same; this process serves the next one.
                return failures.to_error(error).to_answer()
        return files.read_json(directory / "report.json")
    finally:
        os.close(lock)


def _perform(directory: Path, perform: Perform) -> dict[str, Any]:
    record = files.read_json(directory / "request.json")
    events = EventLog(directory / "events.ndjson")
    events.append(
        "started",
        pid=os.getpid(),
        supervisorPid=os.getpid(),
        queuedSeconds=ending.seconds_since_creation(record),
    )
    events.close()
    job = Job(directory, light=True)
    try:
        with memory_limit.bounded(record):
            answer = perform(job)
        if answer.get("error", {}).get("type") == errors.OutOfMemory.type:
            # Of all that is kept here, or of this call alone: a process of its own will tell.
            models.enable()
            raise Decline(answer["error"]["message"])
        return answer
    except Decline as decline:
        # Whoever reads the events must take the job for one that has not started.
        job.event("declined", why=decline.why)
        raise
    finally:
        job.release()
