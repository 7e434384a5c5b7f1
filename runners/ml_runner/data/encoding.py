"""Which encoding a text file has."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable

from ml_runner import errors
from ml_runner.data.formats import utf16_without_mark
from ml_runner.data.source import Source, fault

_BLOCK = 1024 * 1024
_MARKED = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
# Bytes that mean nothing in Windows-1252.
_NOT_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
# In Western European text, letters outside ASCII stand alone or in pairs; in Cyrillic, Greek or
# Chinese text of one or two bytes a letter they follow each other.
_FOREIGN_RUN = re.compile(rb"[\x80-\xff]{3,}")
_HIGH = re.compile(rb"[\x80-\xff]")


def check_given(name: str) -> str:
    """The canonical name of an encoding that the caller sent.

    Raises:
        InvalidConfiguration: Python knows no text encoding of that name.
    """
    try:
        info = codecs.lookup(name)
        # codecs.lookup also finds transformations such as rot13 and base64.
        "".encode(name)
    except (LookupError, ValueError) as error:
        raise errors.InvalidConfiguration(
            f"encoding '{name}' is not known",
            solution="Send a name that Python knows, such as utf-8, utf-16, cp1252 or shift_jis, "
            "or leave encoding out to have it detected.",
            metadata={"key": "encoding", "sent": name},
        ) from error
    return info.name


def of(source: Source, given: str | None, warn: Callable[[str], None]) -> str:
    """The encoding of a source, as far as its first bytes tell; says so where it is not UTF-8.

    Raises:
        DataLoadingError: the bytes fit neither UTF-8 nor a Western European code page.
        InvalidConfiguration: the encoding that was given is unknown.
    """
    head = source.head
    if given is not None:
        name = check_given(given)
        if name in ("utf-8", "utf-8-sig"):
            return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"
        if name in _MARKED and not head.startswith(_MARKED[name]):
            raise fault(
                source.path,
                f"'{source.path}' is not {given}: it does not begin with a byte order mark",
                solution=f"Send {name}-le or {name}-be if it is one of those, or leave encoding "
                "out to have it detected.",
                line=1,
                encoding=given,
            )
        if not name.startswith(("utf", "ascii")) and _decodes_as_utf8(head, source.complete):
            warn(
                f"'{source.path}' was read as {given}, as was asked, but its bytes are valid UTF-8"
            )
        return name
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        warn(f"'{source.path}' is UTF-16 (by its byte order mark)")
        return "utf-16"
    if b"\x00" in head[:4096] and (name := utf16_without_mark(head[:4096])):
        warn(f"'{source.path}' was read as {name}, which it seems to be; it has no byte order mark")
        return name
    if _is_utf8(head, source.complete):
        return "utf-8"
    return western(source, warn)


def western(source: Source, warn: Callable[[str], None]) -> str:
    """``"cp1252"``, if the whole source is plausible as that; says so.

    Raises:
        DataLoadingError: it is neither UTF-8 nor Western European text; the line is named.
    """
    high = foreign = 0
    undefined = False
    with source.content() as file:
        while block := file.read(_BLOCK):
            high += len(_HIGH.findall(block))
            foreign += sum(len(run) for run in _FOREIGN_RUN.findall(block))
            undefined = undefined or _NOT_CP1252.search(block) is not None
    line, byte = _first_fault(source, "utf-8")
    if undefined or foreign > 0.3 * high:
        raise fault(
            source.path,
            f"'{source.path}' is not UTF-8 (byte 0x{byte:02X} in line {line}), nor does it look "
            "like Western European text (cp1252)",
            solution="Send its encoding, such as cp1251, gbk, shift_jis, euc-kr or big5, "
            "or save it as UTF-8.",
            line=line,
        )
    warn(
        f"'{source.path}' is not UTF-8 (byte 0x{byte:02X} in line {line}); it was read as cp1252 "
        "(Western European). Send encoding if it is another."
    )
    return "cp1252"


def cannot_decode(source: Source, encoding: str) -> errors.DataLoadingError:
    """The error for bytes that the encoding, which the caller sent, does not have."""
    line, byte = _first_fault(source, encoding)
    return fault(
        source.path,
        f"'{source.path}' is not {encoding}: line {line} cannot be decoded (byte 0x{byte:02X})",
        solution="Leave encoding out to have it detected, or send the one that the file has.",
        line=line,
        encoding=encoding,
    )


def open_text(source: Source, encoding: str) -> io.TextIOWrapper:
    """The source as text, line ends as they are. The caller closes it."""
    return io.TextIOWrapper(source.content(), encoding=encoding, newline="")


def _first_fault(source: Source, encoding: str) -> tuple[int, int]:
    """Line (from 1) and value of the first byte that cannot be decoded; (0, 0) where all can."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 0
    with source.content() as file:
        while True:
            block = file.read(_BLOCK)
            pending = decoder.getstate()[0]
            try:
                lines += decoder.decode(block, final=not block).count("\n")
            except UnicodeDecodeError as error:
                data = pending + block
                before = data[: error.start].decode(encoding, errors="replace")
                value = data[error.start] if error.start < len(data) else 0
                return lines + before.count("\n") + 1, value
            if not block:
                return 0, 0


def _is_utf8(head: bytes, complete: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=complete)
    except UnicodeDecodeError:
        return False
    return True


def _decodes_as_utf8(head: bytes, complete: bool) -> bool:
    return _HIGH.search(head) is not None and _is_utf8(head, complete)


def decode_head(source: Source, encoding: str) -> str:
    """The head of the source as text; a character that its end cuts through is left out.

    Raises:
        DataLoadingError: it is not in this encoding; the line is named.
    """
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        return decoder.decode(source.head, final=source.complete)
    except UnicodeDecodeError as error:
        raise cannot_decode(source, encoding) from error
