"""A data file as bytes: found, safe to open, decompressed."""

from __future__ import annotations

import bz2
import difflib
import errno
import gzip
import io
import lzma
import os
import stat
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

from ml_runner import bounds, errors

# What is looked at before a file is parsed; a file that fits is never read a second time.
HEAD_BYTES = 64 * 1024
# A line longer than this is no table row.
LONGEST_LINE_BYTES = 64 * 1024 * 1024

_COMPRESSIONS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),  # followed by a digit and the magic number of a block
    (b"\xfd7zXZ\x00", "xz"),
)


def fault(path: Path, message: str, *, solution: str, **metadata: Any) -> errors.DataLoadingError:
    """The error for something wrong with the data in ``path``; its metadata name the file."""
    return errors.DataLoadingError(
        message, solution=solution, metadata={"file": str(path), **metadata}
    )


class Source:
    """A regular file that can be read, with its first bytes.

    Args:
        path: absolute path; links are followed.

    Attributes:
        size: bytes on disk.
        compression: ``"gzip"``, ``"bz2"``, ``"xz"``, ``"zip"`` or ``None``, told by content.
        head: the first bytes, decompressed: 64 KiB, or more where the first two lines need more.
        complete: ``head`` is the whole content.

    Raises:
        DataLoadingError: nothing is there (near names are listed), a directory, a FIFO, socket or
            device (never opened), no permission, an empty file, a broken compressed file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        status = _status(path)
        _refuse_unless_file(path, status)
        self.size = status.st_size
        if self.size == 0:
            raise empty(path)
        self.compression: str | None = None
        with self._open_raw() as file:
            start = file.read(HEAD_BYTES)
        for magic, name in _COMPRESSIONS:
            if start.startswith(magic) and (name != "bz2" or start[4:10] == b"1AY&SY"):
                self.compression = name
        if start.startswith(b"PK\x03\x04"):
            with self._open_raw() as file:
                if _zipped_table(file) is not None:
                    self.compression = "zip"
        self.head, self.complete = start, len(start) >= self.size
        if self.compression is not None:
            self._read_head(HEAD_BYTES)

    def open(self) -> BinaryIO:
        """Opens the content for reading, decompressed. The caller closes it."""
        raw = self._open_raw()
        if self.compression == "gzip":
            return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        if self.compression == "bz2":
            return cast(BinaryIO, bz2.BZ2File(raw))
        if self.compression == "xz":
            return cast(BinaryIO, lzma.LZMAFile(raw))
        if self.compression == "zip":
            archive = zipfile.ZipFile(raw)
            return cast(BinaryIO, archive.open(_zipped_table(raw) or ""))
        return raw

    def content(self) -> BinaryIO:
        """The content for a parser: from memory where all of it has been read already."""
        return io.BytesIO(self.head) if self.complete else self.open()

    def read_two_lines(self) -> None:
        """Makes ``head`` long enough to hold the first two lines, however wide the table is."""
        while not self.complete and self.head.count(b"\n", 0, len(self.head) - 2) < 2:
            if len(self.head) >= LONGEST_LINE_BYTES or b"\r" in self.head[:-2]:
                return
            self._read_head(4 * len(self.head))

    def tail(self, count: int) -> bytes:
        """The last bytes of the file as it is on disk."""
        with self._open_raw() as file:
            file.seek(max(0, self.size - count))
            return file.read(count)

    def broken(self, error: Exception) -> errors.DataLoadingError:
        """The error for content that the decompressor cannot read."""
        return fault(
            self.path,
            f"'{self.path}' is a broken {self.compression} file: {error}",
            solution="Copy or download the file again; it is cut off or damaged.",
            format=self.compression,
        )

    def _read_head(self, count: int) -> None:
        try:
            with self.open() as file:
                # A decompressor may give less than asked for before the end.
                data = bytearray()
                while len(data) <= count and (piece := file.read(count + 1 - len(data))):
                    data += piece
        except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
            raise self.broken(error) from error
        self.complete = len(data) <= count
        self.head = bytes(data[:count])
        if not self.head:
            raise empty(self.path)

    def _open_raw(self) -> BinaryIO:
        # Without O_NONBLOCK a FIFO put there since the check would block for ever.
        try:
            descriptor = bounds.open_file(self.path)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        file = os.fdopen(descriptor, "rb")
        try:
            _refuse_unless_file(self.path, os.fstat(descriptor))
        except errors.DataLoadingError:
            file.close()
            raise
        return file


def empty(path: Path) -> errors.DataLoadingError:
    """The error for a file without content."""
    return fault(
        path,
        f"'{path}' is empty",
        solution="Write the table into it, or name another file.",
        rows=0,
    )


def _status(path: Path) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise _missing(path) from error
        raise _unreadable(path, error) from error


def _missing(path: Path) -> errors.DataLoadingError:
    if path.is_symlink():
        target = os.readlink(path)
        return fault(
            path,
            f"'{path}' is a link to '{target}', which does not exist",
            solution="Mend the link, or name the file itself.",
        )
    parent = path.parent
    if not parent.is_dir():
        ancestor = next(p for p in parent.parents if p.is_dir())
        return fault(
            path,
            f"'{path}' does not exist; nor does its directory (there is '{ancestor}')",
            solution="Check the path; relative paths are taken from the server's root.",
        )
    try:
        names = sorted(name for name in os.listdir(parent) if not name.startswith("."))
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    near += [n for n in names if n not in near and n.split(".")[0] == path.stem][:3]
    if near:
        solution = "Did you mean " + " or ".join(f"'{parent / name}'" for name in near) + "?"
    elif names:
        solution = f"'{parent}' holds: {some(names, 10)}. Name one of them."
    else:
        solution = f"'{parent}' is empty; check the path."
    return fault(path, f"'{path}' does not exist", solution=solution, near=near)


def _unreadable(path: Path, error: OSError) -> errors.DataLoadingError:
    if isinstance(error, PermissionError):
        solution = f"Allow this user (uid {os.geteuid()}) to read it, or copy it elsewhere."
    else:
        solution = "Check the path."
    return fault(path, f"'{path}' cannot be read: {error.strerror}", solution=solution)


def _refuse_unless_file(path: Path, status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        try:
            names = sorted(name for name in os.listdir(path) if not name.startswith("."))
        except OSError:
            names = []
        holds = f"it holds: {some(names, 10)}" if names else "it is empty"
        raise fault(
            path,
            f"'{path}' is a directory, not a table; {holds}",
            solution="Name a file: CSV, TSV, Parquet, Feather, JSON, JSON Lines, NPY or NPZ.",
        )
    kinds = (
        (stat.S_ISFIFO, "a FIFO (named pipe)"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISSOCK, "a socket"),
    )
    kind = next((name for test, name in kinds if test(mode)), "no regular file")
    raise fault(
        path,
        f"'{path}' is {kind}, which is not read",
        solution="Write the data into a regular file and name that.",
    )


def _zipped_table(file: BinaryIO) -> str | None:
    """The only member of a zip archive that is neither NPZ nor an office document."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/") and "__MACOSX" not in n]
    except (OSError, zipfile.BadZipFile):
        return None
    if len(names) == 1 and not names[0].endswith((".npy", ".xml", ".pkl")):
        return names[0]
    return None


def some(names: list[str], count: int) -> str:
    """The first ``count`` names, each quoted, and how many more there are."""
    shown = ", ".join(f"'{_short(name)}'" for name in names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:57] + "…"
