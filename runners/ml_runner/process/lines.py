"""JSON objects, one a line, over plain descriptors: the protocol's framing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from ml_runner import files

_CHUNK_BYTES = 65536


class LineReader:
    """Reads messages from a descriptor, which nothing else may read.

    Args:
        descriptor: of a pipe or a connected socket, in blocking mode.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pieces: list[bytes] = []
        self.at_end = False

    def read(self) -> list[dict[str, Any]]:
        """The messages that one read completes; blocks where there is nothing to read.

        Sets ``at_end`` when the other side has closed. Raises ``ValueError`` for what is no JSON
        object.
        """
        data = os.read(self._descriptor, _CHUNK_BYTES)
        if not data:
            self.at_end = True
            return []
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces.clear()
        if rest:
            self._pieces.append(rest)
        return [_message(line) for line in lines if line.strip()]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All messages until the other side closes."""
        while not self.at_end:
            yield from self.read()


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Writes one message whole. Raises ``OSError`` where nobody reads any more."""
    data = files.to_json(message, allow_nan=False) + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


def _message(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError(f"not a message: {line[:100]!r}")
    return value  # pyright: ignore[reportUnknownVariableType]
