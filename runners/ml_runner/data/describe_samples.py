"""What ``describe`` says of images and of arrays that are no table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ml_runner import errors
from ml_runner.data import bounded
from ml_runner.data.profile import clip
from ml_runner.data.samples import array_files, decoding, folders
from ml_runner.data.samples.base import Roots
from ml_runner.data.samples.images import spread
from ml_runner.data.source import Source

# So many headers are read of a large folder.
_HEADERS = 1000
_NAME_CHARACTERS = 80


def images(path: Path, sent: str, *, roots: Roots) -> dict[str, Any]:
    """Describes an image, or a folder of them, within 2 KB.

    Returns:
        ``path``, ``kind`` (``"images"``), ``layout`` (``"file"``, ``"flat"``, ``"classes"`` or
        ``"parts"``), ``images`` (their number), ``parts`` (images by part), ``classes`` (images by
        class, or by class and part), ``sizes``, ``modes``, ``formats`` (images by each, the most
        frequent first; of ``headersRead`` where those are not all), ``unreadable`` (file → why),
        ``warnings``; ``truncated`` where lists were cut.

    Raises:
        DataLoadingError: no images.
        InvalidConfiguration: a link that leads out of the roots.
        FrameworkNotFound: Pillow is not installed.
    """
    decoding.pillow()
    warnings: list[str] = []
    if path.is_dir():
        facts, files = _folder(path, roots, warnings)
    else:
        Source(path)
        facts, files = {"layout": "file"}, [path]
    sizes: Counter[str] = Counter()
    modes: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    unreadable: dict[str, str] = {}
    chosen = [files[place] for place in spread(len(files), _HEADERS)]
    for file in chosen:
        try:
            header = decoding.header(file)
        except errors.DataLoadingError as error:
            name = file.name if file == path else str(file.relative_to(path))
            unreadable[clip(name, _NAME_CHARACTERS)] = clip(error.message.split("' ", 1)[-1], 120)
            continue
        sizes[f"{header.size[0]} x {header.size[1]}"] += 1
        modes[header.mode] += 1
        formats[header.format] += 1
    answer: dict[str, Any] = {
        "path": clip(sent, 300),
        "kind": "images",
        **facts,
        "sizes": dict(sizes.most_common()),
        "modes": dict(modes.most_common()),
        "formats": dict(formats.most_common()),
        "unreadable": unreadable,
        "warnings": [clip(text, 240) for text in warnings[:4]],
    }
    if len(chosen) < len(files):
        answer["headersRead"] = len(chosen)
    return bounded.cut_lists(answer, ("classes", "sizes", "unreadable", "modes", "formats"))


def arrays(path: Path, sent: str) -> dict[str, Any]:
    """Describes an NPZ or NPY file by its arrays' headers, within 2 KB.

    Returns:
        ``path``, ``kind`` (``"arrays"``), ``format``, ``arrays`` (name → ``shape`` and ``dtype``),
        ``warnings``; ``truncated`` where arrays were left out.

    Raises:
        DataLoadingError: a damaged file.
    """
    found = array_files.headers(path)
    objects = [name for name, header in found.items() if header.dtype.hasobject]
    warnings = [f"'{clip(name, 60)}' holds Python objects, which are not read" for name in objects]
    answer: dict[str, Any] = {
        "path": clip(sent, 300),
        "kind": "arrays",
        "format": path.suffix.lower().lstrip("."),
        "arrays": {
            clip(name, _NAME_CHARACTERS): {
                "shape": list(header.shape),
                "dtype": str(header.dtype),
            }
            for name, header in found.items()
        },
        "warnings": warnings[:3],
    }
    return bounded.cut_lists(answer, ("arrays",))


def holds_no_table(path: Path) -> bool:
    """Whether a file is NPZ or NPY and has an array of more dimensions than a table."""
    if path.suffix.lower() not in (".npz", ".npy") or not path.is_file():
        return False
    try:
        return any(len(header.shape) > 2 for header in array_files.headers(path).values())
    except errors.DataLoadingError:
        return False


def is_archive(path: Path) -> bool:
    """Whether a file is an NPZ whose headers can be read."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        return bool(array_files.headers(path))
    except errors.DataLoadingError:
        return False


def is_image(path: Path) -> bool:
    """Whether a path is an image file."""
    return path.is_file() and folders.is_image(str(path), path.name)


def _folder(path: Path, roots: Roots, warnings: list[str]) -> tuple[dict[str, Any], list[Path]]:
    parts = folders.parts(path, roots=roots, warn=warnings.append)
    found = {
        part: folders.class_folders(folder, roots=roots)
        for part, folder in (parts or {"": path}).items()
    }
    files = [one.root / name for one in found.values() for name in one.names]
    loose = [one.root / name for one in found.values() for name in one.stray]
    if not files and not loose:
        raise folders.nothing_in(path, roots)
    if not files:
        for one in found.values():
            folders.warn_of_skipped(one.root, one.skipped, warnings.append)
        return {"layout": "flat", "images": len(loose)}, loose
    for one in found.values():
        folders.warn_of(one, warnings.append)
    counts = {part: one.counts() for part, one in found.items()}
    facts: dict[str, Any] = {"layout": "parts" if parts else "classes", "images": len(files)}
    if not parts:
        return {**facts, "classes": _clipped(counts[""])}, files
    facts["parts"] = {part: len(one.names) for part, one in found.items()}
    names = sorted({name for count in counts.values() for name in count})
    by_part = {name: {part: count.get(name, 0) for part, count in counts.items()} for name in names}
    return {**facts, "classes": _clipped(by_part)}, files


def _clipped(counts: dict[str, Any]) -> dict[str, Any]:
    return {clip(name, _NAME_CHARACTERS): value for name, value in counts.items()}
