"""Parquet, Feather, Arrow streams, NPY and NPZ."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ml_runner import errors, libraries
from ml_runner.data.header import refuse_duplicates
from ml_runner.data.source import Source, fault, some

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

Warn = Callable[[str], None]


def read_parquet(source: Source, warn: Warn) -> DataFrame:
    """As ``pandas.read_parquet`` gives it; an index that was stored with it is no column.

    Raises:
        DataLoadingError: a cut-off or damaged file.
        FrameworkNotFound: pandas or pyarrow is not installed.
    """
    _refuse_truncated(source)
    pandas = libraries.need("pandas", "pandas")
    parquet = libraries.need("pyarrow.parquet", "pyarrow")
    with _damage(source, "Parquet"):
        with source.open() as content, parquet.ParquetFile(content) as file:
            refuse_duplicates(source.path, file.schema_arrow.names)
        with source.open() as content:
            frame = pandas.read_parquet(content, engine="pyarrow")
    return _without_index(source, frame, warn)


def read_parquet_head(
    source: Source, parquet: Any, limit: int, warn: Warn
) -> tuple[DataFrame, int]:
    """The first rows of a Parquet file, at most ``limit``, and the number of all of its rows.

    ``parquet`` is ``pyarrow.parquet``. Errors as ``read_parquet``.
    """
    _refuse_truncated(source)
    with (
        _damage(source, "Parquet"),
        source.open() as content,
        parquet.ParquetFile(content) as file,
    ):
        refuse_duplicates(source.path, file.schema_arrow.names)
        rows = file.metadata.num_rows
        batch = next(file.iter_batches(batch_size=limit), None)
        if batch is None:
            frame = file.read().to_pandas()
        else:
            frame = batch.to_pandas()
    return _without_index(source, frame, warn), rows


def _refuse_truncated(source: Source) -> None:
    if source.size >= 12 and source.tail(4) in (b"PAR1", b"PARE"):
        return
    raise fault(
        source.path,
        f"'{source.path}' is a truncated Parquet file: it begins as one and lacks the footer "
        f"at its end ({source.size} bytes are there)",
        solution="Copy or download the file again, or let its writer finish.",
        format="parquet",
    )


def read_feather(source: Source, warn: Warn) -> DataFrame:
    """A Feather or Arrow IPC file. Errors as ``read_parquet``."""
    pandas = libraries.need("pandas", "pandas")
    libraries.need("pyarrow", "pyarrow")
    with _damage(source, "Feather/Arrow"), source.open() as content:
        frame = pandas.read_feather(content)
    return _without_index(source, frame, warn)


def read_arrow_stream(source: Source, warn: Warn) -> DataFrame:
    """An Arrow IPC stream. Errors as ``read_parquet``."""
    libraries.need("pandas", "pandas")
    ipc = libraries.need("pyarrow.ipc", "pyarrow")
    with _damage(source, "Arrow"), source.open() as file, ipc.open_stream(file) as reader:
        frame = reader.read_pandas()
    return _without_index(source, frame, warn)


def read_npy(source: Source, warn: Warn) -> DataFrame:
    """A 1-D, 2-D or structured array; see ``read_table`` for the names.

    Raises:
        DataLoadingError: objects (which only pickle reads), more dimensions, a cut-off file.
    """
    del warn
    pandas = libraries.need("pandas", "pandas")
    array = _load(source, source.content(), source.path.name)
    if array.dtype.names:
        return pandas.DataFrame({name: array[name] for name in array.dtype.names})
    if array.ndim not in (1, 2):
        raise fault(
            source.path,
            f"'{source.path}' holds an array of shape {array.shape}; a table has two dimensions",
            solution="Reshape it to (rows, columns).",
            shape=list(array.shape),
        )
    return pandas.DataFrame(array if array.ndim == 2 else array.reshape(-1, 1))


def read_npz(source: Source, warn: Warn) -> DataFrame:
    """The arrays of an archive side by side; see ``read_table`` for the names.

    Raises:
        DataLoadingError: arrays of different lengths, objects, more than two dimensions.
    """
    pandas = libraries.need("pandas", "pandas")
    arrays: dict[str, np.ndarray] = {}
    content = source.content()
    try:
        with _damage(source, "NPZ"), zipfile.ZipFile(content) as archive:
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                array = _load(source, io.BytesIO(archive.read(member)), name)
                if array.ndim:
                    arrays[name] = array
                else:
                    warn(f"'{name}' in '{source.path}' is a single value, not a column; left out")
    finally:
        content.close()
    _check_shapes(source, arrays)
    wide = [name for name, a in arrays.items() if a.ndim == 2 and a.shape[1] != 1]
    # A lone array of shape (n, 1) is the features; beside another it is a column like y.
    if not wide:
        wide = [name for name, a in arrays.items() if a.ndim == 2][:1]
    parts = []
    for name, array in arrays.items():
        if name not in wide:
            parts.append(pandas.DataFrame({name: array.reshape(-1)}))
        else:
            prefix = "" if len(wide) == 1 else f"{name}_"
            parts.append(
                pandas.DataFrame(array, columns=[f"{prefix}{i}" for i in range(array.shape[1])])
            )
    return pandas.concat(parts, axis=1) if parts else pandas.DataFrame()


READERS: dict[str, Callable[[Source, Warn], Any]] = {
    "parquet": read_parquet,
    "feather": read_feather,
    "arrow": read_arrow_stream,
    "npy": read_npy,
    "npz": read_npz,
}


@contextlib.contextmanager
def _damage(source: Source, what: str) -> Iterator[None]:
    """Turns whatever a library raises while it reads into a data-loading error."""
    try:
        yield
    except (errors.ExecutorError, MemoryError):
        raise
    except Exception as error:
        raise fault(
            source.path,
            f"'{source.path}' cannot be read as {what}: {str(error)[:300]}",
            solution="Copy or download the file again; it is cut off, damaged, or written in a "
            "way that the installed libraries do not read.",
        ) from error


def _without_index(source: Source, frame: DataFrame, warn: Warn) -> DataFrame:
    pandas = libraries.need("pandas", "pandas")
    if isinstance(frame.index, pandas.RangeIndex) and frame.index.name is None:
        return frame.reset_index(drop=True)
    names = [str(n) for n in frame.index.names if n is not None]
    warn(
        f"'{source.path}' has an index ({', '.join(names) or 'unnamed'}), which is not a column: "
        "it is left out"
    )
    return frame.reset_index(drop=True)


def _load(source: Source, content: Any, name: str) -> np.ndarray:
    numpy = libraries.need("numpy", "numpy")
    try:
        array = numpy.lib.format.read_array(content, allow_pickle=False)
    except ValueError as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise fault(
                source.path,
                f"array '{name}' in '{source.path}' holds Python objects; only pickle reads those, "
                "and pickle can run code",
                solution="Save it as numbers or fixed-length strings: array.astype(float) or "
                "array.astype('U').",
                array=name,
            ) from error
        raise fault(
            source.path,
            f"array '{name}' in '{source.path}' is cut off or damaged: {error}",
            solution="Copy or download the file again.",
            array=name,
        ) from error
    if array.dtype.kind == "c":
        raise fault(
            source.path,
            f"array '{name}' in '{source.path}' holds complex numbers",
            solution="Save the real and imaginary parts as columns of their own.",
            array=name,
        )
    if array.dtype.kind == "S":
        return array.astype("U")
    return array


def _check_shapes(source: Source, arrays: dict[str, np.ndarray]) -> None:
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    shown = ", ".join(f"'{name}' {tuple(shape)}" for name, shape in list(shapes.items())[:8])
    deep = [name for name, array in arrays.items() if array.ndim > 2 or array.dtype.names]
    if deep:
        raise fault(
            source.path,
            f"'{source.path}' holds arrays that are no columns: {some(deep, 5)} (of {shown})",
            solution="Reshape them to (rows, columns).",
            shapes=shapes,
        )
    if len({len(array) for array in arrays.values()}) > 1:
        raise fault(
            source.path,
            f"the arrays in '{source.path}' have different lengths: {shown}",
            solution="Save one table a file, its arrays of one length (train and test apart).",
            shapes=shapes,
        )
