"""What the tool ``describe`` says of a path: a table's columns, images, arrays, or a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import bounds, errors, libraries, paths
from ml_runner.data import bounded, describe_model, profile
from ml_runner.data.head import read_head
from ml_runner.training import checkpoints, unfinished

if TYPE_CHECKING:
    from ml_runner.data.table import Table

# Above this size on disk, statistics come from the first rows alone; rows are still counted.
LARGE_BYTES = 64 * 1024 * 1024
SAMPLED_ROWS = 100_000


def describe(params: dict[str, Any], base_dir: str, roots: list[str] | None) -> dict[str, Any]:
    """Describes the data or the model at ``params["path"]`` in at most 2 KB of JSON.

    Args:
        params: ``path``; ``header``, ``separator``, ``encoding`` for a table of text.
        base_dir: absolute; relative paths are taken from it.
        roots: the directories that may be read, or ``None`` for no bound.

    Returns:
        Of a table: ``path`` (as sent), ``format``, ``encoding`` and ``separator`` (text formats),
        ``rows``, ``columns`` (see ``profile.column``), ``warnings``; ``statisticsFromRows`` where
        those are not all rows; ``truncated`` where columns are left out. Of images, and of arrays
        that are no table: see ``describe_samples``. Of a model: see ``describe_model.describe``.

    Raises:
        InvalidConfiguration: no path, or one outside the roots.
        DataLoadingError: as ``read_table``; a directory without images.
    """
    sent = params.get("path")
    if not isinstance(sent, str):
        raise errors.InvalidConfiguration(
            "describe needs the path of data or a model",
            solution="Send path.",
            metadata={"key": "path", "sent": sent},
        )
    path = paths.resolve(sent, key="path", base_dir=base_dir, roots=roots)
    with bounds.bound(roots):
        return _describe(params, path, sent, roots)


def _describe(
    params: dict[str, Any], path: Path, sent: str, roots: list[str] | None
) -> dict[str, Any]:
    model = describe_model.find(path)
    if model is not None:
        return describe_model.describe(model, sent)
    is_run = path.is_dir() or path.parent.name == checkpoints.DIRECTORY
    if is_run and unfinished.run_in(path) is not None:
        return unfinished.describe(path, sent)
    # Imports numpy, which is not there wherever this module is.
    libraries.need("numpy", "numpy")
    from ml_runner.data import describe_samples

    if path.is_dir() or describe_samples.is_image(path):
        return describe_samples.images(path, sent, roots=roots)
    if describe_samples.holds_no_table(path):
        return describe_samples.arrays(path, sent)
    warnings: list[str] = []
    try:
        table, rows = read_head(
            path,
            header=params.get("header"),
            separator=params.get("separator"),
            encoding=params.get("encoding"),
            large=LARGE_BYTES,
            limit=SAMPLED_ROWS,
            warn=warnings.append,
        )
    except errors.DataLoadingError:
        # Models have text formats too, so a table comes first.
        if path.is_file() and describe_model.recognised(path):
            return describe_model.describe(path, sent)
        if describe_samples.is_archive(path):
            return describe_samples.arrays(path, sent)
        raise
    if len(table.frame.columns) == 1 and describe_model.recognised(path):
        return describe_model.describe(path, sent)
    return bounded.fit(_description(sent, table, rows, warnings))


def _description(sent: str, table: Table, rows: int, warnings: list[str]) -> dict[str, Any]:
    description: dict[str, Any] = {"path": sent, "format": table.format}
    if table.encoding is not None:
        description["encoding"] = table.encoding
    if table.separator is not None:
        description["separator"] = table.separator
        description["header"] = table.header
    description["rows"] = rows
    used = len(table.frame)
    if used < rows:
        description["statisticsFromRows"] = used
        warnings.append(
            f"the file is large: all rows were counted, statistics are of the first {used}"
        )
    # Those in the middle would be left out of the answer anyway; see bounded.fit.
    names = list(table.frame.columns)
    shown = bounded.candidates(names)
    description["columnCount"] = len(names)
    description["columns"] = [profile.column(table, name) for name in shown]
    description["warnings"] = warnings
    return description
