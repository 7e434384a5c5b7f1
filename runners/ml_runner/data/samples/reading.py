"""From a path to samples: a table, a folder of images or texts, an image, an array file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ml_runner import errors, frameworks
from ml_runner.data import Schema, align, read_asked, select
from ml_runner.data.samples import array_files, folders, image_sources, text_sources
from ml_runner.data.samples.arrays import options_for
from ml_runner.data.samples.arrays_like import arrays_like, arrays_of, one_part
from ml_runner.data.samples.base import NoteDefault, Parts, Roots, Samples, Warn
from ml_runner.data.samples.images import ImageOptions
from ml_runner.data.samples.images import options_for as image_options_for
from ml_runner.data.samples.scaling import Scaling
from ml_runner.data.samples.table import FOR_MISSING, FOR_TEXT, TableSamples, refuse_categories
from ml_runner.data.samples.tokens import Tokenizer
from ml_runner.data.source import some

IMAGES, ARRAYS, TABLE, TEXT = "images", "arrays", "table", "text"


def kind_of(path: Path, config: Mapping[str, Any]) -> str:
    """``"images"``, ``"arrays"`` or ``"table"``: what a path is read as.

    A folder, an image file, and a table with ``pathColumn`` are images. A framework's own files of
    arrays are arrays; so are NPZ and NPY files, unless ``featureColumns`` speaks of columns, or
    ``targetColumn`` of a column of an NPY.
    """
    if path.is_dir() or config.get("pathColumn") is not None:
        return IMAGES
    if not path.is_file():
        return TABLE  # whose reader says what is there instead
    if folders.is_image(str(path), path.name):
        return IMAGES
    if frameworks.array_reader(path) is not None:
        return ARRAYS
    if path.suffix.lower() not in (".npz", ".npy") or config.get("featureColumns") is not None:
        return TABLE
    in_npy = path.suffix.lower() == ".npy" and config.get("targetColumn") is not None
    return TABLE if in_npy else ARRAYS


def read(
    path: Path,
    config: Mapping[str, Any],
    *,
    channels_first: bool,
    roots: Roots,
    warn: Warn,
    default: NoteDefault,
    target_path: Path | None = None,
    tokenizer: Tokenizer | None = None,
) -> Parts:
    """The samples of a training, and those for validation and test that lie beside them.

    Tables that are to be scaled (``featureScaling``) are returned unscaled: split first, then
    ``scaled``.

    Args:
        path: absolute.
        config: the call's; see the readers for the keys.
        channels_first: the order of an image's axes that the framework takes.
        roots: directories that may be read, or None.
        warn: gets what the caller may not expect.
        default: gets each default that is used.
        target_path: ``targetData``, resolved.
        tokenizer: of a model that reads texts: what lies at the path is texts.

    Raises:
        InvalidConfiguration, DataLoadingError, FrameworkNotFound: as the readers do.
    """
    kind = kind_of(path, config) if tokenizer is None else TEXT
    _refuse_unused(kind, path, config)
    if tokenizer is not None:
        texts = text_sources.labelled(path, config, roots=roots, warn=warn)
        return Parts(**{part: one.samples(tokenizer, warn) for part, one in texts.items()})
    if kind == IMAGES:
        found = image_sources.labelled(path, config, roots=roots, warn=warn)
        first = found["train"]
        options = image_options_for(
            first.root,
            first.names,
            config,
            channels_first=channels_first,
            warn=warn,
            default=default,
        )
        return Parts(**{part: files.samples(options) for part, files in found.items()})
    if kind == ARRAYS:
        loaded = array_files.load(path, config, target_path=target_path, warn=warn)
        first = loaded["train"]
        options = options_for(first.inputs, dict(config), path, first.key)
        return Parts(**{part: arrays_of(path, one, options) for part, one in loaded.items()})
    refuse_categories(config)
    table = read_asked(path, config, warn)
    if config.get("targetColumn") is None:
        known = [str(name) for name in table.frame.columns]
        raise errors.InvalidConfiguration(
            f"config.targetColumn is missing: '{path}' does not say what is to be learned",
            solution=f"Send config.targetColumn, one of: {some(known, 20)}.",
            metadata={"key": "config.targetColumn", "file": str(path), "allowed": known[:50]},
        )
    data = select(
        table,
        target_column=config.get("targetColumn"),
        feature_columns=config.get("featureColumns"),
        weight_column=config.get("sampleWeightColumn"),
        accepts_missing=False,
        for_text=FOR_TEXT,
        for_missing=FOR_MISSING,
        warn=warn,
    )
    return Parts(TableSamples.of(data, double=_scaling_asked(config) is not None))


def read_like(
    path: Path,
    spec: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    with_targets: bool,
    roots: Roots,
    warn: Warn,
    target_path: Path | None = None,
    tokenizer: Tokenizer | None = None,
) -> Samples:
    """Further samples, read as those were whose ``spec`` this is: validation, test, prediction.

    Args:
        path: absolute.
        spec: of the samples of the training.
        config: the call's: how the file is read (``separator``, …), ``targetColumn``,
            ``pathColumn``, ``inputKey``.
        with_targets: targets must be there; else they are None.
        roots: directories that may be read, or None.
        warn: gets what the caller may not expect.
        target_path: ``targetData``, resolved.
        tokenizer: of a model that reads texts.

    Raises:
        InvalidConfiguration: data in several parts, of which none is named.
        DataLoadingError: data of another kind, or without targets where they are needed.
    """
    if tokenizer is not None:
        return _texts_like(
            path, spec, config, tokenizer, with_targets=with_targets, roots=roots, warn=warn
        )
    kind = kind_of(path, config)
    if kind != spec["kind"] and not (spec["kind"] == TABLE and kind == ARRAYS):
        raise errors.DataLoadingError(
            f"'{path}' is read as {_KINDS[kind]}, and the model was trained on"
            f" {_KINDS[spec['kind']]}",
            solution=f"Name {_KINDS[spec['kind']]}.",
            metadata={"file": str(path), "found": kind, "expected": spec["kind"]},
        )
    if spec["kind"] == TABLE:
        return _table_like(path, spec, config, with_targets=with_targets, warn=warn)
    if spec["kind"] == ARRAYS:
        return arrays_like(path, spec, config, target_path, with_targets=with_targets, warn=warn)
    options = ImageOptions.from_json(spec)
    if with_targets:
        files = one_part(image_sources.labelled(path, config, roots=roots, warn=warn), path)
        if files.targets is None:
            raise image_sources.no_labels(path)
    else:
        files = image_sources.unlabelled(path, config, roots=roots, warn=warn)
    samples = files.samples(options)
    samples.warn_of_resizing(warn)
    return samples


def read_anew(
    path: Path,
    config: Mapping[str, Any],
    *,
    channels_first: bool,
    with_targets: bool,
    roots: Roots,
    warn: Warn,
    default: NoteDefault,
    target_path: Path | None = None,
    tokenizer: Tokenizer | None = None,
) -> Samples:
    """Samples for a model of whose training nothing is known: read as the call alone says.

    Its arguments are those of ``read``; ``with_targets``: targets must be there, and a folder of
    images is then one of classes.

    Raises:
        InvalidConfiguration: no target where one is needed; data in several parts.
        DataLoadingError, FrameworkNotFound: as the readers do.
    """
    if tokenizer is not None:
        _refuse_unused(TEXT, path, config)
        return _texts_like(
            path, {}, config, tokenizer, with_targets=with_targets, roots=roots, warn=warn
        )
    if not with_targets and kind_of(path, config) == IMAGES:
        files = image_sources.unlabelled(path, config, roots=roots, warn=warn)
        options = image_options_for(
            files.root,
            files.names,
            config,
            channels_first=channels_first,
            warn=warn,
            default=default,
        )
        return files.samples(options)
    parts = read(
        path,
        config,
        channels_first=channels_first,
        roots=roots,
        warn=warn,
        default=default,
        target_path=target_path,
    )
    found = one_part(parts.named(), path)
    if with_targets and found.targets is None:
        raise errors.InvalidConfiguration(
            f"config.targetColumn is missing: '{path}' does not say what is true of its rows",
            solution="Send config.targetColumn, the column (of a table) or the array of targets.",
            metadata={"key": "config.targetColumn"},
        )
    return found


def scaled(parts: Parts, method: str | None, learned: Scaling | None = None) -> Parts:
    """The same samples, scaled by what the training rows teach.

    Args:
        parts: after validation rows have been held out.
        method: ``featureScaling``; ``"none"`` or None leaves them as they are.
        learned: a scaling of that method that an earlier training has learned, to be used again.

    Raises:
        InvalidConfiguration: the samples are no table, or have another number of columns than
            ``learned``.
    """
    if method is None or method == "none":
        return parts
    if not isinstance(parts.train, TableSamples):
        raise errors.InvalidConfiguration(
            f"featureScaling '{method}' is for tables, and the data are {_KINDS[parts.train.kind]}",
            solution="Leave config.featureScaling out; config.normalize is for pixels.",
            metadata={"key": "config.featureScaling", "sent": method},
        )
    if learned is not None and parts.train.inputs_shape != learned.offset.shape:
        raise errors.InvalidConfiguration(
            f"The pretrained model takes {len(learned.offset)} features, and the data have"
            f" {parts.train.inputs_shape[0]}",
            solution="Send config.featureColumns: the columns that the model was trained on.",
            metadata={
                "key": "config.featureColumns",
                "shape": list(parts.train.inputs_shape),
                "expected": list(learned.offset.shape),
            },
        )
    scaling = parts.train.fit_scaling(method) if learned is None else learned
    done = {
        name: part.scaled(scaling)
        for name, part in parts.named().items()
        if isinstance(part, TableSamples)
    }
    return Parts(**done)


_KINDS = {TABLE: "a table", IMAGES: "images", ARRAYS: "arrays (NPZ, NPY)", TEXT: "texts"}
# Keys that only some kinds of data use.
_OF_KIND = {
    "imageSize": (IMAGES,),
    "colorMode": (IMAGES,),
    "augment": (IMAGES,),
    "pathColumn": (IMAGES,),
    "normalize": (IMAGES, ARRAYS),
    "inputKey": (ARRAYS,),
    "inputDtype": (ARRAYS,),
    "targetData": (ARRAYS,),
    "featureScaling": (TABLE,),
    "featureColumns": (TABLE,),
    "sampleWeightColumn": (TABLE,),
    "textColumn": (TEXT,),
    "maxLength": (TEXT,),
}


def _refuse_unused(kind: str, path: Path, config: Mapping[str, Any]) -> None:
    for key, kinds in _OF_KIND.items():
        value = config.get(key)
        if value is None or kind in kinds or (key == "featureScaling" and value == "none"):
            continue
        uses = " or ".join(_KINDS[one] for one in kinds)
        raise errors.InvalidConfiguration(
            f"config.{key} is for {uses}, and '{path}' is read as {_KINDS[kind]}",
            solution=f"Leave config.{key} out.",
            metadata={"key": f"config.{key}", "sent": value, "kind": kind},
        )
    of_folder = (
        kind == TEXT
        and path.is_dir()
        and next((key for key in ("textColumn", "targetColumn") if config.get(key)), None)
    )
    if kind == IMAGES and config.get("targetColumn") and not config.get("pathColumn"):
        of_folder = "targetColumn"
    if of_folder:
        instead = {
            IMAGES: "name a table of image files, with config.pathColumn",
            TEXT: "name a table with a column of texts",
        }[kind]
        raise errors.InvalidConfiguration(
            f"config.{of_folder} is sent, and '{path}' is a folder, whose folders are the classes",
            solution=f"Leave config.{of_folder} out; or {instead}.",
            metadata={"key": f"config.{of_folder}", "sent": config[of_folder]},
        )


def _scaling_asked(config: Mapping[str, Any]) -> str | None:
    method = config.get("featureScaling")
    return None if method == "none" else method


def _texts_like(
    path: Path,
    spec: Mapping[str, Any],
    config: Mapping[str, Any],
    tokenizer: Tokenizer,
    *,
    with_targets: bool,
    roots: Roots,
    warn: Warn,
) -> Samples:
    if with_targets:
        parts = text_sources.labelled(path, config, roots=roots, warn=warn, like=spec)
        texts = one_part(parts, path)
    else:
        texts = text_sources.unlabelled(path, config, roots=roots, warn=warn, like=spec)
    if texts.of_words != spec.get("words", texts.of_words):
        kinds = {True: "lists of words", False: "texts"}
        raise errors.DataLoadingError(
            f"'{path}' holds {kinds[texts.of_words]}, and the model was trained on"
            f" {kinds[not texts.of_words]}",
            solution=f"Give {kinds[not texts.of_words]}.",
            metadata={"file": str(path), "column": texts.column},
        )
    return texts.samples(tokenizer, warn)


def _table_like(
    path: Path,
    spec: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    with_targets: bool,
    warn: Warn,
) -> TableSamples:
    schema = Schema.from_json(spec["schema"])
    if with_targets:
        weight = config.get("sampleWeightColumn")
        schema = replace(schema, target=config.get("targetColumn") or schema.target, weight=weight)
    data = align(
        read_asked(path, config, warn),
        schema,
        with_target=with_targets,
        accepts_missing=False,
        warn=warn,
    )
    scaling = None if spec["scaling"] is None else Scaling.from_json(spec["scaling"])
    return TableSamples.of(data, scaling=scaling)
