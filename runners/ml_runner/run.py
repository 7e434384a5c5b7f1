"""One request without Node.js: ``python -m ml_runner run REQUEST.json``."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import signal
import string
import sys
import time
from pathlib import Path
from typing import Any, cast

from ml_runner import errors, failures, files, gpu_choice, interpreters, manifest, validation
from ml_runner.process import adopt, allotment, child, control, ending, launch, system

_POLL_SECONDS = 0.05
_ID_ALPHABET = string.ascii_letters + string.digits + "_-"
_ID_LENGTH = 21


def main(source: str, memory_limit: dict[str, Any] | None = None) -> int:
    """Runs the request in the file ``source`` (``-``: standard input).

    Progress goes to stderr, a line a step; the answer to stdout, as JSON. Ctrl-C cancels.

    Args:
        source: the file's name.
        memory_limit: as ``JobRequest`` has it.

    Returns:
        The answer's exit code.
    """
    try:
        answer = _run(_read(source), memory_limit)
    except Exception as error:
        answer = failures.to_error(error).to_answer()
    sys.stdout.write(files.to_json(answer, indent=2).decode() + "\n")
    return ending.exit_code_of(answer)


def make_job(request: dict[str, Any], memory_limit: dict[str, Any] | None = None) -> Path:
    """Makes the directory of a job for a validated request and returns it.

    Raises:
        InvalidConfiguration: its ``pythonEnv`` names no interpreter.
    """
    base_dir = Path.cwd()
    cores = system.cores()
    cpu_slots = max(1, min(4, cores // 4))
    gpus = len(gpu_choice.visible()) if _may_use_gpu(request) else 0
    sent = request.get("pythonEnv")
    if sent is None:
        python = interpreters.describe(sys.executable, "the interpreter that runs this command")
    else:
        python = interpreters.describe(interpreters.resolve(sent, base_dir), "named by pythonEnv")
    job_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    jobs = files.state_home() / "jobs"
    jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = jobs / job_id
    directory.mkdir(mode=0o700)
    now = datetime.datetime.now(datetime.timezone.utc)
    record = {
        "protocol": manifest.load()["protocol"],
        "id": job_id,
        "createdAt": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request": request,
        "baseDir": str(base_dir),
        "roots": None,
        "python": python,
        "lane": allotment.GPU_LANE if gpus else "cpu",
        "exclusive": request["action"] == "benchmark",
        "slots": gpus or cpu_slots,
        "threads": max(1, cores // cpu_slots),
        "memoryLimit": memory_limit,
        "principal": None,
        "requestId": None,
    }
    files.write_json(directory / "request.json", record)
    return directory


def _read(source: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InvalidConfiguration(
            f"The request '{source}' cannot be read: {error}",
            solution="Name a JSON file with {action, framework, config, …}, or - for stdin.",
        ) from error
    try:
        request = json.loads(text)
    except ValueError as error:
        raise errors.InvalidConfiguration(
            f"The request is not JSON: {error}", solution="Correct it at that place."
        ) from error
    action = cast("dict[str, Any]", request).get("action") if isinstance(request, dict) else None
    if not isinstance(action, str):
        raise errors.InvalidConfiguration(
            "The request names no action",
            solution='Send an object such as {"action": "train", "framework": …, "config": {…}}.',
            metadata={"key": "action", "allowed": list(manifest.load()["actions"])},
        )
    validation.validate(action, request)
    return cast("dict[str, Any]", request)


def _may_use_gpu(request: dict[str, Any]) -> bool:
    """Whether the request's framework computes on a GPU, as far as the request tells which it is.

    It then queues for one. The server also looks beside the model.
    """
    if request.get("gpuEnabled") is False:
        return False
    named, algorithm = request.get("framework", "auto"), str(request["config"].get("algorithm", ""))
    for row in manifest.load()["frameworks"]:
        by_prefix = algorithm.startswith(tuple(row["algorithmPrefixes"]))
        if named in (row["name"], *row["aliases"]) or (named == "auto" and by_prefix):
            return row["gpu"]
    return False


def _run(request: dict[str, Any], memory_limit: dict[str, Any] | None) -> dict[str, Any]:
    directory = make_job(request, memory_limit)
    python = files.read_json(directory / "request.json")["python"]["executable"]
    # A fork needs no second interpreter, where this is the right one and may go on after it.
    forks = system.fork_is_safe() and python == sys.executable

    def on_interrupt(_signal: int, _frame: object) -> None:
        control.cancel(directory)

    signal.signal(signal.SIGINT, on_interrupt)
    supervisor = adopt.start_supervisor(directory, child.main if forks else launch.execute)
    follower = _Follower(directory / "events.ndjson")
    sys.stderr.write(f"job {directory.name} in {directory}\n")
    gone = False
    while not (directory / "report.json").exists():
        follower.show_new()
        if gone:
            # It was killed: nobody else will tell how the job ended.
            adopt.adopt(directory)
        time.sleep(_POLL_SECONDS)
        gone = gone or os.waitpid(supervisor, os.WNOHANG)[0] == supervisor
    follower.show_new()
    return files.read_json(directory / "report.json")


class _Follower:
    """Prints the events of a job as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def show_new(self) -> None:
        """Prints what was appended since the last call."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            text = _describe(line)
            if text:
                sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _describe(line: bytes) -> str | None:
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    kind = event["type"]
    if kind == "progress":
        return _progress(event)
    if kind == "phase":
        return f"{event['name']} …"
    if kind == "warning":
        return f"warning: {event['message']}"
    if kind == "checkpoint":
        return f"checkpoint at {event['unit']} {event['done']}: {event['path']}"
    return None


def _progress(event: dict[str, Any]) -> str:
    total = "" if event["total"] is None else f"/{event['total']}"
    parts = [f"{event['unit']} {event['done']}{total}"]
    parts += [
        f"{name} {value:.5g}" for name, value in event["metrics"].items() if value is not None
    ]
    if event["rate"] is not None:
        parts.append(f"{event['rate']:.3g}/s")
    if event["etaSeconds"] is not None:
        parts.append(f"{event['etaSeconds']:.0f} s left")
    return "  ".join(parts)
