"""Whose an output directory is: no run overwrites another's model unless it was asked to."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import bounds, calls, errors, files
from ml_runner.training import checkpoints, run_record

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint

RUN_FILE = "run.json"
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What a model is called, here or by others who trained into that directory.
_MODELS = (
    "model.*", "best_model", "best_model.*", "last_model", "last_model.*", "saved_model",
    checkpoints.DIRECTORY,
)  # fmt: skip


class Artifacts:
    """What a job writes into its output directory.

    Attributes:
        path: the directory.
        artifacts: key → path of what was written, as it grows.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.path: Path = job.output_dir
        self.artifacts: dict[str, Path] = {}

    def write(self, key: str | None, name: str, data: bytes | str) -> Path:
        """Writes a file whole, and lists it as an artifact where it has a key."""
        path = self.path / name
        try:
            bounds.make_directory(path.parent)
        except OSError as error:
            raise files.CannotWrite(path, error) from error
        content = data.encode() if isinstance(data, str) else data
        files.write_atomic(path, content, durable=not self._job.light)
        if key is not None:
            self.artifacts[key] = path
        return path

    def write_directory(self, key: str, name: str, content: Mapping[str, bytes]) -> Path:
        """Writes the files of a directory, which is the artifact.

        Args:
            key: the artifact's.
            name: of the directory.
            content: of each file by its name; the first one is written last.

        Returns:
            The path of the first one.
        """
        first, *others = content
        for file in [*others, first]:
            self.write(None, f"{name}/{file}", content[file])
        self.artifacts[key] = self.path / name
        return self.path / name / first

    def shown(self) -> dict[str, str]:
        """The artifacts, their paths in the caller's form."""
        return {key: self._job.show(path) for key, path in self.artifacts.items()}


class RunDirectory(Artifacts):
    """The job's output directory, claimed for this run.

    Args:
        job: whose run it is.
        resumed: the checkpoint from which it goes on, which may lie in this directory.
    """

    def __init__(self, job: Job, resumed: Checkpoint | None = None) -> None:
        super().__init__(job)
        self._before = read(self.path)
        self._started = time.time()
        self._run = run_record.of_call(job)
        if resumed is None or resumed.path.parent != self.path / checkpoints.DIRECTORY:
            self._refuse_others()
            checkpoints.discard(self.path)
        self._write("running")

    def describe(self, run: dict[str, Any]) -> None:
        """Notes what the run is, now that it is known (``run_record.of``)."""
        self._run = run
        self._write("running")

    def _refuse_others(self) -> None:
        if self._job.request.get("overwrite") or self._job.request.get("outputDir") is None:
            return
        # A run that did not come to its end left nothing to lose: the lock on this directory is
        # ours, so it is not running any more either.
        if self._before is not None and (
            self._before.get("status") != "succeeded" or _came_to_nothing(self._before)
        ):
            return
        held = [path.name for pattern in _MODELS for path in sorted(self.path.glob(pattern))]
        held = [name for name in held if not name.endswith(".meta.json")]
        if not held:
            return
        by = self._before or {}
        whose = f" of job {by['jobId']}" if "jobId" in by else ""
        raise errors.InvalidConfiguration(
            f"outputDir '{self.path}' already holds {', '.join(held[:3])}{whose}",
            solution="Send nextCall, which names another outputDir; or overwrite: true to replace"
            " what is there.",
            metadata={
                "key": "outputDir",
                "sent": self._job.request["outputDir"],
                "found": held[:10],
                **({"jobId": by["jobId"]} if "jobId" in by else {}),
            },
            next_call=calls.repeat(self._job, outputDir=self._free_name()),
        )

    def _free_name(self) -> str:
        """The caller's ``outputDir`` with the first number behind it that is still free."""
        return free_name(self.path, str(self._job.request["outputDir"]))

    def _write(self, status: str, **more: Any) -> None:
        record = {
            "jobId": self._job.id,
            **self._run,
            "status": status,
            "startedAt": self._started,
            **more,
        }
        files.write_json(self.path / RUN_FILE, record, durable=not self._job.light)

    def succeeded(self) -> None:
        """Marks the run as complete; what an earlier one left here beside it goes."""
        names = {key: str(path.relative_to(self.path)) for key, path in self.artifacts.items()}
        for name in set((self._before or {}).get("artifacts", {}).values()) - set(names.values()):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                continue  # nobody but us writes this file, and still nothing outside goes
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
                (self.path / f"{name}.meta.json").unlink()
        self._write("succeeded", artifacts=names, endedAt=time.time())

    def failed(self) -> None:
        """Marks the run as failed, so that the next one may use the directory."""
        with contextlib.suppress(OSError):
            self._write("failed", endedAt=time.time())


def _came_to_nothing(run: dict[str, Any]) -> bool:
    """Whether a run's job was killed after its last artifact and before its answer."""
    job_id = run.get("jobId")
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        return False
    report = files.read_json_or_none(files.state_home() / "jobs" / job_id / "report.json")
    return isinstance(report, dict) and "error" in report


@contextlib.contextmanager
def claimed(job: Job, resumed: Checkpoint | None = None) -> Iterator[RunDirectory]:
    """The job's output directory for the length of a run; ``resumed`` as for ``RunDirectory``.

    Raises:
        InvalidConfiguration: it holds another run's model or checkpoint.
    """
    directory = RunDirectory(job, resumed)
    try:
        yield directory
    except BaseException:
        directory.failed()
        raise
    directory.succeeded()


def model_in(directory: Path) -> Path | None:
    """The model that a successful run left in a directory."""
    record = read(directory)
    if record is None or record.get("status") != "succeeded":
        return None
    name = record.get("artifacts", {}).get("model") or record.get("artifacts", {}).get("bestModel")
    path = directory / Path(name).name if name else None
    return path if path is not None and path.exists() else None


def free_name(path: Path, sent: str) -> str:
    """``sent``, the caller's form of ``path``, with the first number behind it that is free."""
    number = 2
    while path.with_name(f"{path.name}-{number}").exists():
        number += 1
    return f"{sent.rstrip('/')}-{number}"


def read(directory: Path) -> dict[str, Any] | None:
    """What ``run.json`` says of the run in a directory; None where there is none."""
    try:
        record = json.loads(bounds.read_bytes(directory / RUN_FILE))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
