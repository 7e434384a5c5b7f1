"""Files that are whole or not there at all, and advisory locks that death releases."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import Any


def state_home() -> Path:
    """The state directory: ``ML_EXECUTOR_HOME``, else the user's data directory."""
    explicit = os.environ.get("ML_EXECUTOR_HOME")
    if explicit:
        return Path(explicit).expanduser().absolute()
    if os.uname().sysname == "Darwin":
        return Path.home() / "Library" / "Application Support" / "ml-executor"
    data_home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data_home) / "ml-executor"


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Writes ``data`` so that a reader sees the old file or the whole new one, whatever dies when.

    ``durable`` adds fsync of file and directory (about 0.5 ms). Raises ``OSError``.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise
    if durable:
        sync_directory(path.parent)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """``write_atomic`` of strict JSON (no NaN: that raises ``ValueError``)."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode(), durable=durable)


def read_json(path: Path) -> Any:
    """The JSON value in a file. Raises ``OSError``, or ``ValueError`` where it is not JSON."""
    return json.loads(path.read_bytes())


def read_json_or_none(path: Path) -> Any:
    """The JSON value in a file, or ``None`` where there is no such file or it is not JSON."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """Takes an exclusive flock on ``path`` (made where missing) and returns its descriptor.

    Returns ``None`` where another process holds it. The lock lasts as long as any process has the
    descriptor open; no later exec inherits it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _umask() -> int:
    # There is no call that only reads it; the job process has one thread that writes files.
    value = os.umask(0o077)
    os.umask(value)
    return value
