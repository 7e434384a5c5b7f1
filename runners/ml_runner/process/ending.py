"""How a job's end is told: the words of the supervisor's own answers, and their publication."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_runner import errors, files, manifest
from ml_runner.job import EventLog
from ml_runner.process.history import History
from ml_runner.report import duration_words

Answer = dict[str, Any]

_RESERVE = "reserve"
# An answer has at most 8 KiB, and its events some more.
_RESERVE_BYTES = 32 * 1024

_MORE = 1.25

_NATIVE_CRASHES = (
    -signal.SIGSEGV,
    -signal.SIGBUS,
    -signal.SIGILL,
    -signal.SIGFPE,
    -signal.SIGABRT,
)


@dataclass
class Circumstances:
    """What is known of a job that ended without an answer of its own.

    Attributes:
        record: its ``JobRequest``.
        checkpoint: its last checkpoint as ``{"path", "unit", "done"}``.
        progress: how far it had come, as ``{"unit", "done", "total", "metrics"}``.
        eta: seconds that it would still have taken, as it last reckoned; ``None``: unknown.
        elapsed: seconds since it started to run; ``None`` where it never did.
        stderr: last lines of what it printed there.
    """

    record: dict[str, Any]
    checkpoint: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    eta: float | None = None
    elapsed: float | None = None
    stderr: str = ""

    @property
    def metadata(self) -> dict[str, Any]:
        """The facts that every such error tells."""
        facts: dict[str, Any] = {"jobId": self.record["id"]}
        if self.elapsed is not None:
            facts["elapsedSeconds"] = round(self.elapsed, 3)
        if self.progress is not None:
            facts["lastProgress"] = self.progress
        if self.checkpoint is not None:
            facts["lastCheckpoint"] = self.checkpoint
        return facts

    @property
    def request(self) -> dict[str, Any]:
        """The caller's request."""
        return self.record["request"]

    @property
    def is_light(self) -> bool:
        """Whether it was a light job, which costs little to repeat."""
        return self.record["lane"] == "light"

    def resume_call(self, **arguments: Any) -> dict[str, Any] | None:
        """The call that goes on from the last checkpoint, if there is one and it can be resumed."""
        if self.checkpoint is None or "resume" not in manifest.load()["actions"]:
            return None
        kept = {key: self.request[key] for key in ("pythonEnv",) if key in self.request}
        return {
            "tool": "resume",
            "arguments": {"config": {"jobId": self.record["id"]}, **kept, **arguments},
        }

    def same_call(self, **arguments: Any) -> dict[str, Any]:
        """The same call again, with ``arguments`` changed."""
        kept = {key: value for key, value in self.request.items() if key != "action"}
        return {"tool": self.request["action"], "arguments": {**kept, **arguments}}


def timed_out(what: Circumstances, timeout: float) -> errors.ExecutorError:
    """The job ran into its timeout of ``timeout`` seconds."""
    longest = manifest.action(what.request["action"])["input"]["properties"]["timeout"]["maximum"]
    left = what.eta or 0.0
    resume = what.resume_call()
    # By the rate that it had, and a quarter more, since the end is work too.
    needed = _MORE * (left if resume else (what.elapsed or timeout) + left)
    enough = min(math.ceil(max(2 * timeout, needed)), longest)
    known = f"at its rate it needed about {duration_words(left)} more; " if left else ""
    if resume:
        resume["arguments"]["timeout"] = enough
        solution = f"Go on from the last checkpoint: {known}nextCall gives it {enough} seconds."
    else:
        solution = (
            f"Give the job less to do, or more time: {known}nextCall gives it {enough} seconds."
        )
    return errors.TimeoutExceeded(
        f"The job ran longer than its timeout of {timeout:g} seconds",
        solution=solution,
        metadata={"timeout": timeout, **what.metadata},
        next_call=resume or what.same_call(timeout=enough),
        stderr=what.stderr,
    )


def cancelled(what: Circumstances, why: str = "on request") -> errors.ExecutorError:
    """Somebody asked for the job's end."""
    when = "while it waited in the queue" if what.elapsed is None else "while it ran"
    resume = what.resume_call()
    again = f"send the {what.request['action']} call again"
    if what.record.get("requestId") is not None:
        again += " with another requestId"
    return errors.Cancelled(
        f"The job was cancelled {why} {when}",
        solution=(
            f"Go on from the last checkpoint, or {again} to start anew."
            if resume
            else f"To start anew, {again}."
        ),
        metadata=what.metadata,
        next_call=resume,
        stderr=what.stderr,
    )


def crashed(
    what: Circumstances, status: int | None, oom_kills: int = 0, *, who: str = "The job's process"
) -> errors.ExecutorError:
    """A process of the job ended without an answer.

    Args:
        what: the circumstances.
        status: its exit code, or minus the signal that killed it; ``None`` where nobody knows.
        oom_kills: how many processes the kernel has killed for lack of memory meanwhile.
        who: which process, where the job has several.
    """
    if (status == -signal.SIGKILL and oom_kills > 0) or (
        status == -signal.SIGABRT and "std::bad_alloc" in what.stderr
    ):
        return out_of_memory(what)
    metadata = dict(what.metadata)
    if status is None:
        died, code = "and its supervisor are gone", 128 + signal.SIGKILL
    elif status < 0:
        name = _signal_name(-status)
        died, code = f"died of signal {-status} ({name})", 128 - status
        metadata["signal"] = name
    else:
        # An error's exit code is never that of success.
        died, code = f"ended by itself with exit code {status}, without an answer", status or 1
        metadata["processExitCode"] = status
    next_call = what.resume_call() or (what.same_call() if what.is_light else None)
    return errors.RunnerCrashed(
        f"{who} {died}",
        solution=_crash_solution(status, what, bool(next_call)),
        metadata=metadata,
        next_call=next_call,
        stderr=what.stderr,
        exit_code=code,
    )


def out_of_memory(what: Circumstances) -> errors.ExecutorError:
    """The machine's memory ran out, and the job was killed for it."""
    return errors.OutOfMemory(
        "The machine's memory ran out, and the job was killed",
        solution="Use less data, a smaller model or fewer jobs at once (--slots), or more memory.",
        metadata=what.metadata,
        next_call=what.resume_call(),
        stderr=what.stderr,
    )


def publish(directory: Path, answer: Answer, *, durable: bool = True) -> Answer:
    """Makes ``answer`` the job's ``report.json``, after its ``ended`` event.

    The answer stands in ``result.json`` before that: whoever adopts a job whose supervisor was
    killed in between publishes the same one. Only the holder of the job's lock may call this.

    Raises:
        OSError: the disk is full, …
    """
    result = directory / "result.json"
    if files.read_json_or_none(result) != answer:
        write_result(directory, answer, durable=durable)
    append_ended(directory, answer)
    os.replace(result, directory / "report.json")
    with contextlib.suppress(OSError):
        os.unlink(directory / _RESERVE)
    if durable:
        files.sync_directory(directory)
    return answer


def reserve(directory: Path) -> None:
    """Sets space aside, so that a job can tell of a full disk; without any, it goes on without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(
            directory / _RESERVE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )
        try:
            # Zeros that are written take space; a file that was merely made longer takes none.
            os.write(descriptor, bytes(_RESERVE_BYTES))
        finally:
            os.close(descriptor)


def write_result(directory: Path, answer: Answer, *, durable: bool = True) -> None:
    """Writes ``result.json``; on a full disk into the space that was set aside for it.

    Raises:
        OSError: not even that sufficed.
    """
    try:
        files.write_json(directory / "result.json", answer, durable=durable)
    except OSError:
        (directory / _RESERVE).unlink(missing_ok=True)
        files.write_json(directory / "result.json", answer, durable=durable)


def append_ended(directory: Path, answer: Answer) -> None:
    """Writes the ``ended`` event, unless it is there already."""
    if History.read(directory).ended is not None:
        return
    events = EventLog(directory / "events.ndjson")
    events.append("ended", state=state_of(answer), exitCode=exit_code_of(answer))
    events.close()


def state_of(answer: Answer) -> str:
    """``succeeded``, ``failed`` or ``cancelled``."""
    if "executionReport" in answer:
        return "succeeded"
    return "cancelled" if answer["error"]["type"] == errors.Cancelled.type else "failed"


def exit_code_of(answer: Answer) -> int:
    """The exit code that the answer names."""
    return answer.get("executionReport", answer.get("error", {})).get("exitCode", 0)


def seconds_since_creation(record: dict[str, Any]) -> float:
    """How long ago the job with this ``JobRequest`` was made."""
    created = datetime.datetime.fromisoformat(record["createdAt"].replace("Z", "+00:00"))
    return round(max(0.0, time.time() - created.timestamp()), 3)


def is_answer(value: Any) -> bool:
    """Whether ``value`` has the shape of an answer."""
    return isinstance(value, dict) and ("executionReport" in value or "error" in value)


def last_lines(log: Path, lines: int = 20) -> str:
    """The last lines of a log, of at most 8 KiB; empty where there is none."""
    with contextlib.suppress(OSError), open(log, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        text = os.pread(file.fileno(), 8192, max(0, size - 8192)).decode("utf-8", "replace")
        return "\n".join(text.rstrip().splitlines()[-lines:])
    return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _crash_solution(status: int | None, what: Circumstances, has_next: bool) -> str:
    again = " nextCall continues." if has_next and not what.is_light else ""
    if what.is_light and has_next:
        again = " nextCall repeats the call."
    logs = f"job-logs with jobId '{what.record['id']}' shows all that it printed."
    if status is None:
        return f"They were killed, or the machine was restarted.{again} {logs}"
    if status in _NATIVE_CRASHES:
        cause = (
            "Native code crashed: a compiled library, or the script through one; "
            "stderr names the line of Python that called it."
        )
    elif status in (-signal.SIGKILL, -signal.SIGTERM):
        cause = (
            "Something outside of the job killed it: a person, a limit of the machine, "
            "or the script itself."
        )
    elif status < 0:
        cause = "Look for what sent that signal."
    else:
        cause = (
            "Code in the job ended its process (os._exit, or a library that exits); "
            "let it return, or raise what is wrong."
        )
    return f"{cause}{again} {logs}"
