"""Files that are whole or not there at all, and advisory locks that death releases."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from ml_runner import bounds

_FINGERPRINT_BYTES = 1 << 20


class CannotWrite(OSError):
    """A file of ours could not be written; ``filename`` is the one that was meant."""

    def __init__(self, path: Path, cause: OSError) -> None:
        super().__init__(cause.errno, cause.strerror, str(path))


def state_home() -> Path:
    """The state directory: ``ML_EXECUTOR_HOME``, else the user's data directory."""
    explicit = os.environ.get("ML_EXECUTOR_HOME")
    if explicit:
        return Path(explicit).expanduser().absolute()
    if os.uname().sysname == "Darwin":
        return Path.home() / "Library" / "Application Support" / "ml-executor"
    data_home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data_home) / "ml-executor"


def cache_home() -> Path:
    """The cache directory: ``ML_EXECUTOR_CACHE``, else in the user's own; as ``src/config.ts``."""
    explicit = os.environ.get("ML_EXECUTOR_CACHE")
    if explicit:
        return Path(explicit).expanduser().absolute()
    if os.uname().sysname == "Darwin":
        return Path.home() / "Library" / "Caches" / "ml-executor"
    return Path(os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")) / "ml-executor"


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Writes ``data`` so that a reader sees the old file or the whole new one, whatever dies when.

    ``durable`` adds fsync of file and directory (about 0.5 ms). Raises ``CannotWrite``.
    """
    try:
        _write_atomic(path, data, durable=durable)
    except OSError as error:
        raise CannotWrite(path, error) from error


def _write_atomic(path: Path, data: bytes, *, durable: bool) -> None:
    # A name of its own, whoever else writes or has died here; the mode is what the umask leaves.
    temporary = f".{path.name}.{os.getpid()}.{time.time_ns()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with bounds.directory(path.parent) as here:
        descriptor = os.open(temporary, flags, 0o666, dir_fd=here)
        try:
            try:
                _write_all(descriptor, data)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path.name, src_dir_fd=here, dst_dir_fd=here)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=here)
            raise
    if durable:
        sync_directory(path.parent)


def to_json(value: Any, **options: Any) -> bytes:
    """``json.dumps`` as UTF-8, with its ``options``.

    Half a surrogate pair, which the name of a file may hold, becomes its escape.
    """
    return json.dumps(value, ensure_ascii=False, **options).encode("utf-8", "backslashreplace")


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """``write_atomic`` of strict JSON (no NaN: that raises ``ValueError``)."""
    write_atomic(path, to_json(value, allow_nan=False), durable=durable)


def read_json(path: Path) -> Any:
    """The JSON value in a file. Raises ``OSError``, or ``ValueError`` where it is not JSON."""
    return json.loads(path.read_bytes())


def read_json_or_none(path: Path) -> Any:
    """The JSON value in a file, or ``None`` where there is no such file or it is not JSON."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def fingerprint(path: Path) -> str:
    """Tells one file's content from another's in constant time: its size, beginning and end."""
    with bounds.open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        digest.update(file.read(_FINGERPRINT_BYTES))
        file.seek(max(_FINGERPRINT_BYTES, size - _FINGERPRINT_BYTES))
        digest.update(file.read())
    return digest.hexdigest()


def free_bytes(path: Path) -> int | None:
    """What this user may still write on the disk of ``path``, or of its nearest directory."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            status = os.statvfs(place)
            return status.f_bavail * status.f_frsize
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


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
