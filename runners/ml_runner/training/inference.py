"""Bringing rows before a loaded model, and writing down what it said of them."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_runner.data import Schema, TableData, align
from ml_runner.frameworks.base import TakesSamples
from ml_runner.training import tables
from ml_runner.training.metrics import Outputs

if TYPE_CHECKING:
    from ml_runner.data.samples import Samples
    from ml_runner.frameworks.base import Model
    from ml_runner.job import Job
    from ml_runner.models import Loaded

_CHUNK = 20_000
_MOST_CARRIED = 10


@dataclass
class Rows:
    """n rows to bring before a model, whatever they were read from.

    Attributes:
        X: what the model takes: a DataFrame or ``Samples``, of n rows.
        path: the file or folder that they are from.
        carried: what a person finds them again by: name → n values.
        target: (n,) or (n, k) what is true of them; None where that was not read.
        target_name: what the target is called.
        weight: (n,) sample weights, or None.
        weight_name: their column.
    """

    X: Any
    path: Path
    carried: dict[str, list[Any]]
    target: np.ndarray | None = None
    target_name: str | None = None
    weight: np.ndarray | None = None
    weight_name: str | None = None

    def __len__(self) -> int:
        return len(self.X)


def rows_for(job: Job, loaded: Loaded, key: str, *, with_target: bool) -> Rows:
    """The data at ``config[key]`` in the form that the model was trained on.

    Raises:
        InvalidConfiguration: no target column, for a model that does not say which.
        DataLoadingError: columns that the model needs are missing, or hold something else.
    """
    spec = (loaded.descriptor or {}).get("samples")
    if spec is not None:
        return _samples_for(job, loaded.model, spec, key, with_target=with_target)
    if isinstance(loaded.model, TakesSamples):
        return _samples_anew(job, loaded, loaded.model, key, with_target=with_target)
    table = tables.read(job, key)
    schema = loaded.schema or _schema_of(loaded, list(table.frame.columns), job)
    if with_target:
        schema = replace(
            schema,
            target=job.config.get("targetColumn") or schema.target,
            weight=job.config.get("sampleWeightColumn"),
            group=None,
        )
    data = align(table, schema, with_target=with_target, warn=job.warn)
    rows = Rows(data.X, table.path, carried(data))
    if with_target:
        tables.check_target(data, loaded.model.task, loaded.model.classes, f"'{table.path}'")
        rows.target, rows.target_name = tables.target_array(data), schema.target
    if data.weight is not None:
        rows.weight, rows.weight_name = data.weight.to_numpy(float), schema.weight
    return rows


def _samples_for(
    job: Job, model: Model, spec: Mapping[str, Any], key: str, *, with_target: bool
) -> Rows:
    from ml_runner.data import samples

    found = samples.read_like(
        job.resolve(job.config[key], key=f"config.{key}"),
        spec,
        job.config,
        with_targets=with_target,
        roots=job.roots,
        warn=job.warn,
        target_path=_target_path(job),
        tokenizer=getattr(model, "tokenizer", None),
    )
    return _rows_of(job, model, found, with_target=with_target)


def _samples_anew(
    job: Job, loaded: Loaded, model: TakesSamples, key: str, *, with_target: bool
) -> Rows:
    """Samples for a model of which nothing says how its data are read: as the call says it."""
    from ml_runner.data import samples

    found = samples.read_anew(
        job.resolve(job.config[key], key=f"config.{key}"),
        job.config,
        channels_first=model.channels_first,
        with_targets=with_target,
        roots=job.roots,
        warn=job.warn,
        default=job.default,
        target_path=_target_path(job),
        tokenizer=model.tokenizer,
    )
    model.meet(found, job.warn)
    return _rows_of(job, loaded.model, found, with_target=with_target)


def _target_path(job: Job) -> Path | None:
    target = job.config.get("targetData")
    return None if target is None else job.resolve(target, key="config.targetData")


def _rows_of(job: Job, model: Model, found: Samples, *, with_target: bool) -> Rows:
    from ml_runner.data import samples

    rows = Rows(found, found.source, _names(found))
    if with_target:
        assert found.targets is not None
        spec = found.spec
        known = (spec.get("schema") or {}).get("target") or spec.get("targetColumn")
        rows.target_name = job.config.get("targetColumn") or known or "class"
        encoded = samples.encode(
            found.targets,
            task=model.task,
            where=f"'{found.source}'",
            warn=job.warn,
            classes=model.classes,
            column=str(rows.target_name),
        )
        rows.target = samples.truth(found, encoded)
    return rows


def _names(found: Samples) -> dict[str, list[Any]]:
    """What a person finds samples again by; of texts whose words have labels, each word."""
    from ml_runner.data.samples import TextSamples

    if found.names is None:
        return {}
    if isinstance(found, TextSamples) and found.of_words:
        return found.named_words()
    return {"sample": [str(name) for name in found.names]}


def _schema_of(loaded: Loaded, columns: list[str], job: Job) -> Schema:
    """What is known of a model that came without a description: the columns it names, or all."""
    target = job.config.get("targetColumn")
    features = loaded.adapter.columns(loaded.model, columns)
    if features is None:
        features = [name for name in columns if name != target]
        job.warn(f"'{loaded.path}' does not name its columns: they were taken in the table's order")
    return Schema(features=features, dtypes={}, target=target)


def predict(job: Job, loaded: Loaded, X: Any, *, probabilities: bool) -> tuple[Outputs, float, int]:
    """(what the model says of all rows, seconds that it took, rows in a batch)."""
    size = job.config.get("batchSize") or getattr(loaded.model, "batch_size", None) or len(X)
    parts = []
    seconds = 0.0
    for start in range(0, len(X), size):
        batch = X if size >= len(X) else _part(X, start, min(start + size, len(X)))
        before = time.perf_counter()
        parts.append(loaded.model.outputs(batch, probabilities=probabilities))
        seconds += time.perf_counter() - before
        if len(X) > size:
            job.progress("row", min(start + size, len(X)), len(X))
            job.check()
    if len(parts) == 1:
        return parts[0], seconds, size
    return (
        Outputs(
            np.concatenate([part.predictions for part in parts]),
            _joined([part.probabilities for part in parts]),
            _joined([part.decision for part in parts]),
        ),
        seconds,
        size,
    )


def _part(X: Any, start: int, stop: int) -> Any:
    return X.take(np.arange(start, stop)) if hasattr(X, "inputs_shape") else X.iloc[start:stop]


def _joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


def confidences(outputs: Outputs, classes: list[Any]) -> np.ndarray | None:
    """(n,) the probability that the model gives to the label that it predicts."""
    if outputs.probabilities is None:
        return None
    # Nearly always the largest one; some classifiers calibrate probabilities apart from labels.
    index = {label: position for position, label in enumerate(classes)}
    chosen = [index[label] for label in outputs.predictions.tolist()]
    return outputs.probabilities[np.arange(len(chosen)), chosen]


def records(
    outputs: Outputs,
    classes: list[Any] | None,
    *,
    probabilities: bool,
    stop: int | None = None,
    top: int | None = None,
) -> Iterator[dict[str, Any]]:
    """A JSON object a row: ``sample_id`` (from 0), ``predicted_class`` or ``predicted_value``, …

    Args:
        outputs: of n rows.
        classes: labels; None for numbers, and for several labels a row (``predicted_labels``, the
            positions of those that it has).
        probabilities: with those of all labels.
        stop: so many rows alone.
        top: with the so many most probable labels, ``[{"class", "probability"}]``.
    """
    stop = len(outputs.predictions) if stop is None else min(stop, len(outputs.predictions))
    for start in range(0, stop, _CHUNK):
        part = slice(start, min(start + _CHUNK, stop))
        labels = outputs.predictions[part].tolist()
        scores = None if outputs.probabilities is None else outputs.probabilities[part]
        if classes is None:
            several = scores is not None or outputs.decision is not None
            for row, value in enumerate(labels, start):
                if not several:
                    yield {"sample_id": row, "predicted_value": value}
                    continue
                has = np.flatnonzero(np.atleast_1d(value)).tolist()
                record = {"sample_id": row, "predicted_labels": has}
                if probabilities and scores is not None:
                    record["probabilities"] = np.atleast_1d(scores[row - start]).tolist()
                yield record
            continue
        sure = (
            None
            if scores is None
            else confidences(Outputs(outputs.predictions[part], scores), classes)
        )
        sure_values = None if sure is None else sure.tolist()
        score_values = None if scores is None or not probabilities else scores.tolist()
        best = None if scores is None or not top else np.argsort(-scores, axis=1, kind="stable")
        for position, label in enumerate(labels):
            record = {"sample_id": start + position, "predicted_class": label}
            if sure_values is not None:
                record["confidence"] = sure_values[position]
            if score_values is not None:
                record["probabilities"] = score_values[position]
            if best is not None and scores is not None:
                record["top"] = [
                    {"class": classes[place], "probability": float(scores[position, place])}
                    for place in best[position, :top].tolist()
                ]
            yield record


def carried(data: TableData) -> dict[str, list[Any]]:
    """What a person finds the rows again by: the first columns that the model does not use."""
    used = {*data.schema.features, data.schema.target}
    others = [name for name in data.table.frame.columns if name not in used][:_MOST_CARRIED]
    columns = {name: data.table.frame[name] for name in others}
    return {
        name: column.astype(object).where(column.notna(), None).tolist()
        for name, column in columns.items()
    }


def to_json(rows: Iterator[dict[str, Any]]) -> str:
    """A JSON array, an object a line."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def to_csv(
    rows: Iterator[dict[str, Any]],
    classes: list[Any] | None,
    beside: Mapping[str, list[Any]] | None = None,
) -> str:
    """The same rows as CSV: probabilities spread over ``probability_<label>``, several numbers over
    ``predicted_value_<position>``, labels in one cell with spaces between, the most probable ones
    over ``top_<rank>_class`` and ``top_<rank>_probability``.

    Args:
        rows: as ``records`` gives them.
        classes: labels, for the header; None for numbers.
        beside: columns (n values each) to set behind the row's number: the truth, an identifier.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    beside = beside or {}
    header: list[str] | None = None
    for row in rows:
        scores = row.pop("probabilities", None) or []
        named = list(classes) if classes is not None else list(range(len(scores)))
        flat = _flat(row)
        flat |= {f"probability_{label}": score for label, score in zip(named, scores, strict=False)}
        cells = list(flat.values())
        cells[1:1] = [column[row["sample_id"]] for column in beside.values()]
        if header is None:
            header = list(flat)
            header[1:1] = beside
            writer.writerow(header)
        writer.writerow(cells)
    return text.getvalue()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A record as cells."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if key == "top":
            for rank, one in enumerate(value, 1):
                flat |= {f"top_{rank}_{name}": cell for name, cell in one.items()}
        elif key == "predicted_labels":
            flat[key] = " ".join(map(str, value))
        elif isinstance(value, list):
            flat |= {f"{key}_{place}": cell for place, cell in enumerate(value)}
        else:
            flat[key] = value
    return flat
