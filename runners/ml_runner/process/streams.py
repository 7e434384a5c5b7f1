"""What a job prints: read from its pipes, kept in files that stay small whatever it prints."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

HALF_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 65536
_RECENT_BYTES = 8192
_MARKER_BYTES = 64
# What is still in a pipe when all its writers are dead; more than that is a writer that escaped.
_DRAIN_BYTES = 4 * 1024 * 1024


class BoundedLog:
    """A file that keeps the first and the last ``half`` bytes of what is written to it.

    While it grows it may hold up to three halves, so that what is dropped costs one copy of a half
    for each half written; ``close`` cuts it to two.
    """

    def __init__(self, path: Path, half: int = HALF_BYTES) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._half = half
        self._size = os.fstat(self._descriptor).st_size
        self._dropped = 0
        self._marker = 0
        self._recent = b""

    def write(self, data: bytes) -> None:
        """Appends ``data``. A full disk loses it, and nothing else."""
        self._recent = (self._recent + data[-_RECENT_BYTES:])[-_RECENT_BYTES:]
        with contextlib.suppress(OSError):
            self._size += os.write(self._descriptor, data)
            if self._size >= 3 * self._half:
                self._compact()

    def close(self) -> None:
        """Cuts the file to its bound and closes it."""
        with contextlib.suppress(OSError):
            if self._size > 2 * self._half:
                self._compact()
        os.close(self._descriptor)

    def last_lines(self, lines: int = 20) -> str:
        """The last lines written, of at most 8 KiB."""
        text = self._recent.decode("utf-8", "replace").rstrip()
        return "\n".join(text.splitlines()[-lines:])

    def _compact(self) -> None:
        keep = self._half - _MARKER_BYTES
        tail = os.pread(self._descriptor, keep, self._size - keep)
        self._dropped += self._size - self._half - self._marker - keep
        marker = f"\n[… {self._dropped} bytes left out …]\n".encode()
        os.ftruncate(self._descriptor, self._half)
        self._size = self._half
        self._marker = len(marker)
        self._size += os.write(self._descriptor, marker)
        self._size += os.write(self._descriptor, tail)


class Stream:
    """One pipe from a job and the log that it ends in.

    Attributes:
        reader: the end that this process reads, without blocking.
        writer: the end for the job; ``None`` once given away.
    """

    def __init__(self, path: Path) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.log = BoundedLog(path)

    def pump(self) -> bool:
        """Moves what is there, at most one chunk; ``False`` when the last writer has gone."""
        try:
            data = os.read(self.reader, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        self.log.write(data)
        return True

    def drain(self) -> None:
        """Takes what is left in the pipe, without waiting for anybody to close it."""
        left = _DRAIN_BYTES
        while left > 0:
            try:
                data = os.read(self.reader, _CHUNK_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            self.log.write(data)
            left -= len(data)

    def close(self) -> None:
        """Closes pipe and log."""
        os.close(self.reader)
        self.log.close()
