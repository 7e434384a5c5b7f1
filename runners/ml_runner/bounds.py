"""The directories that the job of this process may use, kept to when a file is opened.

``paths.resolve`` refuses a path that leads outside. What lies at a path may change after that: here
each part of it is opened by itself, links resolved before and followed no more, so that nobody can
put a link in the way between the check and the use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ml_runner import errors

# Opens a directory that may be entered and not listed too.
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC

_roots: list[Path] | None = None


def bind(roots: Sequence[str | os.PathLike[str]] | None, *own: Path) -> None:
    """From now on this process opens what lies in ``roots``, and in ``own``, and nothing else.

    Args:
        roots: directories; ``None``: no bound.
        own: further ones, the job's own directory for one.
    """
    global _roots
    _roots = None
    if roots is not None:
        _roots = [Path(os.path.realpath(root)) for root in [*roots, *own]]


def current() -> list[Path] | None:
    """What this process is bound to, for ``bind`` in another one of the same job."""
    return None if _roots is None else list(_roots)


@contextlib.contextmanager
def bound(roots: Sequence[str | os.PathLike[str]] | None) -> Generator[None, None, None]:
    """``bind`` for a while; afterwards there is no bound."""
    bind(roots)
    try:
        yield
    finally:
        bind(None)


def outside(
    path: Path, roots: Sequence[str | os.PathLike[str]], **said: object
) -> errors.InvalidConfiguration:
    """The error for a path outside the roots.

    Args:
        path: absolute.
        roots: that are allowed.
        said: ``key`` and ``sent``, where they are known.
    """
    names = [str(root) for root in roots]
    if names:
        solution = "Use a path inside one of: " + ", ".join(names) + "."
    else:
        solution = (
            "There is none: the directories of --root and those that the client names as its roots"
            " have nothing in common. Start the server with another --root, or open another folder."
        )
    what = f"{said['key']} " if "key" in said else ""
    return errors.InvalidConfiguration(
        f"{what}'{path}' is outside the directories that this server may use",
        solution=solution,
        metadata={**said, "path": str(path), "allowed": names},
    )


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """``os.open`` within the bound; never blocks on a FIFO. Returns the descriptor.

    Raises:
        InvalidConfiguration: it leads outside, or was changed while it was being opened.
        OSError: as ``os.open``.
    """
    flags |= os.O_NONBLOCK | os.O_CLOEXEC
    if _roots is None:
        return os.open(path, flags)
    real = Path(os.path.realpath(path))
    with directory(path, real.parent) as parent:
        return _open_part(path, real.name, flags, parent)


def read_bytes(path: Path) -> bytes:
    """The content of a regular file within the bound.

    Raises:
        InvalidConfiguration: as ``open_file``.
        OSError: as ``os.open``, and for what is no regular file (``EINVAL``).
    """
    with open_regular(path) as file:
        return file.read()


def open_regular(path: Path) -> BinaryIO:
    """A regular file within the bound, opened for reading; the caller closes it.

    Raises:
        InvalidConfiguration: as ``open_file``.
        OSError: as ``os.open``, and for what is no regular file (``EINVAL``).
    """
    descriptor = open_file(path)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


@contextlib.contextmanager
def scan(path: Path) -> Generator[Iterator[os.DirEntry[str]], None, None]:
    """The entries of a directory within the bound; ``path`` of each is its name alone.

    Raises:
        InvalidConfiguration: as ``open_file``.
        OSError: as ``os.open``.
    """
    with directory(path) as above:
        # The other descriptor can be entered, and not listed.
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=above)
    try:
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def directory(path: Path, real: Path | None = None) -> Generator[int, None, None]:
    """A descriptor of a directory within the bound.

    Args:
        path: of the directory, as it is called in an error.
        real: the same, links resolved, where that has been done.
    """
    descriptor = _open_directory(path, Path(os.path.realpath(path)) if real is None else real)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Makes a directory and what lies above it, within the bound.

    Raises:
        InvalidConfiguration: as ``open_file``.
        OSError: as ``os.mkdir``.
    """
    if _roots is None:
        path.mkdir(parents=True, exist_ok=True)
        return
    os.close(_open_directory(path, Path(os.path.realpath(path)), make=True))


def _open_directory(path: Path, real: Path, *, make: bool = False) -> int:
    if _roots is None:
        return os.open(path, _DIRECTORY)
    root = next((root for root in _roots if real == root or root in real.parents), None)
    if root is None:
        raise outside(path, _roots)
    descriptor = os.open(root, _DIRECTORY)
    for part in real.relative_to(root).parts:
        above = descriptor
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=above)
            descriptor = _open_part(path, part, _DIRECTORY, above)
        finally:
            os.close(above)
    return descriptor


def _open_part(path: Path, name: str, flags: int, above: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=above)
    except OSError as error:
        # Links were resolved just now: one that is here has been put here since.
        if error.errno == errno.ELOOP or _is_link(name, above):
            raise outside(path, _roots or []) from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def _is_link(name: str, above: int) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    return False
