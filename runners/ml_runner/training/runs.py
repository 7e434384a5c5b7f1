"""Finding the run that a call means to go on with: by a job, a directory or a checkpoint."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import bounds, calls, errors, files, paths
from ml_runner.process import adopt
from ml_runner.process.history import History
from ml_runner.training import checkpoints, run_directory

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint

# What can be gone on with: modules of ``actions`` whose ``run`` takes a checkpoint.
ACTIONS = ("train", "fine-tune")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LATEST_TOLD = 5
CONTINUED = "continued.json"


@dataclass(frozen=True)
class Run:
    """A run that is not running.

    Attributes:
        directory: where it wrote, absolute.
        job_id: the job that ran it last; None where nothing tells.
        call: its call: ``action``, ``request``, ``baseDir``; None where nothing tells.
        complete: it came to its end.
        checkpoint: the newest whole one, or the one that was named.
        problems: what is wrong with newer checkpoints.
    """

    directory: Path
    job_id: str | None
    call: dict[str, Any] | None
    complete: bool
    checkpoint: Checkpoint | None
    problems: list[str]


def find(job: Job) -> Run:
    """The run that ``jobId``, ``runDir`` or ``checkpointPath`` names.

    Raises:
        JobNotFound: no such job, or it is another principal's.
        InvalidConfiguration: it is not a training, is still running, or there is no run there.
        ModelLoadingError: none of its checkpoints is whole.
    """
    if job.config.get("jobId") is not None:
        return _of_job(job, job.config["jobId"])
    if job.config.get("runDir") is not None:
        return _in(job, job.resolve(job.config["runDir"], key="config.runDir"))
    path = job.resolve(job.config["checkpointPath"], key="config.checkpointPath")
    directory = _directory_of(path)
    try:
        found = checkpoints.read(path)
    except errors.ModelLoadingError as error:
        if run_directory.read(directory) is not None:
            error.next_call = calls.repeat(job, {"checkpointPath": None, "runDir": str(directory)})
        raise
    record = run_directory.read(directory) or {}
    _refuse_running(job, record.get("jobId"))
    complete = record.get("status") == "succeeded"
    return Run(directory, record.get("jobId"), found.run, complete, found, [])


def _in(job: Job, directory: Path) -> Run:
    if directory.name == checkpoints.DIRECTORY and not (directory / "run.json").exists():
        directory = directory.parent
    record = run_directory.read(directory)
    if record is None:
        raise errors.InvalidConfiguration(
            f"There is no run in '{directory}'"
            + ("" if directory.is_dir() else ", which is no directory"),
            solution="Send the outputDir of a training, or the jobId of its job (job-list).",
            metadata={"key": "config.runDir", "sent": job.config["runDir"]},
            next_call={"tool": "job-list", "arguments": {}},
        )
    _refuse_running(job, record.get("jobId"))
    return _of_record(directory, record, None)


def _of_record(directory: Path, record: dict[str, Any], call: dict[str, Any] | None) -> Run:
    checkpoint, problems = checkpoints.latest(directory)
    complete = record.get("status") == "succeeded"
    known = call or (record if "request" in record else None)
    return Run(directory, record.get("jobId"), known, complete, checkpoint, problems)


# -- by job ----------------------------------------------------------------------------------------


def _of_job(job: Job, job_id: str) -> Run:
    run = None
    for directory, record in _lineage(job, job_id):
        written = run_directory.read(directory) or {}
        _refuse_running(job, written.get("jobId"))
        run = _of_record(directory, written, _call_of(record))
        # A job that was to go on elsewhere and never came to write there: what it went on from.
        if run.checkpoint is not None or run.complete:
            return run
    assert run is not None
    return run


def _call_of(record: dict[str, Any]) -> dict[str, Any] | None:
    if record["request"]["action"] == "resume":
        return None
    keys = ("request", "baseDir")
    return {"action": record["request"]["action"], **{key: record[key] for key in keys}}


def _lineage(job: Job, job_id: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(directory of the run, job's record) of a job and of those that it went on with."""
    while True:
        record = _record(job, job_id)
        request, base = record["request"], record["baseDir"]
        if request["action"] not in (*ACTIONS, "resume"):
            raise errors.InvalidConfiguration(
                f"Job '{job_id}' is a call of {request['action']}, which has nothing to resume",
                solution="Send the jobId of a training. job-list shows the jobs.",
                metadata={"key": "config.jobId", "sent": job_id, "action": request["action"]},
                next_call={"tool": "job-list", "arguments": {}},
            )
        _refuse_unfinished(job_id)
        config = request["config"]
        if request.get("outputDir") is not None:
            yield _within_roots(job, request["outputDir"], base), record
        elif request["action"] in ACTIONS:
            # Where that job wrote, since its call named no directory: ours to use now.
            artifacts = _job_directory(job_id) / "artifacts"
            bounds.bind(job.roots, job.directory, artifacts)
            yield artifacts, record
        if request["action"] in ACTIONS:
            return
        if config.get("runDir") is not None:
            yield _within_roots(job, config["runDir"], base), record
            return
        if config.get("checkpointPath") is not None:
            yield _directory_of(_within_roots(job, config["checkpointPath"], base)), record
            return
        job_id = config["jobId"]


def _directory_of(checkpoint: Path) -> Path:
    """The output directory of the run whose checkpoint this is."""
    parent = checkpoint.parent
    return parent.parent if parent.name == checkpoints.DIRECTORY else parent


def _within_roots(job: Job, sent: str, base: str) -> Path:
    return paths.resolve(sent, key="config.jobId", base_dir=Path(base), roots=job.roots)


def _job_directory(job_id: str) -> Path:
    return files.state_home() / "jobs" / job_id


def _record(job: Job, job_id: str) -> dict[str, Any]:
    record = None
    if _JOB_ID.fullmatch(job_id):
        record = files.read_json_or_none(_job_directory(job_id) / "request.json")
    principal = job.record["principal"]
    if record is not None and principal in (None, record["principal"]):
        return record
    latest = _latest(principal)
    known = f"the latest trainings are {', '.join(latest)}" if latest else "there are none yet"
    raise errors.JobNotFound(
        f"There is no job '{job_id}'",
        solution=f"Use the id that a call answered, or one of job-list: {known}. Old jobs are"
        " removed; a run that has an outputDir can be resumed by runDir.",
        metadata={"key": "config.jobId", "sent": job_id, "latest": latest},
        next_call={"tool": "job-list", "arguments": {}},
    )


def _latest(principal: str | None) -> list[str]:
    found: list[tuple[str, str]] = []
    for path in (files.state_home() / "jobs").glob("*/request.json"):
        record = files.read_json_or_none(path)
        if record is None or principal not in (None, record.get("principal")):
            continue
        if record["request"]["action"] in ACTIONS:
            found.append((record["createdAt"], record["id"]))
    return [job_id for _, job_id in sorted(found, reverse=True)[:_LATEST_TOLD]]


# -- what is still running -------------------------------------------------------------------------


def _refuse_unfinished(job_id: str) -> None:
    """Raises ``InvalidConfiguration`` for a job that is queued or running."""
    directory = _job_directory(job_id)
    if (directory / "report.json").exists():
        return
    history = History.read(directory)
    # One whose supervisor died with it is declared dead by whoever comes first.
    if history.started is not None and adopt.conclude_if_free(directory):
        return
    state = "queued" if history.started is None else "running"
    raise errors.InvalidConfiguration(
        f"Job '{job_id}' is {state}: there is nothing to resume",
        solution="Send nextCall, which waits for it; or cancel it first with job-cancel.",
        metadata={"key": "config.jobId", "sent": job_id, "state": state},
        next_call={"tool": "job-status", "arguments": {"jobId": job_id, "waitSeconds": 50}},
    )


def _refuse_running(job: Job, job_id: str | None) -> None:
    """Raises ``InvalidConfiguration`` where the job that a run's directory names is not done."""
    if job_id is None or job_id == job.id or not _JOB_ID.fullmatch(job_id):
        return
    if (_job_directory(job_id) / "request.json").exists():
        _refuse_unfinished(job_id)


# -- who goes on with what -------------------------------------------------------------------------


def note_continued(job: Job, run: Run) -> None:
    """Notes in the jobs of a run which job goes on with it, for whoever asks about them later."""
    asked = {job.config.get("jobId"), run.job_id} - {None, job.id}
    for job_id in asked:
        directory = _job_directory(str(job_id))
        if _JOB_ID.fullmatch(str(job_id)) and directory.is_dir():
            with contextlib.suppress(OSError):
                files.write_json(directory / CONTINUED, {"by": job.id}, durable=False)
