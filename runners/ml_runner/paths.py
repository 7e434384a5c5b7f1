"""What the caller means by a path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ml_runner import bounds, errors


def resolve(
    value: str,
    *,
    key: str,
    base_dir: str | os.PathLike[str],
    roots: Sequence[str | os.PathLike[str]] | None,
) -> Path:
    """The absolute path that the caller means by ``value`` (of the parameter ``key``).

    Links are kept as they are. The path need not exist.

    Args:
        value: as sent; relative ones are taken from ``base_dir``, ``~`` is the user's home.
        key: the parameter's name, for the error.
        base_dir: absolute directory.
        roots: the directories that may be used, or ``None`` for no bound.

    Raises:
        InvalidConfiguration: an empty path, a relative one where there is no base (``/``), one
            that no file can have, or one outside the roots, links resolved.
    """
    if not value or "\0" in value:
        raise errors.InvalidConfiguration(
            f"{key} {value!r} is not a path",
            solution=f"Send the path of a file or directory as {key}.",
            metadata={"key": key, "sent": value},
        )
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise errors.InvalidConfiguration(
            f"{key} '{value}' names a home directory that cannot be found",
            solution="Send an absolute path.",
            metadata={"key": key, "sent": value},
        ) from error
    if not path.is_absolute():
        if str(base_dir) == "/":
            raise errors.InvalidConfiguration(
                f"{key} is the relative path '{value}', and this server was started in '/'",
                solution="Send an absolute path, or start the server with --root DIR.",
                metadata={"key": key, "sent": value},
            )
        path = base_dir / path
    path = Path(os.path.normpath(path))
    # The system's limits: beyond them every look at the path would raise.
    if len(os.fsencode(path)) >= 4096 or any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise errors.InvalidConfiguration(
            f"{key} '{value[:60]}…' is longer than a path can be",
            solution="A name has at most 255 bytes, a whole path 4095.",
            metadata={"key": key, "sent": f"{value[:200]}…"},
        )
    if roots is not None:
        real = Path(os.path.realpath(path))
        allowed = [Path(os.path.realpath(root)) for root in roots]
        if not any(real == root or root in real.parents for root in allowed):
            raise bounds.outside(path, roots, key=key, sent=value)
    return path
