"""What a run is: the call, the data, the code and the libraries that it began with.

It stands in ``run.json`` and in each checkpoint; whoever goes on with the run compares.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import errors, files

if TYPE_CHECKING:
    from ml_runner.data import TableData
    from ml_runner.frameworks.base import Adapter, Learner
    from ml_runner.job import Job
    from ml_runner.scripts import Script
    from ml_runner.training.tables import Tables


def of_call(job: Job) -> dict[str, Any]:
    """The call and its circumstances: what is known before anything is read."""
    python = job.record["python"]
    return {
        "action": job.action,
        "request": job.request,
        "baseDir": str(job.base_dir),
        "threads": job.threads,
        "newTotal": job.new_total,
        "python": {key: python[key] for key in ("executable", "kind") if key in python},
    }


def of(job: Job, adapter: Adapter, learner: Learner, data: Tables) -> dict[str, Any]:
    """All that decides the result.

    Args:
        job: its call.
        adapter: the framework's.
        learner: after ``prepare``.
        data: as read.
    """
    parts = {
        key: _file(part)
        for key, part in (
            ("dataPath", data.train),
            ("validationData", data.validation),
            ("testData", data.test),
        )
        if part is not None and (key == "dataPath" or job.config.get(key) is not None)
    }
    return {
        **of_call(job),
        "framework": adapter.name,
        "algorithm": learner.algorithm,
        "versions": learner.versions(),
        "data": parts,
        "features": [str(name) for name in data.train.X.columns],
        "classes": learner.classes,
        "script": None if learner.script is None else digests(learner.script),
    }


def _file(part: TableData) -> dict[str, Any]:
    path = part.table.path
    return {"path": str(path), "rows": len(part.X), "fingerprint": files.fingerprint(path)}


def digests(script: Script) -> dict[str, str]:
    """SHA-256 of each file of a script."""
    return {name: hashlib.sha256(text).hexdigest() for name, text in script.files().items()}


def compare(job: Job, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Warns of what has changed since the run began.

    Raises:
        DataLoadingError: the columns or labels are others: what was learned does not fit them.
    """
    # A run whose folds alone are done, before its data were described, has nothing to compare.
    for key, before in then.get("data", {}).items():
        after = now["data"].get(key)
        if after is None or after["fingerprint"] == before["fingerprint"]:
            continue
        if key == "pretrainedModel":
            job.warn(
                f"'{after['path']}' has changed since the run began, which goes on with the weights"
                " of its checkpoint"
            )
            continue
        rows = (
            "" if after["rows"] == before["rows"] else f" ({before['rows']} → {after['rows']} rows)"
        )
        job.warn(
            f"'{after['path']}' has changed since the run began{rows}: the rest is learned from"
            " what it holds now, and the result is that of neither"
        )
    for key, words in (("features", "feature columns"), ("classes", "labels of the target")):
        if then.get(key) != now[key]:
            raise _does_not_fit(job, words, then.get(key), now[key])
    if then.get("script") != now["script"]:
        job.warn("modelScript, or a module that it imports, has changed since the run began")
    differing = [
        f"{name} {version} (now {now['versions'].get(name, 'not installed')})"
        for name, version in then.get("versions", {}).items()
        if now["versions"].get(name) != version
    ]
    if differing:
        job.warn(
            f"The run began with other versions: {', '.join(differing)}; its result may differ"
        )


def _does_not_fit(job: Job, words: str, then: Any, now: Any) -> errors.DataLoadingError:
    then, now = list(then or []), list(now or [])
    gone = [str(one) for one in then if one not in now][:10]
    new = [str(one) for one in now if one not in then][:10]
    said = [
        f"{what}: {', '.join(names)}" for what, names in (("gone", gone), ("new", new)) if names
    ]
    return errors.DataLoadingError(
        f"The {words} of '{job.config.get('dataPath')}' are not those that the run began with"
        f" ({'; '.join(said) or 'their order differs'})",
        solution="Put the data back as they were, or train anew.",
        metadata={"key": "config.dataPath", "gone": gone, "new": new},
    )


def fingerprint(source: Path) -> str:
    """Of a file; of a folder by the names and sizes of what lies there, linked folders included."""
    if source.is_file():
        return files.fingerprint(source)
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(source, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for file in (Path(place, name) for name in names):
            if file.is_file():
                found.append(f"{file.relative_to(source)}:{file.stat().st_size}")
    found.sort()
    return hashlib.sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()
