"""The report as the contract shows it: complete, finite, and at most 8 KB."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from ml_runner import files

if TYPE_CHECKING:
    from ml_runner.job import Job

# Of the JSON text, envelope included; the rest of 8 KB is for what the supervisor adds (memory and
# GPU figures) and the server.
LIMIT_BYTES = 7800
# Lists longer than this are trimmed first, and keep this many at their beginning.
_LIST, _KEPT = 10, 5
_MATRIX_CLASSES = 20
FULL_FILE = "report_full.json"


def finish(job: Job, body: dict[str, Any]) -> dict[str, Any]:
    """``{"executionReport": …}`` of what an action returned.

    Args:
        job: the job that is ending.
        body: ``framework``, ``metadata``, and as they apply ``metrics``, ``predictions``,
            ``artifacts``, ``gpuUsed``, ``gpuModel``, ``packages``.
    """
    seconds = time.time() - job.started_at
    body = dict(body)
    packages = body.pop("packages", {})
    metadata = {
        **body.pop("metadata", {}),
        "threads": job.threads,
        "python": _python(job, packages),
    }
    if job.defaults:
        metadata["defaults"] = dict(job.defaults)
    report: dict[str, Any] = {
        "timestamp": datetime.now(timezone.utc)
        .isoformat(timespec="seconds")
        .replace("+00:00", "Z"),
        # A resumed job has taken another's call over, and was called as what it is.
        "action": job.record["request"]["action"],
        "framework": body.pop("framework"),
        "exitCode": 0,
        "duration": duration_words(seconds),
        "durationSeconds": round(seconds, 6),
        "status": "success",
        "gpuUsed": body.pop("gpuUsed", False),
    }
    if "gpuModel" in body:
        report["gpuModel"] = body.pop("gpuModel")
    if job.request.get("outputDir") is not None:
        report["outputDir"] = job.request["outputDir"]
    report["metadata"] = metadata
    artifacts = body.pop("artifacts", None)
    report.update(body)
    if artifacts:
        report["artifacts"] = artifacts
    infinite: list[str] = []
    report = _finite(report, "", infinite)
    if infinite:
        names = ", ".join(infinite[:10])
        job.warn(f"Not finite, and so null in this report: {names}")
    if job.warnings:
        report["warnings"] = list(job.warnings)
    return {"executionReport": _fit(job, report)}


def averaging(average: str | None, classes: list[Any] | None) -> dict[str, Any]:
    """How precision, recall and f1 were averaged; for ``binary`` also of which label they are."""
    if average is None:
        return {}
    if average == "binary" and classes:
        return {"average": average, "positiveClass": classes[-1]}
    return {"average": average}


def duration_words(seconds: float) -> str:
    """``1h 23m 45s``, ``5m 23s``, ``12.3s``, ``31.8ms``, ``4.2µs``."""
    if seconds < 0.9995:
        if seconds < 0.0000995:
            return f"{_three(seconds * 1e6)}µs"
        return f"{_three(seconds * 1e3)}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}h {minutes}m {left}s" if hours else f"{minutes}m {left}s"


def _three(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value <= 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(value)))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def size_words(count: int) -> str:
    """``98.2MB``: bytes in powers of 1024."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{count}B" if unit == "B" else f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}TB"


def _python(job: Job, packages: dict[str, str]) -> dict[str, Any]:
    chosen = job.record["python"]
    return {
        "executable": chosen["executable"],
        "version": platform.python_version(),
        **{key: chosen[key] for key in ("kind", "why") if chosen.get(key)},
        "packages": packages,
    }


def _finite(value: Any, path: str, infinite: list[str]) -> Any:
    """Plain JSON values; NaN and infinities become None and are noted by their paths."""
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        infinite.append(path)
        return None
    if isinstance(value, dict):
        return {
            str(key): _finite(inner, f"{path}.{key}" if path else str(key), infinite)
            for key, inner in cast(dict[Any, Any], value).items()
        }
    if isinstance(value, (list, tuple)):
        before = len(infinite)
        result = [_finite(inner, path, infinite) for inner in cast(list[Any], value)]
        # One name for a list, however many of its members are.
        del infinite[before + 1 :]
        return result
    if hasattr(value, "tolist"):
        return _finite(value.tolist(), path, infinite)
    return str(value)


# -- 8 KB ------------------------------------------------------------------------------------------


def _size(report: dict[str, Any]) -> int:
    return len(files.to_json({"executionReport": report}, separators=(",", ":")))


def _fit(job: Job, report: dict[str, Any]) -> dict[str, Any]:
    """Trims lists of scores, then samples, then matrices, then the rest, until the report fits."""
    if _size(report) <= LIMIT_BYTES:
        return report
    whole = files.to_json(report, indent=1)
    path = job.output_dir / FULL_FILE
    files.write_atomic(path, whole, durable=not job.light)
    shown = job.show(path)
    report = json.loads(whole)
    report["truncated"] = [shown]
    report.setdefault("artifacts", {})["fullReport"] = shown
    for trim in (
        _trim_scores,
        _trim_samples,
        _trim_matrices,
        _trim_classes,
        _trim_warnings,
        _trim_everything,
    ):
        for _ in trim(report):
            if _size(report) <= LIMIT_BYTES:
                return report
    return report


def _lists(value: Any) -> Iterator[tuple[dict[str, Any], str, list[Any]]]:
    """Every list that is the value of a key, the longest text first."""
    found: list[tuple[dict[str, Any], str, list[Any]]] = []

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            mapping = cast(dict[str, Any], part)
            for key, inner in mapping.items():
                if isinstance(inner, list):
                    found.append((mapping, key, cast(list[Any], inner)))
                walk(inner)
        elif isinstance(part, list):
            for inner in cast(list[Any], part):
                walk(inner)

    walk(value)
    yield from sorted(found, key=lambda one: -len(json.dumps(one[2])))


def _is_matrix(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], list)


def _cut(values: list[Any]) -> list[Any]:
    """The first few, ``"..."``, and the last, as the specification's examples write it."""
    return [*values[:_KEPT], "...", values[-1]]


def _trim_scores(report: dict[str, Any]) -> Iterator[None]:
    for parent, key, values in _lists(report.get("metrics", {})):
        if len(values) > _LIST and not _is_matrix(values):
            parent[key] = _cut(values)
            yield


def _trim_samples(report: dict[str, Any]) -> Iterator[None]:
    predictions = report.get("predictions", {})
    samples = predictions.get("samplePredictions", [])
    for sample in samples:
        if len(sample.get("probabilities") or []) > _LIST:
            sample["probabilities"] = [*sample["probabilities"][:_KEPT], "..."]
            yield
    for kept in (3, 1):
        if len(samples) > kept:
            predictions["samplePredictions"] = samples[:kept]
            yield


def _trim_matrices(report: dict[str, Any]) -> Iterator[None]:
    for parent, key, values in _lists(report.get("metrics", {})):
        if _is_matrix(values) and len(values) > _MATRIX_CLASSES:
            parent[key] = f"{len(values)} x {len(values)}, in {FULL_FILE}"
            yield


def _trim_classes(report: dict[str, Any]) -> Iterator[None]:
    classes: dict[str, Any] = report.get("metrics", {}).get("classificationReport") or {}
    if len(classes) > _KEPT:
        names = list(classes)
        for name in names[_KEPT:]:
            del classes[name]
        classes["..."] = f"{len(names) - _KEPT} more classes, in {FULL_FILE}"
        yield


def _trim_warnings(report: dict[str, Any]) -> Iterator[None]:
    warnings = report.get("warnings", [])
    report["warnings"] = [text if len(text) <= 300 else f"{text[:297]}…" for text in warnings]
    yield
    if len(warnings) > _KEPT:
        more = f"{len(warnings) - _KEPT} more warnings, in {FULL_FILE}"
        report["warnings"] = [*report["warnings"][:_KEPT], more]
        yield
    if not warnings:
        del report["warnings"]


def _trim_everything(report: dict[str, Any]) -> Iterator[None]:
    for parent, key, values in _lists(report):
        if len(values) > _LIST:
            parent[key] = f"{len(values)} entries, in {FULL_FILE}"
            yield
    for section in ("metrics", "metadata", "predictions"):
        for key, value in sorted(
            report.get(section, {}).items(), key=lambda one: -len(json.dumps(one[1]))
        ):
            if isinstance(value, (dict, list, str)) and len(json.dumps(value)) > 200:
                report[section][key] = f"in {FULL_FILE}"
                yield
