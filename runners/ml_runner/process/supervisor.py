"""The supervisor: one process a job, which alone waits for it, bounds it and tells its end.

It needs nothing of the server that asked for the job and outlives it. See ``docs/protocol.md``.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_runner import errors, files
from ml_runner.job import STOPPING, EventLog
from ml_runner.process import adopt, child, control, descendants, ending, launch, system, verdict
from ml_runner.process.allotment import Allotment
from ml_runner.process.gpu_watch import GpuWatch
from ml_runner.process.history import History
from ml_runner.process.intake import Intake
from ml_runner.process.memory_limit import Limit, MemoryWatch
from ml_runner.process.stopping import Leftovers, Stop
from ml_runner.process.streams import Stream
from ml_runner.process.tickets import Ticket

_PUBLISH_RETRY_SECONDS = 60.0


def supervise(
    directory: Path,
    entry: launch.Entry = child.main,
    *,
    lock: int | None = None,
    ticket: Ticket | None = None,
) -> int:
    """Becomes the supervisor of the job in ``directory``, until its end is published.

    The process must be one that was made for this: its session, descriptors, signals and standard
    streams are taken over, and the caller must end it with ``os._exit`` afterwards.

    Args:
        directory: the job's directory, absolute.
        entry: what the forked job process does: ``child.main`` where this process may go on after
            a fork, ``launch.execute`` to start a fresh interpreter.
        lock: descriptor of the job's lock, where the caller already holds it.
        ticket: the job's place in the queue, where the caller has drawn one.

    Returns:
        The exit code for this process: 0, or that of ``internal-error`` where it met a defect.
    """
    launch.detach(files.state_home() / "logs")
    launch.undo_signals()
    place = None if ticket is None else ticket.descriptor
    system.close_descriptors(keep=[kept for kept in (lock, place) if kept is not None])
    # A collection would touch, and so copy, every page that is shared with the zygote.
    gc.disable()
    if lock is None:
        lock = files.try_lock(directory / "lock")
        if lock is None:
            return 0
    if adopt.conclude(directory) is not None:
        return 0
    try:
        Supervisor(directory, entry, ticket).run()
        return 0
    except Exception as error:
        traceback.print_exc()
        return _report_failure(directory, error)


class Supervisor:
    """One job's life: queued, running, ending. ``run`` does it all.

    Args:
        directory: the job's directory, whose lock this process holds.
        entry: as for ``supervise``.
        ticket: likewise.
    """

    def __init__(self, directory: Path, entry: launch.Entry, ticket: Ticket | None = None) -> None:
        self.directory = directory
        self.entry = entry
        self.record: dict[str, Any] = files.read_json(directory / "request.json")
        self.timeout = control.timeout_of(self.record)
        self.allotment = Allotment(self.record, ticket)
        self.slots = self.allotment.slots
        self.intake = Intake(directory, self.record, self._request_stop)
        self.stop: Stop | None = None
        self.streams: list[Stream] = []
        self.memory: MemoryWatch | None = None
        self.gpus: GpuWatch | None = None
        self.pid: int | None = None
        self.started: float | None = None
        self.status: int | None = None
        self.leftovers: Leftovers | None = None
        self.oom_kills = 0

    def run(self) -> None:
        """Waits for the slot, runs the job and publishes its answer."""
        system.become_subreaper()
        self.intake.open()
        if self._wait_for_slot():
            self._start()
            self._watch()
        else:
            # Those behind it need not wait until its end is published.
            self.slots.leave()
        self._publish()
        self.slots.release()

    # -- queued ----------------------------------------------------------------------------------

    def _wait_for_slot(self) -> bool:
        """Whether the job has its slot; ``False``: it was cancelled before."""
        if self.stop is not None:
            return False
        if self.slots.try_now():
            # A cancel may have been written while nobody had the FIFO open for reading but us.
            self.intake.handle(0)
            return self.stop is None
        reader, writer = os.pipe()
        has_slot = False

        def arrived() -> None:
            nonlocal has_slot
            has_slot = True

        self.intake.on_ready(reader, arrived)
        self.slots.wait_in_thread(writer)
        while not has_slot and self.stop is None:
            self.intake.handle(None)
        self.intake.forget(reader)
        if not has_slot:
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
        self.memory = MemoryWatch(Limit.of(self.record))
        self.gpus = GpuWatch(self.allotment.gpus)
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
            variables=self.allotment.variables(),
        )
        self.started = time.monotonic()
        for stream in self.streams:
            os.close(stream.writer)
            self.intake.on_ready(stream.reader, self._pumper(stream))
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
            self.intake.handle(max(0.0, self._act() - time.monotonic()))

    def _reap(self) -> bool:
        ended, children_left = descendants.reap()
        if self.pid in ended:
            status, peak = ended[self.pid]
            self.status = os.waitstatus_to_exitcode(status)
            self.leftovers = Leftovers(time.monotonic())
            if self.memory is not None:
                self.memory.peak = max(self.memory.peak, peak)
        return children_left

    def _act(self) -> float:
        """Does what is due now; returns when to come back, in ``time.monotonic`` terms."""
        assert self.pid is not None
        assert self.started is not None
        if self.leftovers is not None:
            return self.leftovers.press()
        look_again = self._look()
        if self.stop is None:
            deadline = self.started + self.timeout
            if time.monotonic() < deadline:
                return min(deadline, look_again)
            self._request_stop(control.word(errors.TimeoutExceeded.type, self.record))
        assert self.stop is not None
        return min(self.stop.press(self.pid), look_again)

    def _look(self) -> float:
        """Samples memory and GPUs where that is due; returns when to come back."""
        assert self.memory is not None
        assert self.gpus is not None
        again = min(self.memory.look(), self.gpus.look())
        excess = self.memory.exceeded
        if excess is not None:
            self._request_stop(excess.to_error)
            assert self.stop is not None
            # Nothing is asked of it first, even if it had been: it may take the rest meanwhile.
            self.stop.at_once = True
        return again

    # -- what comes in ---------------------------------------------------------------------------

    def _pumper(self, stream: Stream) -> Callable[[], None]:
        def pump() -> None:
            if not stream.pump():
                self.intake.forget(stream.reader)

        return pump

    def _request_stop(self, word: control.Word) -> None:
        if self.stop is None:
            answered = (self.directory / "result.json").exists()
            self.stop = Stop(word, time.monotonic(), answered, self.directory / STOPPING)

    # -- ending ----------------------------------------------------------------------------------

    def _publish(self) -> None:
        for stream in self.streams:
            stream.drain()
        answer = verdict.with_figures(self._answer(), self.memory, self.gpus)
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
            # One that could not be told of as an event, on a full disk say.
            said = own["error"].get("metadata", {})
            what.checkpoint = what.checkpoint or said.get("lastCheckpoint")
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
            eta=history.eta,
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
