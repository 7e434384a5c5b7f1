"""One job, seen from the inside: its request, its paths, its events, its end.

An action gets a ``Job`` and nothing else. It reads ``job.config``, resolves the caller's paths with
``job.read_path``/``job.output_dir``, says what it does with ``phase``, ``progress``, ``warn`` and
``default``, calls ``check`` where it can stop, and returns a report.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from ml_runner import activation, bounds, errors, files, paths

# Followers are woken at most this often by progress; what a fast loop reports in between is
# dropped, except the last of a unit. An event costs 1.5 µs to write and more to follow.
PROGRESS_INTERVAL_SECONDS = 0.2
# Where there are no more units than this (folds, epochs), each is told.
FEW_UNITS = 50

# No time remaining is told before so much of the work is behind: the first steps are slower than
# the others (caches, threads that start), and a wrong alarm makes a caller stop a good run.
ETA_AFTER_SECONDS = 2.0
ETA_AFTER_SHARE = 0.1

# The file in its directory by which a job shows that it has taken note of a request to stop.
STOPPING = "stopping"


class Job:
    """The job in whose process this code runs.

    Args:
        directory: the job's directory; holds ``request.json``.
        light: runs in the resident process (nothing is fsynced, no signals are handled).
    """

    def __init__(self, directory: Path, *, light: bool = False) -> None:
        self.directory = directory
        self.light = light
        self.record: dict[str, Any] = json.loads((directory / "request.json").read_bytes())
        self.request: dict[str, Any] = self.record["request"]
        self.id: str = self.record["id"]
        self.action: str = self.request["action"]
        self.config: dict[str, Any] = self.request["config"]
        self.base_dir = Path(self.record["baseDir"])
        self.roots: list[Path] | None = (
            None if self.record["roots"] is None else [Path(r) for r in self.record["roots"]]
        )
        bounds.bind(self.roots, directory)
        self.threads: int = self.record["threads"]
        self.started_at = time.time()
        self.warnings: list[str] = [
            *self.record["python"].get("warnings", []),
            *activation.problems(),
        ]
        self.defaults: dict[str, Any] = {}
        self.last_checkpoint: dict[str, Any] | None = None
        # What a resume asks for in place of the rounds or epochs of the call that it continues.
        self.new_total: int | None = None
        self._events = EventLog(directory / "events.ndjson")
        self._last_progress = 0.0
        self._told: tuple[str, float] | None = None
        self._rate_from: dict[str, tuple[float, float]] = {}
        self._cancel_requested = False
        self._cooperative = False
        self._output_dir: Path | None = None
        self._output_lock: int | None = None

    # -- what the caller asked for ---------------------------------------------------------------

    def option(self, key: str, default: Any = None) -> Any:
        """``config[key]``, or ``default``; where that is not None it is noted as a default used."""
        value = self.config.get(key)
        if value is not None:
            return value
        if default is not None:
            self.default(key, default)
        return default

    def fill_in(self, key: str, value: Any, *, told: Any = None) -> None:
        """Sets a config key that the call left out, and notes it as a default used.

        Args:
            key: of ``config``.
            value: as a call would send it.
            told: what ``metadata.defaults`` says instead, where the value is long.
        """
        if self.config.get(key) is None:
            self.config = {**self.config, key: value}
            self.default(key, value if told is None else told)

    def default(self, key: str, value: Any) -> None:
        """Notes a default that was used, for ``metadata.defaults``."""
        self.defaults[key] = value

    # -- paths -----------------------------------------------------------------------------------

    def resolve(self, value: str, *, key: str) -> Path:
        """The absolute path that the caller means by ``value`` (of the parameter ``key``).

        Relative paths are taken from the job's base directory. Raises ``InvalidConfiguration`` for
        a relative path where there is no base (``/``) and for one outside the roots, links
        resolved.
        """
        return paths.resolve(value, key=key, base_dir=self.base_dir, roots=self.roots)

    def show(self, path: Path) -> str:
        """A path as the caller would write it: relative where the caller's own was."""
        output = self.request.get("outputDir")
        if output is not None and self._output_dir is not None:
            with contextlib.suppress(ValueError):
                return str(Path(output) / path.relative_to(self._output_dir))
        return str(path)

    @property
    def output_dir(self) -> Path:
        """The directory for artifacts, made and locked when first used.

        Raises ``InvalidConfiguration`` where it cannot be made or another live job writes into it.
        """
        if self._output_dir is not None:
            return self._output_dir
        sent = self.request.get("outputDir")
        path = self.directory / "artifacts" if sent is None else self.resolve(sent, key="outputDir")
        try:
            bounds.make_directory(path)
        except OSError as error:
            raise errors.InvalidConfiguration(
                f"outputDir '{path}' cannot be made: {error.strerror}",
                solution="Name a directory that can be written to.",
                metadata={"key": "outputDir", "sent": sent},
            ) from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise errors.InvalidConfiguration(
                f"outputDir '{path}' is not writable",
                solution="Name a directory that can be written to.",
                metadata={"key": "outputDir", "sent": sent},
            )
        if sent is not None:
            self._lock_output(path, sent)
        self._output_dir = path
        return path

    def _lock_output(self, path: Path, sent: str) -> None:
        locks = files.state_home() / "outputs"
        locks.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
        self._output_lock = files.try_lock(locks / name)
        if self._output_lock is None:
            run: dict[str, Any] = files.read_json_or_none(path / "run.json") or {}
            holder = run.get("jobId")
            raise errors.InvalidConfiguration(
                f"another running job writes into outputDir '{path}'",
                solution="Wait for that job (job-list shows it), or name another outputDir.",
                metadata={"key": "outputDir", "sent": sent},
                next_call={"tool": "job-status", "arguments": {"jobId": holder}}
                if isinstance(holder, str)
                else {"tool": "job-list", "arguments": {"state": "running"}},
            )

    def release(self) -> None:
        """Gives up what the job holds (only the resident process outlives its jobs)."""
        self._release_output()
        self._events.close()
        bounds.bind(None)

    def _release_output(self) -> None:
        if self._output_lock is not None:
            os.close(self._output_lock)
            self._output_lock = None

    def take_over(
        self, request: dict[str, Any], base_dir: Path, output_dir: Path, *, threads: int
    ) -> None:
        """Goes on as if this were the job of an earlier call; id and directory stay its own.

        Args:
            request: the earlier call; ``outputDir`` in it is as this job's caller would write it.
            base_dir: what the relative paths of that call are taken from.
            output_dir: the directory that it wrote into, which is locked now.
            threads: as many as it had, since results may depend on them.

        Raises:
            InvalidConfiguration: another live job writes into ``output_dir``.
        """
        self._release_output()
        self._lock_output(output_dir, request.get("outputDir") or str(output_dir))
        self.request, self.config, self.action = request, request["config"], request["action"]
        self.base_dir, self._output_dir, self.threads = base_dir, output_dir, threads

    # -- what it says while it runs --------------------------------------------------------------

    def event(self, type: str, **fields: Any) -> None:
        """Appends an event for all followers."""
        self._events.append(type, **fields)

    def phase(self, name: str) -> None:
        """Says what is being done now: ``loading``, ``training``, ``evaluating``, …"""
        self.event("phase", name=name)

    def warn(self, message: str) -> None:
        """Tells the caller of something done that they may not expect; ends up in the report."""
        if message not in self.warnings:
            self.warnings.append(message)
            self.event("warning", message=message)

    def progress(
        self,
        unit: str,
        done: float,
        total: int | None,
        metrics: Mapping[str, float] | None = None,
        *,
        eta_seconds: float | None = None,
        within: bool = False,
    ) -> None:
        """Says how far the work is; cheap enough for every step of a loop.

        ``eta_seconds`` left out is reckoned from the mean rate since the first report of ``unit``.
        ``within`` a unit, ``done`` is a broken number, and few units are no reason to tell each.
        """
        now = time.time()
        first_time, first_done = self._rate_from.setdefault(unit, (now, done))
        if first_done == 0 < done:
            # What came before the first step (binning data, say) tells nothing of the others.
            first_time, first_done = self._rate_from[unit] = (now, done)
        told = (unit, done)
        always = total is not None and (
            done >= total or (total <= FEW_UNITS and told != self._told and not within)
        )
        if not always and now - self._last_progress < PROGRESS_INTERVAL_SECONDS:
            return
        self._last_progress, self._told = now, told
        elapsed = now - first_time
        rate = (done - first_done) / elapsed if elapsed > 0 and done > first_done else None
        early = elapsed < ETA_AFTER_SECONDS and not (total and done > ETA_AFTER_SHARE * total)
        if eta_seconds is None and rate and total is not None and not early:
            eta_seconds = (total - done) / rate
        figures = _finite(metrics or {})
        self.event(
            "progress",
            unit=unit,
            done=done,
            total=total,
            etaSeconds=None if eta_seconds is None else round(eta_seconds, 3),
            rate=None if rate is None else round(rate, 3),
            metrics=figures,
        )
        if not self.light:
            # For whoever reads the job's own output, as that of a plain script would be read.
            words = [f"{key}={value:.6g}" for key, value in figures.items() if value is not None]
            with contextlib.suppress(OSError, ValueError):  # a script may have closed it
                of = "" if total is None else f"/{total}"
                sys.stdout.write("  ".join([f"{unit} {done}{of}", *words]) + "\n")

    def start_unit(self, unit: str, done: float = 0) -> None:
        """Starts the clock from which the rate of ``unit`` is reckoned (before the first step)."""
        self._rate_from[unit] = (time.time(), done)

    def checkpoint_saved(self, path: Path, unit: str, done: int) -> None:
        """Notes that the run can go on from ``path``, with ``done`` units behind it."""
        self.last_checkpoint = {"path": self.show(path), "unit": unit, "done": done}
        self.event("checkpoint", **self.last_checkpoint)

    # -- being asked to stop ---------------------------------------------------------------------

    def listen_for_cancel(self) -> None:
        """Takes the supervisor's SIGUSR1 as the request to stop."""
        signal.signal(signal.SIGUSR1, self._on_cancel)

    def _on_cancel(self, _signal: int, _frame: object) -> None:
        self._cancel_requested = True
        # So that the supervisor gives it the time to write a large checkpoint.
        with contextlib.suppress(OSError):
            os.close(os.open(self.directory / STOPPING, os.O_WRONLY | os.O_CREAT, 0o600))
        if not self._cooperative:
            raise self._cancelled()

    @contextlib.contextmanager
    def stopping_at_checks(self) -> Generator[None, None, None]:
        """Within it, a request to stop waits for the next ``check`` instead of breaking in."""
        before, self._cooperative = self._cooperative, True
        try:
            yield
        finally:
            self._cooperative = before
        self.check()

    @property
    def cancel_requested(self) -> bool:
        """Whether the supervisor has asked for the end: write a checkpoint, then ``check``."""
        return self._cancel_requested

    def check(self) -> None:
        """Raises ``Cancelled`` if the job has been asked to stop. Costs nothing otherwise."""
        if self._cancel_requested:
            raise self._cancelled()

    def _cancelled(self) -> errors.Cancelled:
        # The supervisor knows why it asked (cancel or timeout) and words the final answer.
        metadata = {} if self.last_checkpoint is None else {"lastCheckpoint": self.last_checkpoint}
        return errors.Cancelled(
            "The job was cancelled", solution="Call again to start anew.", metadata=metadata
        )


class EventLog:
    """Appends events to ``events.ndjson``, each with its number and time.

    Job and supervisor never write at once; each takes up the numbering where the file ends.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._sequence, self._torn = self._last()

    def append(self, type: str, **fields: Any) -> None:
        """Writes one event. A full disk may cut it short: the next one starts on a new line."""
        line = {"seq": self._sequence + 1, "time": round(time.time(), 6), "type": type, **fields}
        data = files.to_json(line, allow_nan=False) + b"\n"
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            self._torn = True
            return
        self._torn = written < len(data)
        if not self._torn:
            self._sequence += 1

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _last(self) -> tuple[int, bool]:
        size = os.fstat(self._descriptor).st_size
        if size == 0:
            return 0, False
        tail = os.pread(self._descriptor, 65536, max(0, size - 65536))
        for line in reversed(tail.split(b"\n")):
            try:
                return int(json.loads(line)["seq"]), not tail.endswith(b"\n")
            except (ValueError, KeyError, TypeError):
                continue
        return 0, not tail.endswith(b"\n")


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {
        name: float(value) if value == value and abs(value) != float("inf") else None
        for name, value in metrics.items()
    }
