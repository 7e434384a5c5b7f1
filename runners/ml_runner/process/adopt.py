"""Jobs that nobody supervises: published, declared dead, or started.

Whether somebody does is only ever told by the job's lock, which death releases.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ml_runner import errors, files
from ml_runner.process import control, ending, launch, leftovers, tickets
from ml_runner.process.history import History


def adopt(directory: Path) -> str:
    """Sees to one job that may have lost its supervisor.

    Those that are still to run queue in the order of these calls.

    Args:
        directory: the job's directory, absolute.

    Returns:
        ``absent`` (no job there), ``held`` (somebody owns it), ``reported`` (its report was there),
        ``published`` (its result is now its report), ``crashed`` (declared dead now), ``stopped``
        (somebody had asked for its end, which is published now), or ``supervising`` (it was
        queued; a detached supervisor has it now).
    """
    try:
        files.read_json(directory / "request.json")["request"]["action"]
    except (OSError, ValueError, KeyError, TypeError):
        # No job, or none that can be told from its ruins.
        return "absent"
    lock = files.try_lock(directory / "lock")
    if lock is None:
        return "held"
    try:
        outcome = conclude(directory)
        if outcome is None:
            ticket = tickets.draw_for(directory)
            try:
                start_supervisor(directory, launch.execute, lock=lock, ticket=ticket)
            finally:
                if ticket is not None:
                    ticket.close()
            outcome = "supervising"
        return outcome
    finally:
        os.close(lock)


def conclude_if_free(directory: Path) -> bool:
    """Ends a job that was started and that nobody owns any more.

    Returns:
        Whether it has ended (now, or meanwhile); ``False``: somebody owns it.
    """
    lock = files.try_lock(directory / "lock")
    if lock is None:
        return False
    try:
        return conclude(directory) is not None
    finally:
        os.close(lock)


def conclude(directory: Path) -> str | None:
    """Ends a job whose lock the caller holds; ``None`` where it has never started.

    Returns:
        ``reported``, ``published``, ``crashed`` or ``stopped``, as ``adopt`` says.
    """
    if (directory / "report.json").exists():
        return "reported"
    history = History.read(directory)
    result = files.read_json_or_none(directory / "result.json")
    request = control.stop_requested(directory)
    if history.started is None and request is None and not ending.is_answer(result):
        return None
    record: dict[str, Any] = files.read_json(directory / "request.json")
    leftovers.kill(record["id"], directory)
    # Read again: the job may have written it while it was being killed.
    result = files.read_json_or_none(directory / "result.json")
    if ending.is_answer(result):
        ending.publish(directory, result)
        return "published"
    what = _circumstances(directory, record, history)
    if request is not None:
        ending.publish(directory, control.word(request, record)(what).to_answer())
        return "stopped"
    ending.publish(directory, ending.crashed(what, None).to_answer())
    return "crashed"


def start_supervisor(
    directory: Path,
    entry: launch.Entry,
    *,
    lock: int | None = None,
    ticket: tickets.Ticket | None = None,
) -> int:
    """Forks a detached supervisor; for processes that have one thread and no framework.

    Returns:
        Its pid.
    """
    from ml_runner.process import supervisor  # it uses this module in turn

    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = errors.InternalError.default_exit_code()
    try:
        code = supervisor.supervise(directory, entry, lock=lock, ticket=ticket)
    finally:
        os._exit(code)


def _circumstances(
    directory: Path, record: dict[str, Any], history: History
) -> ending.Circumstances:
    elapsed = None
    if history.started is not None and history.last is not None:
        # Nobody saw it die: it lived until its last event at least.
        elapsed = max(0.0, history.last["time"] - history.started["time"])
    return ending.Circumstances(
        record,
        checkpoint=history.checkpoint,
        progress=history.progress,
        eta=history.eta,
        elapsed=elapsed,
        stderr=ending.last_lines(directory / "stderr.log"),
    )
