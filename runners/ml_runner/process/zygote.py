"""The zygote: imports a framework once and forks a supervisor for each job from what it imported.

It computes nothing, loads nothing and starts no thread: a parent that did hung its children, with
every framework tried. See ``docs/protocol.md``.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import platform
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ml_runner import errors, manifest
from ml_runner.process import child, launch, lines, resident, supervisor, system, tickets

# What jobs import beside the framework: all of these packages' modules.
_PRELOADED = ("ml_runner.actions", "ml_runner.data", "ml_runner.training")


def main(reader: int, writer: int, framework: str, entry: launch.Entry = child.main) -> int:
    """Serves until ``reader`` ends; returns the process's exit code.

    Args:
        reader: descriptor from which messages come.
        writer: descriptor to which answers go.
        framework: name of the framework to import.
        entry: what the forked job processes do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    zygote = Zygote(reader, writer, framework, entry)
    try:
        zygote.say(hello())
        began = time.monotonic()
        _import_without_threads()
        versions, missing = preload(framework)
        child.thread_pools()
        gc.collect()
        gc.freeze()
        seconds = round(time.monotonic() - began, 3)
        zygote.say(
            {"type": "ready", "importSeconds": seconds, "versions": versions, "missing": missing}
        )
        zygote.serve()
    except BrokenPipeError:
        pass
    finally:
        zygote.end_residents()
    return 0


def hello() -> dict[str, Any]:
    """The first message of every process of ours."""
    return {
        "type": "hello",
        "protocol": manifest.load()["protocol"],
        "manifest": manifest.sha256(),
        "python": platform.python_version(),
        "pid": os.getpid(),
    }


def _import_without_threads() -> None:
    """Sets the environment so that no library starts threads when it is loaded."""
    launch.set_thread_variables(1)
    # The allocator of Arrow, which tables are read with, would start one to tidy up behind it.
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")


def preload(framework: str) -> tuple[dict[str, str], list[str]]:
    """Imports all that a job of ``framework`` needs.

    Returns:
        The versions of what is there, and the distributions that are missing.
    """
    versions: dict[str, str] = {}
    missing: list[str] = []
    try:
        registry = importlib.import_module("ml_runner.frameworks")
        # The others too, which is not to import their libraries: a job may ask each of them.
        registry.all_adapters()
        adapter = registry.get(framework)
        adapter.preload()
        versions = adapter.versions()
    except errors.FrameworkNotFound as error:
        missing.append(error.metadata.get("distribution", framework))
    except ImportError as error:
        missing.append(error.name or framework)
    for name in _modules():
        try:
            importlib.import_module(name)
        except (ImportError, errors.FrameworkNotFound) as error:
            # A job that needs it says so, with the command that installs it.
            sys.stderr.write(f"{name} was not preloaded: {error}\n")
    return versions, missing


def _modules() -> Iterator[str]:
    yield "ml_runner.report"
    for package in _PRELOADED:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, package + ".", onerror=lambda _name: None):
            yield module.name


class Zygote:
    """The loop: messages in, forks out, deaths told.

    Args:
        reader: descriptor from which messages come.
        writer: descriptor to which answers go.
        framework: what it has imported.
        entry: what the forked job processes do.
    """

    def __init__(self, reader: int, writer: int, framework: str, entry: launch.Entry) -> None:
        self._framework = framework
        self._entry = entry
        self._writer = writer
        self._lines = lines.LineReader(reader)
        self._residents: set[int] = set()
        wake_reader, wake_writer = os.pipe()
        for descriptor in (wake_reader, wake_writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        self._wake = wake_reader
        self._selector = selectors.DefaultSelector()
        self._selector.register(reader, selectors.EVENT_READ)
        self._selector.register(wake_reader, selectors.EVENT_READ)

    def say(self, message: dict[str, Any]) -> None:
        """Sends a message."""
        lines.send(self._writer, message)

    def serve(self) -> None:
        """Until the server closes our stdin."""
        while not self._lines.at_end:
            for key, _ in self._selector.select():
                if key.fd == self._wake:
                    os.read(self._wake, 4096)
                    self._reap()
                    continue
                for message in self._lines.read():
                    self._handle(message)

    def end_residents(self) -> None:
        """Kills the resident processes, which live no longer than their zygote."""
        for pid in self._residents:
            os.kill(pid, signal.SIGKILL)

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "start":
            directory = message["jobDir"]
            pid = self._start(Path(directory))
            self.say({"type": "supervising", "jobDir": directory, "pid": pid})
        elif message["type"] == "resident":
            pid = self._start_resident(message["socket"], message["threads"])
            self._residents.add(pid)
            self.say({"type": "resident", "pid": pid})
        else:
            raise ValueError(f"unknown message {message['type']!r}")

    def _start(self, directory: Path) -> int:
        # Here, where jobs come one after the other: their supervisors run when the kernel likes.
        ticket = tickets.draw_for(directory)
        try:
            if not _may_fork():
                return _spawn("supervise", str(directory), *_handed_over(ticket))
            pid = _fork()
            if pid == 0:
                _become(lambda: supervisor.supervise(directory, self._entry, ticket=ticket))
            return pid
        finally:
            if ticket is not None:
                ticket.close()

    def _start_resident(self, socket: str, threads: int) -> int:
        if not _may_fork():
            options = [
                "--socket",
                socket,
                "--framework",
                self._framework,
                "--threads",
                str(threads),
            ]
            return _spawn("resident", *options)
        zygote = os.getpid()
        pid = _fork()
        if pid == 0:
            _become(lambda: resident.forked(zygote, socket, threads))
        return pid

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._residents.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            self.say({"type": "exited", "pid": pid, "status": code})


def _may_fork() -> bool:
    threads = system.thread_count()
    if threads > 1:
        # Some library started one after all. A fork would have the locks that it holds, and not it.
        sys.stderr.write(f"{threads} threads in the zygote: a process is started afresh\n")
    return threads == 1


def _spawn(*arguments: str) -> int:
    return os.posix_spawn(sys.executable, launch.command(sys.executable, *arguments), os.environ)


def _handed_over(ticket: tickets.Ticket | None) -> list[str]:
    """The arguments by which a process that is executed has the ticket."""
    if ticket is None:
        return []
    os.set_inheritable(ticket.descriptor, True)
    return ["--ticket", str(ticket.number), str(ticket.descriptor)]


def _fork() -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    return os.fork()


def _become(serve: Any) -> NoReturn:
    code = errors.InternalError.default_exit_code()
    try:
        code = serve()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _wake(_signal: int, _frame: object) -> None:
    """The wakeup descriptor has been written to: that is all that a SIGCHLD is for."""
