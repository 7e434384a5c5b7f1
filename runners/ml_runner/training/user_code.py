"""What a library says or raises while it fits, turned into warnings and errors of ours."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_runner import errors, failures

if TYPE_CHECKING:
    from ml_runner.job import Job


@contextlib.contextmanager
def reported_as_failure(algorithm: str) -> Iterator[None]:
    """An exception of the library inside becomes ``TrainingFailure``; ours and memory's pass."""
    try:
        yield
    except (errors.ExecutorError, MemoryError):
        raise
    except Exception as error:
        explained = failures.explain(error)
        if explained is not None:
            raise explained from error
        if failures.users_frame(error) is not None:
            raise  # the caller's own code is at fault, and will be named
        lines = traceback.format_exception(error)
        raise errors.TrainingFailure(
            f"{algorithm} raised {type(error).__name__}: {error}",
            solution="The message comes from the library: change the data or the hyperparameters"
            " that it names.",
            metadata={"algorithm": algorithm, "exception": type(error).__name__},
            stderr="".join(lines)[-2000:],
        ) from error


@contextlib.contextmanager
def warnings_collected(job: Job, where: str = "") -> Iterator[None]:
    """Python warnings raised inside become warnings of the report, each once.

    Deprecations are left out: they speak to programmers.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    ignored = (DeprecationWarning, FutureWarning, PendingDeprecationWarning, ResourceWarning)
    for warning in caught:
        if issubclass(warning.category, ignored):
            continue
        text = " ".join(str(warning.message).split())
        job.warn(f"{where}{warning.category.__name__}: {text}"[:500])
