"""Which images a path means, and their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml_runner import errors, paths
from ml_runner.data import columns, read_asked, roles
from ml_runner.data.choose import no_such_column
from ml_runner.data.samples import folders
from ml_runner.data.samples.base import Roots, Warn
from ml_runner.data.samples.images import ImageOptions, ImageSamples
from ml_runner.data.samples.table import plain_array
from ml_runner.data.source import Source, fault


@dataclass
class ImageFiles:
    """Files and their labels, before it is known how they are decoded.

    Attributes:
        source: what the caller named.
        root: absolute directory that ``names`` are relative to.
        names: (n,) files.
        targets: (n,) labels or numbers, or None.
    """

    source: Path
    root: Path
    names: list[str]
    targets: np.ndarray | None

    def samples(self, options: ImageOptions) -> ImageSamples:
        """As samples that are decoded so."""
        return ImageSamples(self.root, self.names, self.targets, options, source=self.source)


def labelled(
    path: Path, config: Mapping[str, Any], *, roots: Roots, warn: Warn
) -> dict[str, ImageFiles]:
    """The images of a training, by part: ``train`` and, where there are any, the others.

    A folder with a folder for each class; or with ``train``, ``val`` (``valid``, ``validation``)
    and ``test`` of those; or a table with ``pathColumn`` and ``targetColumn``. The classes are the
    folders' names, sorted as text.

    Raises:
        InvalidConfiguration: a column that is not there.
        DataLoadingError: no images, no class folders, a class in another part that training does
            not have.
    """
    if config.get("pathColumn") is not None:
        return {"train": _of_table(path, config, roots=roots, warn=warn)}
    if not path.is_dir():
        raise no_labels(path)
    found = folders.labelled(path, no_labels, roots=roots, warn=warn, kind=folders.IMAGES)
    return {
        part: ImageFiles(one.root, one.root, one.names, one.targets())
        for part, one in found.items()
    }


def unlabelled(path: Path, config: Mapping[str, Any], *, roots: Roots, warn: Warn) -> ImageFiles:
    """Images to predict: one file, all below a folder, or those of a table with ``pathColumn``.

    Raises:
        InvalidConfiguration: a column that is not there.
        DataLoadingError: no images.
    """
    if config.get("pathColumn") is not None:
        return _of_table(path, {**config, "targetColumn": None}, roots=roots, warn=warn)
    if not path.is_dir():
        Source(path)  # says what is wrong with a path that is no file
        return ImageFiles(path, path.parent, [path.name], None)
    listing = folders.list_files(path, roots=roots)
    if not listing.names:
        raise folders.nothing_in(path, roots)
    folders.warn_of_skipped(path, listing.skipped, warn)
    return ImageFiles(path, path, listing.names, None)


def no_labels(path: Path) -> errors.DataLoadingError:
    """The error for images whose labels nothing says."""
    return fault(
        path,
        f"'{path}' holds images, and nothing says their classes",
        solution="Put the images of each class into a folder of its name, or name a table of image"
        " files with config.pathColumn and config.targetColumn.",
    )


def _of_table(path: Path, config: Mapping[str, Any], *, roots: Roots, warn: Warn) -> ImageFiles:
    """Images named in a column, relative to the table's own folder."""
    table = read_asked(path, config, warn)
    known = list(table.frame.columns)
    target = config.get("targetColumn")
    for key in ("pathColumn", "targetColumn"):
        if config.get(key) is not None and config[key] not in known:
            raise no_such_column(path, key, config[key], known)
    files = table.text_of(config["pathColumn"])
    columns.refuse_missing(table, files, "pathColumn", "Fill in these paths, or drop the rows.")
    names = [str(name) for name in files.tolist()]
    if roots is not None:
        for name in names:
            paths.resolve(name, key="pathColumn", base_dir=path.parent, roots=roots)
    absent = next(
        (row for row, name in enumerate(names) if not (path.parent / name).exists()), None
    )
    if absent is not None:
        words, place = table.locate(absent)
        raise fault(
            path,
            f"'{path.parent / names[absent]}', named in {words} of '{path}', does not exist",
            solution="Paths in a table are relative to the table's own folder; mend the path.",
            column=config["pathColumn"],
            **place,
        )
    targets = None if target is None else plain_array(roles.target(table, target))
    return ImageFiles(path, path.parent, names, targets)
