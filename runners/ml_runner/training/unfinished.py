"""What is left of a training that did not come to its end, for whoever asks what lies there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml_runner import errors
from ml_runner.training import checkpoints, run_directory


def run_in(path: Path) -> dict[str, Any] | None:
    """``run.json`` of the unfinished run whose directory, or checkpoint, is at a path."""
    record = run_directory.read(_directory(path))
    return record if record is not None and record.get("status") != "succeeded" else None


def describe(path: Path, sent: str) -> dict[str, Any]:
    """What is known of the unfinished run at ``path``, and the call that goes on with it.

    Args:
        path: for which ``run_in`` gives a run.
        sent: the caller's form of the path.

    Returns:
        ``path``, ``kind`` (``"run"``), ``status``, ``jobId``, ``action``, ``framework``,
        ``algorithm``, ``lastCheckpoint`` (``path``, ``unit``, ``done``) or None, ``problems`` of
        newer checkpoints, and ``next``, the call of ``resume``, where there is a checkpoint.
    """
    directory = _directory(path)
    record = run_in(path) or {}
    checkpoint, problems = checkpoints.latest(directory)
    answer: dict[str, Any] = {"path": sent, "kind": "run"}
    answer |= {
        key: record[key]
        for key in ("status", "jobId", "action", "framework", "algorithm")
        if record.get(key) is not None
    }
    answer["lastCheckpoint"] = None
    if checkpoint is not None:
        answer["lastCheckpoint"] = {
            "path": str(checkpoint.path),
            "unit": checkpoint.unit,
            "done": checkpoint.done,
        }
        if record.get("status") != "running":
            answer["next"] = resume_call(directory)
    if problems:
        answer["problems"] = problems[:3]
    return answer


def resume_call(directory: Path) -> dict[str, Any]:
    """The call that goes on with the run in a directory."""
    return {"tool": "resume", "arguments": {"config": {"runDir": str(directory)}}}


def refusal(path: Path, **metadata: Any) -> errors.ModelLoadingError | None:
    """The error for an unfinished run that was taken for a model; None where it is none."""
    record = run_in(path)
    if record is None:
        return None
    directory = _directory(path)
    checkpoint, _ = checkpoints.latest(directory)
    running = record.get("status") == "running"
    how = "is not finished" if running else "did not come to its end"
    done = "no checkpoint" if checkpoint is None else f"{checkpoint.unit} {checkpoint.done}"
    if checkpoint is None:
        solution = "Train anew: it left no checkpoint."
    else:
        solution = "Go on with it: send nextCall; then use its model."
    if running:
        solution = "Wait for its job (job-list shows it), or resume it where that has died."
    return errors.ModelLoadingError(
        f"'{path}' is of a training that {how}, and holds no model yet (last: {done})",
        solution=solution,
        metadata={**metadata, "path": str(path), "jobId": record.get("jobId")},
        next_call=resume_call(directory) if checkpoint is not None and not running else None,
    )


def _directory(path: Path) -> Path:
    if path.is_dir() and path.name != checkpoints.DIRECTORY:
        return path
    return path.parent if path.name == checkpoints.DIRECTORY else path.parent.parent
