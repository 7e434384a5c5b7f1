"""Checkpoints: each whole or not there, signed, the newest few kept.

``checkpoints/<unit>-<done>.json`` holds all that a run needs to go on, with the files of the state
beside it. The JSON file is written last: where it is, the checkpoint is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import bounds, errors, files, signing

if TYPE_CHECKING:
    from ml_runner.job import Job

DIRECTORY = "checkpoints"
FORMAT = "ml-executor-checkpoint"
_VERSION = 1
_EVERY_SECONDS = 60.0
# For machines that may be taken away at any moment: least seconds between two checkpoints.
_EVERY_VARIABLE = "ML_EXECUTOR_CHECKPOINT_SECONDS"
_KEPT = 3


@dataclass(frozen=True)
class Checkpoint:
    """One that was read and found whole.

    Attributes:
        path: of its JSON file.
        unit: what it counts: ``round``, ``epoch``, ``tree``; ``fold``: the final fit has not begun.
        done: units behind it.
        run: what the run is (``run_record.of``).
        folds: finished folds of a cross-validation (``Work``), or None.
        state: of the learner, as it was given to ``save``; NaN and infinities as strings.
        contents: suffix → bytes, likewise.
        seconds: spent on training until then, in all the processes that took part.
        warnings: what the caller is to be told at the end, of the work behind it.
        genuine: this state directory wrote it, and nobody has changed it since.
    """

    path: Path
    unit: str
    done: int
    run: dict[str, Any]
    folds: dict[str, Any] | None
    state: dict[str, Any]
    contents: dict[str, bytes]
    seconds: float
    warnings: list[str]
    genuine: bool


class Checkpoints:
    """Writes the checkpoints of a run.

    Args:
        job: whose they are.
        run: what the run is (``run_record.of``); stands in each of them.
        spent: seconds that went into the training before this process began.
    """

    def __init__(
        self,
        job: Job,
        run: Mapping[str, Any],
        *,
        spent: float = 0.0,
    ) -> None:
        self._job = job
        self._run = run
        self._every = _seconds_between()
        self._kept = int(job.config.get("keepCheckpoints") or _KEPT)
        self._spent = spent
        self._started = self._last = time.monotonic()
        self._directory = job.output_dir / DIRECTORY

    def due(self, every: float | None = None) -> bool:
        """Whether the last one (or the start) is long enough ago."""
        return time.monotonic() - self._last >= (self._every if every is None else every)

    def save(
        self,
        unit: str,
        done: int,
        state: Mapping[str, Any],
        contents: Mapping[str, bytes],
        folds: Mapping[str, Any] | None = None,
        *,
        within: int | None = None,
    ) -> Path:
        """Writes a checkpoint durably, and removes the oldest beyond those kept.

        Args:
            unit: what is counted.
            done: units behind it.
            state: JSON values.
            contents: suffix → bytes of a file.
            folds: finished folds of a cross-validation.
            within: in the midst of a unit: counts what the unit is made of (steps), so that the
                names of two of them differ.

        Returns:
            The path of the JSON file, from which a run can go on.
        """
        self._directory.mkdir(exist_ok=True)
        name = f"{unit}-{done:06d}" + ("" if within is None else f"-{within:09d}")
        listed = {}
        for suffix, data in contents.items():
            path = self._directory / f"{name}.{suffix}"
            files.write_atomic(path, data)
            listed[suffix] = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
        path = self._directory / f"{name}.json"
        record = {
            "format": FORMAT,
            "version": _VERSION,
            "jobId": self._job.id,
            "unit": unit,
            "done": done,
            "seconds": round(self._spent + time.monotonic() - self._started, 6),
            "warnings": self._job.warnings,
            "run": self._run,
            "folds": folds,
            "state": state,
            "files": listed,
        }
        files.write_json(path, signing.sign(_plain(record)))
        self._remove_old(path)
        self._last = time.monotonic()
        self._job.checkpoint_saved(path, unit, done)
        return path

    def take_over(self, checkpoint: Checkpoint) -> None:
        """Makes the checkpoint from which a run goes on the first of this one."""
        if checkpoint.path.parent == self._directory:
            self._job.checkpoint_saved(checkpoint.path, checkpoint.unit, checkpoint.done)
            return
        one = checkpoint
        self.save(one.unit, one.done, one.state, one.contents, one.folds)

    def _remove_old(self, newest: Path) -> None:
        kept = [newest, *(path for path in _newest_first(self._directory) if path != newest)]
        for old in kept[self._kept :]:
            # The JSON file first: without it the rest counts for nothing.
            old.unlink(missing_ok=True)
            for part in self._directory.glob(f"{old.stem}.*"):
                part.unlink(missing_ok=True)


def _seconds_between() -> float:
    sent = os.environ.get(_EVERY_VARIABLE)
    try:
        return _EVERY_SECONDS if not sent else max(0.0, float(sent))
    except ValueError:
        raise errors.InvalidConfiguration(
            f"The environment variable {_EVERY_VARIABLE} is '{sent}'",
            solution="Set it to a number of seconds, or not at all (60).",
            metadata={"key": _EVERY_VARIABLE, "sent": sent},
        ) from None


def discard(directory: Path) -> None:
    """Removes the checkpoints of an earlier run from an output directory."""
    shutil.rmtree(directory / DIRECTORY, ignore_errors=True)


# -- reading ---------------------------------------------------------------------------------------


def latest(directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint of a run.

    Args:
        directory: the run's output directory.

    Returns:
        The checkpoint, None where there is none; and what is wrong with those that are newer.
    """
    problems: list[str] = []
    for path in _newest_first(directory / DIRECTORY):
        try:
            return read(path), problems
        except errors.ModelLoadingError as error:
            problems.append(error.message)
    return None, problems


def read(path: Path) -> Checkpoint:
    """The checkpoint whose JSON file (or one of whose other files) is at ``path``.

    Raises:
        ModelLoadingError: it is not there, not whole, or something else.
    """
    named, path = path, path.with_suffix(".json")
    try:
        record = json.loads(bounds.read_bytes(path))
    except FileNotFoundError:
        if named.exists():
            raise _broken(named, "it is another file, and no checkpoint lies beside it") from None
        raise _broken(path, "it is not there") from None
    except (OSError, ValueError) as error:
        raise _broken(path, f"it cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise _broken(path, "it is no checkpoint of this program")
    if record.get("version") != _VERSION:
        raise _broken(path, f"it is of another version ({record.get('version')})")
    contents: dict[str, bytes] = {}
    try:
        for suffix, listed in record["files"].items():
            part = path.with_name(Path(listed["file"]).name)
            contents[suffix] = bounds.read_bytes(part)
            if hashlib.sha256(contents[suffix]).hexdigest() != listed["sha256"]:
                raise _broken(path, f"'{part.name}' beside it is damaged")
        return Checkpoint(
            path=path,
            unit=str(record["unit"]),
            done=int(record["done"]),
            run=dict(record["run"]),
            folds=record["folds"],
            state=dict(record["state"]),
            contents=contents,
            seconds=float(record["seconds"]),
            warnings=list(record["warnings"]),
            genuine=signing.is_genuine(record),
        )
    except OSError as error:
        raise _broken(path, f"a file beside it cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(path, f"it is not whole ({type(error).__name__}: {error})") from error


def _newest_first(directory: Path) -> list[Path]:
    found = []
    for path in directory.glob("*.json"):
        try:
            found.append((path.stat().st_mtime_ns, path.name, path))
        except OSError:
            continue  # removed meanwhile
    return [path for _, _, path in sorted(found, reverse=True)]


def _broken(path: Path, why: str) -> errors.ModelLoadingError:
    return errors.ModelLoadingError(
        f"The checkpoint '{path}' cannot be used: {why}",
        solution="Name another checkpoint of that run, or its directory as runDir: the newest whole"
        " one is then taken.",
        metadata={"path": str(path)},
    )


def _plain(value: Any) -> Any:
    """Plain JSON values, as they will be read: NaN and infinities as strings that float takes."""
    return json.loads(
        json.dumps(value, default=str, allow_nan=True), parse_constant=lambda name: name
    )
