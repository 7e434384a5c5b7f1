"""Folders of images or texts: which files they hold, what the folders' names say of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ml_runner import bounds, paths
from ml_runner.data.samples.base import PART_NAMES, Roots, Warn
from ml_runner.data.source import fault, some

_ENDINGS = "jpg jpeg jpe jfif png bmp dib gif tif tiff webp ppm pgm pbm pnm avif jp2 ico tga"
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())
# Of images whose names do not say it. (Not BMP's "BM", with which text may begin.)
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True)
class FileKind:
    """What is looked for in folders.

    Attributes:
        accepts: (path, name) → whether a file is one of these.
        one: a single one, in words.
        several: more of them.
        instead: what else the caller may name, for messages.
    """

    accepts: Callable[[str, str], bool]
    one: str
    several: str
    instead: str


@dataclass
class Listing:
    """The files of one kind below one folder.

    Attributes:
        root: absolute.
        names: paths relative to ``root``, with ``/``; sorted as a walk goes: a folder's own files,
            then its folders'.
        skipped: files of another kind, relative to ``root``.
    """

    root: Path
    names: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass
class ClassFolders:
    """A folder with a folder for each class.

    Attributes:
        root: absolute.
        kind: of the files.
        classes: names of the folders that hold such files, sorted.
        names: the files, relative to ``root``, class by class.
        labels: position among ``classes`` of each.
        empty: class folders without such files.
        stray: such files beside the class folders.
        skipped: files of another kind.
    """

    root: Path
    kind: FileKind
    classes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Files by class, empty folders included, sorted."""
        counts = dict.fromkeys(sorted([*self.classes, *self.empty]), 0)
        for label in self.labels:
            counts[self.classes[label]] += 1
        return counts

    def targets(self) -> np.ndarray:
        """(n,) the name of each file's class."""
        return np.asarray(self.classes)[np.asarray(self.labels)]


def is_image(path: str, name: str) -> bool:
    """Whether a file is an image by its name's end or, where that says nothing, its first bytes."""
    if os.path.splitext(name)[1].lower() in SUFFIXES:
        return True
    try:
        with bounds.open_regular(Path(path)) as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(_MAGIC) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def is_text(_path: str, name: str) -> bool:
    """Whether a file is a text by its name's end."""
    return os.path.splitext(name)[1].lower() == ".txt"


IMAGES = FileKind(is_image, "image", "images", "a table, NPY or NPZ")
TEXTS = FileKind(is_text, "text file", "text files (.txt)", "a table with a column of texts")


def list_files(root: Path, *, roots: Roots, kind: FileKind = IMAGES) -> Listing:
    """All files of a kind below a folder; links are followed within the roots, each folder once.

    Hidden files and folders are left out, as are Windows' and macOS's own files.

    Raises:
        DataLoadingError: a folder that cannot be listed, or is inside itself by a link.
        InvalidConfiguration: a link that leads out of the roots.
    """
    listing = Listing(root)
    _walk(listing, kind, root, "", roots, (os.path.realpath(root),))
    return listing


def class_folders(root: Path, *, roots: Roots, kind: FileKind = IMAGES) -> ClassFolders:
    """The classes of a folder and their files. Raises as ``list_files``."""
    found = ClassFolders(root, kind)
    folders, files, odd = _entries(root, roots)
    found.skipped += odd
    for name in files:
        target = found.stray if kind.accepts(f"{root}/{name}", name) else found.skipped
        target.append(name)
    for folder in folders:
        listing = list_files(root / folder, roots=roots, kind=kind)
        found.skipped += [f"{folder}/{name}" for name in listing.skipped]
        if not listing.names:
            found.empty.append(folder)
            continue
        found.labels += [len(found.classes)] * len(listing.names)
        found.classes.append(folder)
        found.names += [f"{folder}/{name}" for name in listing.names]
    return found


def parts(root: Path, *, roots: Roots, warn: Warn | None = None) -> dict[str, Path]:
    """The folders for training, validation and test, where that is what ``root`` holds.

    That is so where ``train`` stands beside another part, or alone. (Beside other names it may be
    a class: a folder of vehicles.)

    Returns:
        ``{"train": …, "validation": …, "test": …}`` as far as they are there; empty for a folder
        whose folders are classes.

    Raises:
        DataLoadingError: two folders for the same part, such as ``val`` and ``valid``.
    """
    folders, _, _ = _entries(root, roots)
    named = [name for name in folders if name.lower() in PART_NAMES]
    others = [name for name in folders if name not in named]
    if "train" not in map(_part, named) or (others and len(named) == 1):
        return {}
    if others and warn is not None:
        warn(f"'{root}': {some(others, 5)} beside the folders of the parts left out")
    result: dict[str, Path] = {}
    for name in named:
        part = _part(name)
        if part in result:
            raise fault(
                root,
                f"'{root}' has two folders for {part}: '{result[part].name}' and '{name}'",
                solution="Leave one of them, or name the folder itself.",
            )
        result[part] = root / name
    # Training first: its classes are what the others are held to.
    return {part: result[part] for part in ("train", "validation", "test") if part in result}


def labelled(
    root: Path,
    no_labels: Callable[[Path], Exception],
    *,
    roots: Roots,
    warn: Warn,
    kind: FileKind,
) -> dict[str, ClassFolders]:
    """The files of a training, by part: ``train`` and, where there are any, the others.

    Args:
        root: a folder with a folder for each class, or with ``train``, ``val`` and ``test`` of
            those.
        no_labels: makes the error for a folder whose files lie in no class folder.
        roots: directories that may be read, or None.
        warn: gets what the caller may not expect.
        kind: of the files.

    Raises:
        DataLoadingError: no such files, no class folders, a class in another part that training
            does not have.
    """
    found_parts = parts(root, roots=roots, warn=warn) or {"train": root}
    result: dict[str, ClassFolders] = {}
    for part, folder in found_parts.items():
        found = class_folders(folder, roots=roots, kind=kind)
        if not found.names:
            raise no_labels(folder) if found.stray else nothing_in(folder, roots, kind)
        warn_of(found, warn)
        result[part] = found
        known = result["train"].classes if "train" in result else found.classes
        unknown = [name for name in found.classes if name not in known]
        if unknown:
            raise fault(
                folder,
                f"'{folder}' has classes that '{found_parts['train']}' has not:"
                f" {some(unknown, 10)}",
                solution=f"Add {kind.several} of these classes to the training folder, or take them"
                " out here.",
                unknown=unknown[:50],
                classes=known[:50],
            )
    return result


def warn_of(found: ClassFolders, warn: Warn) -> None:
    """Tells of what was left out."""
    if found.empty:
        warn(
            f"'{found.root}': no {found.kind.several} in {some(found.empty, 5)}; they are no"
            " classes of this training"
        )
    if found.stray:
        warn(
            f"'{found.root}': {_count(found.stray, found.kind)} beside the class folders left out"
            f" ({some(found.stray, 3)})"
        )
    warn_of_skipped(found.root, found.skipped, warn, found.kind)


def warn_of_skipped(
    root: Path, skipped: Sequence[str], warn: Warn, kind: FileKind = IMAGES
) -> None:
    """Tells of files of another kind, once for all of them."""
    if skipped:
        many = len(skipped) > 1
        what = (
            f"{len(skipped)} files that are no {kind.several}"
            if many
            else f"1 file that is no {kind.one}"
        )
        warn(f"'{root}': {what} left out ({some(list(skipped), 3)})")


def nothing_in(root: Path, roots: Roots, kind: FileKind = IMAGES) -> Exception:
    """The error for a folder without files of a kind; says what is there instead."""
    folders, files, odd = _entries(root, roots)
    files += odd
    if not folders and not files:
        holds = "it is empty"
    else:
        holds = f"it holds {some([*(f'{name}/' for name in folders), *files], 8)}"
    return fault(
        root,
        f"'{root}' is a directory without {kind.several}: {holds}",
        solution=f"Name a folder with a folder of {kind.several} for each class (or with train/,"
        f" val/ and test/ of those), or a file: {kind.instead}.",
    )


def _part(name: str) -> str:
    return PART_NAMES[name.lower()]


def _count(names: Sequence[str], kind: FileKind) -> str:
    return f"{len(names)} {kind.one if len(names) == 1 else kind.several}"


def _walk(
    listing: Listing,
    kind: FileKind,
    folder: Path,
    prefix: str,
    roots: Roots,
    above: tuple[str, ...],
) -> None:
    folders, files, odd = _entries(folder, roots)
    listing.skipped += [prefix + name for name in odd]
    for name in files:
        target = listing.names if kind.accepts(f"{folder}/{name}", name) else listing.skipped
        target.append(prefix + name)
    for name in folders:
        real = os.path.realpath(folder / name)
        if real in above:
            raise fault(
                folder / name,
                f"'{folder / name}' links to '{real}', a folder that it lies in",
                solution="Remove the link.",
            )
        _walk(listing, kind, folder / name, f"{prefix}{name}/", roots, (*above, real))


def _entries(folder: Path, roots: Roots) -> tuple[list[str], list[str], list[str]]:
    """(folders, files, what is neither) in a folder, each sorted; hidden ones are left out.

    A link to nothing counts as a file: whoever reads it says so.
    """
    folders: list[str] = []
    files: list[str] = []
    odd: list[str] = []
    try:
        with bounds.scan(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name.lower() in _SYSTEM:
                    continue
                if roots is not None and entry.is_symlink():
                    paths.resolve(f"{folder}/{name}", key="dataPath", base_dir="/", roots=roots)
                if entry.is_dir():
                    folders.append(name)
                elif entry.is_file() or not os.path.exists(f"{folder}/{name}"):
                    files.append(name)
                else:
                    # A FIFO would block whoever opens it.
                    odd.append(name)
    except OSError as error:
        raise fault(
            folder, f"'{folder}' cannot be listed: {error.strerror}", solution="Check the path."
        ) from error
    return sorted(folders), sorted(files), sorted(odd)


_SYSTEM = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "$recycle.bin"))
