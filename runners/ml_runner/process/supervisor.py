"""The supervisor: one process a job, which alone waits for it, bounds it and tells its end.

It needs nothing of the server that asked for the job and outlives it. See ``docs/protocol.md``.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_runner import errors, files
from ml_runner.job import EventLog
from ml_runner.process import adopt, child, control, descendants, ending, launch, system
from ml_runner.process.history import History
from ml_runner.process.slots import SlotQueue
from ml_runner.process.stopping import Leftovers, Stop
from ml_runner.process.streams import Stream

_PUBLISH_RETRY_SECONDS = 60.0


def supervise(directory: Path, entry: launch.Entry = child.main, *, lock: int | None = None) -> int:
    """Becomes the supervisor of the job in ``directory``, until its end is published.

    The process must be one that was made for this: its session, descriptors, signals and standard
    streams are taken over, and the caller must end it with ``os._exit`` afterwards.

    Args:
        directory: the job's directory, absolute.
        entry: what the forked job process does: ``child.main`` where this process may go on after
            a fork, ``launch.execute`` to start a fresh interpreter.
        lock: descriptor of the job's lock, where the caller already holds it.

    Returns:
        The exit code for this process: 0, or that of ``internal-error`` where it met a defect.
    """
    launch.detach(files.state_home() / "logs")
    launch.undo_signals()
    system.close_descriptors(keep=[] if lock is None else [lock])
    # A collection would touch, and so copy, every page that is shared with the zygote.
    gc.disable()
    if lock is None:
        lock = files.try_lock(directory / "lock")
        if lock is None:
            return 0
    if adopt.conclude(directory) is not None:
        return 0
    try:
        Supervisor(directory, entry).run()
        return 0
    except Exception as error:
        traceback.print_exc()
        return _report_failure(directory, error)


class Supervisor:
    """One job's life: queued, running, ending. ``run`` does it all.

    Args:
        directory: the job's directory, whose lock this process holds.
        entry: as for ``supervise``.
    """

    def __init__(self, directory: Path, entry: launch.Entry) -> None:
        self.directory = directory
        self.entry = entry
        self.record: dict[str, Any] = files.read_json(directory / "request.json")
        self.timeout = control.timeout_of(self.record)
        self.slots = SlotQueue(
            self.record["lane"], self.record["slots"], exclusive=self.record["exclusive"]
        )
        self.selector = selectors.DefaultSelector()
        self.stop: Stop | None = None
        self.streams: list[Stream] = []
        self.pid: int | None = None
        self.started: float | None = None
        self.status: int | None = None
        self.leftovers: Leftovers | None = None
        self.oom_kills = 0
        self._control_buffer = b""

    def run(self) -> None:
        """Waits for the slot, runs the job and publishes its answer."""
        system.become_subreaper()
        self._open_control()
        self._catch_signals()
        if self._wait_for_slot():
            self._start()
            self._watch()
        self._publish()
        self.slots.release()

    # -- queued ----------------------------------------------------------------------------------

    def _wait_for_slot(self) -> bool:
        """Whether the job has its slot; ``False``: it was cancelled before."""
        if self.stop is not None:
            return False
        if self.slots.try_now():
            # A cancel may have been written while nobody had the FIFO open for reading but us.
            self._handle_ready(0)
            return self.stop is None
        reader, writer = os.pipe()
        has_slot = False

        def arrived() -> None:
            nonlocal has_slot
            has_slot = True

        self.selector.register(reader, selectors.EVENT_READ, arrived)
        self.slots.wait_in_thread(writer)
        while not has_slot and self.stop is None:
            self._handle_ready(None)
        self.selector.unregister(reader)
        if not has_slot:
            # The thread stays in its flock; the end of this process ends both.
            return False
        self.slots.join()
        os.close(reader)
        os.close(writer)
        system.wait_until_single_threaded()
        return self.stop is None

    # -- running ---------------------------------------------------------------------------------

    def _start(self) -> None:
        ending.reserve(self.directory)
        self.oom_kills = system.out_of_memory_kills()
        stdout = Stream(self.directory / "stdout.log")
        stderr = Stream(self.directory / "stderr.log")
        self.streams = [stdout, stderr]
        self.pid, gate = launch.fork(
            self.directory,
            self.record,
            self.entry,
            stdout=stdout.writer,
            stderr=stderr.writer,
            slots=self.slots.held,
        )
        self.started = time.monotonic()
        for stream in self.streams:
            os.close(stream.writer)
            self.selector.register(stream.reader, selectors.EVENT_READ, self._pumper(stream))
        events = EventLog(self.directory / "events.ndjson")
        events.append(
            "started",
            pid=self.pid,
            supervisorPid=os.getpid(),
            queuedSeconds=ending.seconds_since_creation(self.record),
        )
        events.close()
        # Nobody may hold the job back once it is told to be running: a closed gate ends it.
        os.write(gate, b"g")
        os.close(gate)

    def _watch(self) -> None:
        """Until the job and all its descendants are gone, or cannot be killed."""
        while True:
            children_left = self._reap()
            if self.leftovers is not None and not children_left:
                return
            ending_it = self.leftovers or self.stop
            if ending_it is not None and ending_it.hopeless:
                sys.stderr.write(f"job {self.record['id']}: processes survive SIGKILL\n")
                return
            self._handle_ready(max(0.0, self._act() - time.monotonic()))

    def _reap(self) -> bool:
        statuses, children_left = descendants.reap()
        if self.pid in statuses:
            self.status = os.waitstatus_to_exitcode(statuses[self.pid])
            self.leftovers = Leftovers(time.monotonic())
        return children_left

    def _act(self) -> float:
        """Does what is due now; returns when to come back, in ``time.monotonic`` terms."""
        assert self.pid is not None
        assert self.started is not None
        if self.leftovers is not None:
            return self.leftovers.press()
        if self.stop is None:
            deadline = self.started + self.timeout
            if time.monotonic() < deadline:
                return deadline
            self._request_stop(control.word(errors.TimeoutExceeded.type, self.record))
        assert self.stop is not None
        return self.stop.press(self.pid)

    # -- what comes in ---------------------------------------------------------------------------

    def _open_control(self) -> None:
        path = self.directory / "control"
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # O_RDWR: a FIFO opened only for reading is at its end for ever once a writer has closed.
        fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.selector.register(fifo, selectors.EVENT_READ, lambda: self._read_control(fifo))
        # Whoever asked before the FIFO was open has left a note.
        reason = control.stop_requested(self.directory)
        if reason is not None:
            self._request_stop(control.word(reason, self.record))

    def _read_control(self, fifo: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._control_buffer += os.read(fifo, 4096)
        *lines, self._control_buffer = self._control_buffer[-4096:].split(b"\n")
        if b"cancel" in lines:
            self._request_stop(ending.cancelled)

    def _catch_signals(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        # The machine shuts down, or somebody wants this job gone.
        signal.signal(signal.SIGTERM, self._on_terminate)

        def empty() -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 4096)

        self.selector.register(reader, selectors.EVENT_READ, empty)

    def _pumper(self, stream: Stream) -> Callable[[], None]:
        def pump() -> None:
            if not stream.pump():
                self.selector.unregister(stream.reader)

        return pump

    def _handle_ready(self, timeout: float | None) -> None:
        for key, _ in self.selector.select(timeout):
            key.data()

    def _request_stop(self, word: control.Word) -> None:
        if self.stop is None:
            answered = (self.directory / "result.json").exists()
            self.stop = Stop(word, time.monotonic(), answered)

    def _on_terminate(self, _signal: int, _frame: object) -> None:
        self._request_stop(lambda what: ending.cancelled(what, "by a SIGTERM to its supervisor"))

    # -- ending ----------------------------------------------------------------------------------

    def _publish(self) -> None:
        for stream in self.streams:
            stream.drain()
        answer = self._answer()
        for stream in self.streams:
            stream.close()
        give_up = time.monotonic() + _PUBLISH_RETRY_SECONDS
        while True:
            try:
                ending.publish(self.directory, answer)
                return
            except OSError:
                # A full disk may be emptied; without a report, an adopter declares the job dead.
                if time.monotonic() > give_up or not self.directory.exists():
                    raise
                time.sleep(1)

    def _answer(self) -> ending.Answer:
        result = files.read_json_or_none(self.directory / "result.json")
        own = result if ending.is_answer(result) else None
        if self.stop is None:
            return own or self._crash().to_answer()
        if own is not None and (self.stop.answered or "executionReport" in own):
            return own
        what = self._circumstances()
        if own is not None:
            said = own["error"].get("metadata", {})
            what.checkpoint = said.get("lastCheckpoint", what.checkpoint)
        return self.stop.word(what).to_answer()

    def _crash(self) -> errors.ExecutorError:
        kills = system.out_of_memory_kills() - self.oom_kills
        return ending.crashed(self._circumstances(), self.status, kills)

    def _circumstances(self) -> ending.Circumstances:
        elapsed = None if self.started is None else time.monotonic() - self.started
        history = History.read(self.directory)
        return ending.Circumstances(
            self.record,
            checkpoint=history.checkpoint,
            progress=history.progress,
            elapsed=elapsed,
            stderr=self.streams[1].log.last_lines() if self.streams else "",
        )


def _report_failure(directory: Path, error: Exception) -> int:
    descendants.send(descendants.descendants(), signal.SIGKILL)
    failure = _cannot_write(error) or _defect(error)
    with contextlib.suppress(OSError):
        ending.publish(directory, failure.to_answer())
    return failure.exit_code


def _cannot_write(error: Exception) -> errors.ExecutorError | None:
    """The state directory is no place to write to: nothing that a change of ours would mend."""
    if not isinstance(error, OSError) or error.errno not in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
    ):
        return None
    home = files.state_home()
    return errors.InvalidConfiguration(
        f"The state directory '{home}' cannot be written to: {error.strerror}",
        solution="Free space there, or name another directory as ML_EXECUTOR_HOME.",
        metadata={
            "key": "ML_EXECUTOR_HOME",
            "path": str(home),
            "freeBytes": files.free_bytes(home),
        },
    )


def _defect(error: Exception) -> errors.ExecutorError:
    log = files.state_home() / "logs" / "supervisors.log"
    return errors.InternalError(
        f"The job's supervisor failed: {type(error).__name__}: {error}",
        solution=f"This is a defect of ML Executor; its log is {log}. Call again.",
        metadata={"log": str(log)},
    )


def _wake(_signal: int, _frame: object) -> None:
    """The wakeup descriptor has been written to: that is all that a SIGCHLD is for."""
