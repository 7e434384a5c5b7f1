"""The one place that turns an exception into an answer."""

from __future__ import annotations

import errno
import linecache
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

from ml_runner import errors, files, libraries, report

if TYPE_CHECKING:
    from ml_runner.job import Job

_MESSAGE_CHARACTERS = 500
_STDERR_LINES = 20
_STDERR_CHARACTERS = 4000

_OURS = str(Path(__file__).resolve().parent) + os.sep
_STANDARD_LIBRARY = tuple(
    os.path.realpath(path) + os.sep
    for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_INSTALLED = ("site-packages", "dist-packages")

Owner = Literal["ours", "user", "library", "standard"]


def to_error(error: BaseException, job: Job | None = None) -> errors.ExecutorError:
    """What an exception means to the caller.

    Args:
        error: anything that was raised while a job ran.
        job: that job, where it got as far as that.

    Returns:
        The error itself where it is one of ours; ``out-of-memory`` for ``MemoryError``; what a
        framework's adapter makes of an exception of its library; ``framework-not-found`` for a
        library that our own code could not import; ``internal-error`` where our own code raised;
        else ``training-failure``, with the user's own frame.
    """
    if isinstance(error, errors.ExecutorError):
        return error
    if isinstance(error, MemoryError):
        return _out_of_memory(error)
    explained = explain(error)
    if explained is not None:
        return explained
    if isinstance(error, files.CannotWrite) or (
        isinstance(error, OSError) and error.errno in _FULL
    ):
        return _cannot_write(error, job)
    frames = list(_frames(error.__traceback__))
    owner = next((owner for owner, _, _ in reversed(frames) if owner != "standard"), "ours")
    if owner == "ours":
        if isinstance(error, ModuleNotFoundError) and error.name:
            return _not_installed(error.name)
        return _defect(error, job)
    return training_failure(error)


def explain(error: BaseException) -> errors.ExecutorError | None:
    """What a framework's adapter makes of an exception of its library; None where none does."""
    # Adapters know their library's own exceptions (a GPU's memory, a diverged loss, …).
    for name, module in list(sys.modules.items()):
        if name.startswith("ml_runner.frameworks."):
            explain = getattr(getattr(module, "ADAPTER", None), "explain", None)
            found = None if explain is None else explain(error)
            if found is not None:
                return found
    return None


def training_failure(
    error: BaseException,
    *,
    solution: str | None = None,
    metadata: dict[str, Any] | None = None,
    frame: dict[str, Any] | None = None,
) -> errors.TrainingFailure:
    """What the user's code, or a library, raised; with the user's own frame.

    Args:
        error: it.
        solution: where an adapter knows better than "correct that line".
        metadata: what an adapter read out of the message.
        frame: the user's, where the traceback does not hold it (raised in another process).
    """
    metadata = {"exception": type(error).__name__, **(metadata or {})}
    where = ""
    frame = frame or users_frame(error)
    if frame is not None:
        metadata["frame"] = frame
        where = f" ({Path(frame['file']).name}, line {frame['line']}, in {frame['function']})"
    if isinstance(error, SystemExit):
        said = f"The script ended itself with sys.exit({error.code!r})"
        advice = "Let it return, or raise an exception that says what is wrong."
    else:
        said = f"{type(error).__name__}: {_shorten(str(error))}" if str(error) else repr(error)
        advice = (
            f"Correct {frame['file']}, line {frame['line']}, or what is passed to it."
            if frame
            else "The library refused what it was given: change the parameter or the data that "
            "the message names."
        )
        if isinstance(error, ModuleNotFoundError) and error.name:
            module = error.name.partition(".")[0]
            advice = f"Install it: {libraries.install_command(module)}"
    return errors.TrainingFailure(
        said + where, solution=solution or advice, metadata=metadata, stderr=_traceback(error)
    )


def users_frame(error: BaseException) -> dict[str, Any] | None:
    """The innermost line of the user's own code: file, line, function, code."""
    if isinstance(error, SyntaxError) and error.filename and _owner(error.filename) == "user":
        return {
            "file": error.filename,
            "line": error.lineno or 0,
            "function": "<module>",
            "code": (error.text or "").strip(),
        }
    for owner, frame, line in reversed(list(_frames(error.__traceback__))):
        if owner == "user":
            file = frame.f_code.co_filename
            return {
                "file": file,
                "line": line,
                "function": frame.f_code.co_name,
                "code": linecache.getline(file, line).strip(),
            }
    return None


def _not_installed(module: str) -> errors.ExecutorError:
    top = module.partition(".")[0]
    try:
        libraries.need(module, top)
    except errors.FrameworkNotFound as error:
        return error
    # It can be imported by now: somebody installed it meanwhile.
    return errors.FrameworkNotFound(
        f"{top} could not be imported", solution="Call again.", metadata={"module": module}
    )


def _out_of_memory(error: MemoryError) -> errors.ExecutorError:
    said = f": {_shorten(str(error))}" if str(error) else ""
    return errors.OutOfMemory(
        f"The machine's memory does not suffice{said}",
        solution="Use fewer rows or columns, a smaller model or batch, or a machine with more.",
        stderr=_traceback(error),
    )


def _cannot_write(error: OSError, job: Job | None) -> errors.ExecutorError:
    if error.filename:
        path = Path(os.fsdecode(error.filename))
    else:
        path = None if job is None else job.directory
    free = None if path is None else files.free_bytes(path)
    metadata: dict[str, Any] = {"exception": type(error.__cause__ or error).__name__}
    left = ""
    if path is not None:
        metadata["path"] = str(path)
    if free is not None:
        metadata["freeBytes"] = free
        left = f" ({report.size_words(free)} free)"
    if error.errno in _FULL:
        solution = "Free space on that disk, or name an outputDir on another."
    elif error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        left = ""
        solution = "Its directory was removed or replaced while the job ran: call again."
    else:
        left = ""
        solution = "Name an outputDir that can be written to, or mend the directory's permissions."
    what = f"'{path}' cannot be written: " if path is not None else ""
    return errors.TrainingFailure(
        f"{what}{error.strerror}{left}",
        solution=solution,
        metadata=metadata,
        stderr=_traceback(error),
    )


def _defect(error: BaseException, job: Job | None) -> errors.ExecutorError:
    # The whole traceback, for whoever mends it; the answer holds its end.
    traceback.print_exception(type(error), error, error.__traceback__)
    log = None if job is None or job.light else str(job.directory / "stderr.log")
    place = f"; its log is {log}" if log else ""
    return errors.InternalError(
        f"A defect of ML Executor: {type(error).__name__}: {_shorten(str(error))}",
        solution=f"Please report it with the traceback in stderr{place}. Other calls work.",
        metadata={"exception": type(error).__name__, **({"log": log} if log else {})},
        stderr=_traceback(error),
    )


def _frames(trace: TracebackType | None) -> Iterator[tuple[Owner, FrameType, int]]:
    """(whose code, frame, line) from the outermost to the innermost."""
    for frame, line in traceback.walk_tb(trace):
        yield _owner(frame.f_code.co_filename), frame, line


def _owner(file: str) -> Owner:
    if file.startswith("<"):
        # Frozen modules, and code that a library compiled from a string.
        return "standard"
    path = os.path.realpath(file)
    if path.startswith(_OURS):
        return "ours"
    if any(part in _INSTALLED for part in Path(path).parts):
        return "library"
    return "standard" if path.startswith(_STANDARD_LIBRARY) else "user"


def _traceback(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return "\n".join(lines.splitlines()[-_STDERR_LINES:])[-_STDERR_CHARACTERS:]


def _shorten(text: str) -> str:
    if len(text) <= _MESSAGE_CHARACTERS:
        return text
    return text[: _MESSAGE_CHARACTERS - 1] + "…"
