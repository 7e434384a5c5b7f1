"""The errors that a call can end with: one class a type of the contract, the cause kept.

Raise the class that says what happened; ``job.run`` turns it into the answer in one place.
Exit codes stand in the manifest.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ml_runner import manifest


class ExecutorError(Exception):
    """An expected failure, told to the caller as ``{"error": …}``.

    Args:
        message: one sentence that says what is wrong, with names and values.
        solution: what to do about it; a reader can act on it without asking.
        metadata: facts for a program: the key, what was sent, what is allowed, file, row, column, …
        next_call: the corrected call, ``{"tool": …, "arguments": …}``, where it can be computed.
        stderr: last lines of what was printed, where that helps.
        exit_code: only for types whose exit code depends on the case (``runner-crashed``).
    """

    type: ClassVar[str] = "internal-error"

    def __init__(
        self,
        message: str,
        *,
        solution: str,
        metadata: dict[str, Any] | None = None,
        next_call: dict[str, Any] | None = None,
        stderr: str | None = None,
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.solution = solution
        self.metadata = metadata or {}
        self.next_call = next_call
        self.stderr = stderr
        self._exit_code = exit_code

    def __reduce__(self) -> tuple[Any, ...]:
        # From a process that loads data; an exception's own way forgets what has a name.
        return _restored, (type(self), self.__dict__)

    @property
    def exit_code(self) -> int:
        """The process exit code of the contract for this error."""
        if self._exit_code is not None:
            return self._exit_code
        return self.default_exit_code()

    @classmethod
    def default_exit_code(cls) -> int:
        """The exit code that the contract gives to this type of error."""
        return manifest.load()["errors"][cls.type]["exitCode"]

    def to_answer(self) -> dict[str, Any]:
        """The error as the contract shows it: ``{"error": {…}}``; absent parts are left out."""
        error: dict[str, Any] = {
            "type": self.type,
            "message": self.message,
            "exitCode": self.exit_code,
        }
        if self.stderr:
            error["stderr"] = self.stderr
        if self.metadata:
            error["metadata"] = self.metadata
        error["solution"] = self.solution
        if self.next_call:
            error["nextCall"] = self.next_call
        return {"error": error}


def _restored(kind: type[ExecutorError], state: dict[str, Any]) -> ExecutorError:
    error = kind(state["message"], solution=state["solution"])
    error.__dict__.update(state)
    return error


class InvalidConfiguration(ExecutorError):
    """A missing or wrong parameter, or an impossible combination."""

    type = "invalid-configuration"


class FrameworkNotFound(ExecutorError):
    """A library is not in the environment."""

    type = "framework-not-found"


class DataLoadingError(ExecutorError):
    """Path, format, encoding or schema of the data; names file, row and column."""

    type = "data-loading-error"


class ModelLoadingError(ExecutorError):
    """File, script, class, version or shapes of a model; names what was found instead."""

    type = "model-loading-error"


class TrainingDiverged(ExecutorError):
    """The loss became NaN or infinite."""

    type = "training-diverged"


class TrainingFailure(ExecutorError):
    """The user's code, or the framework, raised while running."""

    type = "training-failure"


class CudaOutOfMemory(ExecutorError):
    """The GPU's memory ran out."""

    type = "cuda-out-of-memory"


class CudaError(ExecutorError):
    """Any other fault of the GPU."""

    type = "cuda-error"


class OutOfMemory(ExecutorError):
    """The host's memory ran out, or the job was killed for it."""

    type = "out-of-memory"


class TimeoutExceeded(ExecutorError):
    """The job ran longer than its timeout."""

    type = "timeout-exceeded"


class RunnerCrashed(ExecutorError):
    """The job's process died of anything else; ``exit_code`` is 128 + signal, or its own."""

    type = "runner-crashed"


class Cancelled(ExecutorError):
    """Ended on request."""

    type = "cancelled"


class JobNotFound(ExecutorError):
    """An id that is not there."""

    type = "job-not-found"


class InternalError(ExecutorError):
    """A defect of this program."""

    type = "internal-error"


BY_TYPE: dict[str, type[ExecutorError]] = {cls.type: cls for cls in ExecutorError.__subclasses__()}
