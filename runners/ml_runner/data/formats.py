"""Which format a file has: by its content first, by its name where content leaves it open."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from ml_runner.data.source import Source, fault, some
from ml_runner.errors import DataLoadingError

READABLE = "CSV, TSV, Parquet, Feather, JSON, JSON Lines, NPY or NPZ"
NAMES = {
    "csv": "CSV",
    "tsv": "TSV",
    "parquet": "Parquet",
    "feather": "Feather/Arrow",
    "arrow": "an Arrow stream",
    "json": "JSON",
    "jsonl": "JSON Lines",
    "npy": "NPY",
    "npz": "NPZ",
}

_BY_SUFFIX = {
    ".csv": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".data": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".arrows": "arrow",
    ".ipc": "feather",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npy": "npy",
    ".npz": "npz",
}

# Magic numbers of what is often handed over by mistake, longest first where one begins another.
_NOT_TABLES = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"%PDF-", "a PDF document"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (such as .xls)"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program (ELF)"),
    (b"Obj\x01", "an Avro file"),
    (b"version https://git-lfs.github.com/", "a Git LFS pointer, not the data itself"),
)
_SOLUTIONS = {
    "an old Office document (such as .xls)": "Save the sheet as CSV and name that file.",
    "a Git LFS pointer, not the data itself": "Fetch the data with: git lfs pull",
    "a Zstandard archive": "Unpack it first: zstd -d FILE",
}


def detect(source: Source, warn: Callable[[str], None]) -> str:
    """The format of a source: a key of ``NAMES``.

    Warns where content and name disagree and the content can be read.

    Raises:
        DataLoadingError: something else than a table; the message says what it is.
    """
    named = _BY_SUFFIX.get(_suffix(source.path))
    found = _by_magic(source)
    if found is None:
        found = _by_text(source, named)
    if named is not None and found != named and {found, named} != {"csv", "tsv"}:
        warn(
            f"'{source.path}' is named {_suffix(source.path)} but holds {NAMES[found]}; "
            f"read as {NAMES[found]}"
        )
    return found


def _suffix(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2", ".xz", ".zip"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _by_magic(source: Source) -> str | None:
    head, path = source.head, source.path
    for magic, what in _NOT_TABLES:
        if head.startswith(magic):
            raise _no_table(path, what)
    if head.startswith(b"RIFF") and head[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        kinds = {b"WEBP": "a WebP image", b"WAVE": "a WAV recording", b"AVI ": "a video"}
        raise _no_table(path, kinds[head[8:12]])
    if head.startswith(b"ORC") and not _is_text(head):
        raise _no_table(path, "an ORC file")
    if head.startswith(b"BM") and b"\x00" in head[2:14]:
        raise _no_table(path, "a BMP image")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"FEA1")):
        return "feather"
    if head.startswith(b"\xff\xff\xff\xff") and head[6:8] == b"\x00\x00":
        return "arrow"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(source)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and source.tail(1) == b".":
        raise _no_table(path, "a Python pickle, which could run code")
    return None


def _zip(source: Source) -> str:
    path = source.path
    try:
        with source.content() as file, zipfile.ZipFile(io.BufferedReader(file)) as archive:  # type: ignore[arg-type]
            names = [n for n in archive.namelist() if not n.endswith("/")]
    except zipfile.BadZipFile as error:
        raise fault(
            path,
            f"'{path}' is a broken zip or NPZ file: {error}",
            solution="Copy or download the file again; it is cut off or damaged.",
            format="zip",
        ) from error
    if names and all(n.endswith(".npy") for n in names):
        return "npz"
    if any(n.startswith("xl/") for n in names):
        raise _no_table(path, "an Excel workbook", "Save the sheet as CSV and name that file.")
    raise _no_table(
        path, f"a zip archive of {some(names, 5)}", "Unpack it and name one of its files."
    )


def _by_text(source: Source, named: str | None) -> str:
    head, path = source.head, source.path
    if named in ("npy", "npz", "parquet", "feather", "arrow") and not _is_text(head):
        raise fault(
            path,
            f"'{path}' is named {_suffix(path)} but does not hold {NAMES[named]}: it begins with "
            f"{head[:8]!r}",
            solution="Write it again, or copy it again; it is damaged or something else.",
            format=named,
        )
    if not _is_text(head):
        raise _no_table(path, f"binary data of an unknown kind (it begins with {head[:8]!r})")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        raise _no_table(
            path, "a web page (HTML)", "Download the file itself; a log-in page is often saved."
        )
    if start.startswith(b"<?xml"):
        raise _no_table(path, "an XML document")
    if start[:1] in (b"{", b"["):
        return _json_or_csv(source, named)
    if named in ("json", "jsonl"):
        return named
    return "tsv" if named == "tsv" else "csv"


def _json_or_csv(source: Source, named: str | None) -> str:
    if named == "jsonl":
        return "jsonl"
    text = source.head.decode("utf-8-sig", errors="replace").lstrip()
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        # Cut off by the end of what was read, or broken: the name decides, and its parser tells.
        return "csv" if named in ("csv", "tsv") else "json"
    rest = text[end:].lstrip()
    if isinstance(value, dict) and "\n" not in text[:end].strip():
        scalar = not any(isinstance(v, list | dict) for v in value.values())
        if rest.startswith("{") or (not rest and scalar):
            return "jsonl"
    if rest and named in ("csv", "tsv"):
        return "csv"
    return "json"


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    sample = head[:4096]
    if b"\x00" in sample:
        return utf16_without_mark(sample) is not None
    # Control characters other than tab, line ends, form feed and escape.
    odd = sum(sample.count(bytes([c])) for c in (*range(1, 9), *range(14, 27), *range(28, 32)))
    return odd <= len(sample) // 100


def utf16_without_mark(sample: bytes) -> str | None:
    """``"utf-16-le"`` or ``"utf-16-be"`` where every other byte is nearly always 0, else None."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(1, len(sample) // 2)
    if odd > 0.7 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def _no_table(path: Path, what: str, solution: str | None = None) -> DataLoadingError:
    return fault(
        path,
        f"'{path}' is {what}; a table is expected",
        solution=solution or _SOLUTIONS.get(what) or f"Name a table: {READABLE}.",
        found=what,
    )
