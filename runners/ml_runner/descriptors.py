"""What stands beside a model that the executor wrote: all that is needed to use it.

``<file>.meta.json`` is under an HMAC with the key of the state directory: what bears it was
written here and has not been changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import bounds, errors, files, signing
from ml_runner.scripts import Script

if TYPE_CHECKING:
    from ml_runner.frameworks.base import Adapter, Model
    from ml_runner.job import Job

SUFFIX = ".meta.json"
_VERSION = 1


def describe(
    job: Job,
    adapter: Adapter,
    model: Model,
    inputs: Mapping[str, Any],
    data: bytes,
    *,
    name: str,
    parameters: Mapping[str, Any],
    preprocessing: list[dict[str, Any]],
    versions: Mapping[str, str],
    trained_on: Mapping[str, Any],
    script: Mapping[str, Any] | None = None,
) -> bytes:
    """The content of ``<name>.meta.json`` for a model file of content ``data``.

    ``inputs`` tells what the model takes: ``signature``, ``schema`` of a table, ``samples`` where
    it is read otherwise. ``trained_on`` tells the training data (path, rows, fingerprint);
    ``script`` is what ``saved_script`` gives of the caller's own code, where the model needs that.
    """
    record: dict[str, Any] = {
        "format": "ml-executor-model",
        "version": _VERSION,
        "framework": adapter.name,
        "algorithm": model.algorithm,
        "task": model.task,
        "classes": model.classes,
        "model": model.describe(),
        **inputs,
        "parameters": dict(parameters),
        "preprocessing": preprocessing,
        **({} if script is None else {"script": dict(script)}),
        "versions": dict(versions),
        "trainedOn": dict(trained_on),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "jobId": job.id,
        "file": name,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    # Through JSON once, so that what is signed is what will be read.
    record = json.loads(json.dumps(record, default=repr))
    return files.to_json(signing.sign(record), indent=1)


def saved_script(main: str, sources: Mapping[str, bytes]) -> dict[str, Any]:
    """How a descriptor names the code that a model needs.

    Args:
        main: path of the script, seen from the model's directory.
        sources: likewise, of every file of it → its content.
    """
    digests = {path: hashlib.sha256(source).hexdigest() for path, source in sources.items()}
    return {"main": main, "files": digests}


def import_script(model: Path, script: Mapping[str, Any]) -> Script:
    """Imports the code that a model was made with, after a look that it is still that code.

    Raises:
        ModelLoadingError: a file of it is not there, or has changed.
    """
    sources = {
        name: bounds.read_bytes(model.parent / name)
        for name in script["files"]
        if (model.parent / name).is_file()
    }
    for name, digest in script["files"].items():
        path = model.parent / name
        found = hashlib.sha256(sources[name]).hexdigest() if name in sources else None
        if found != digest:
            raise errors.ModelLoadingError(
                f"'{path}', code that the model '{model}' needs, "
                + ("is not there" if found is None else "has changed since the model was saved"),
                solution="Put the file back as it was, or train the model anew.",
                metadata={"path": str(path), "model": str(model)},
            )
    main = model.parent / script["main"]
    return Script(main, str(main), source=sources[script["main"]])


def path_of(model: Path) -> Path:
    """Where the descriptor of a model file stands."""
    return model.with_name(model.name + SUFFIX)


def read(path: Path, data: bytes) -> tuple[dict[str, Any] | None, list[str]]:
    """The descriptor, if it is ours and speaks of this very file; else what is wrong with it."""
    record: dict[str, Any] = {}
    try:
        record = json.loads(bounds.read_bytes(path_of(path)))
        genuine = record.get("version") == _VERSION and signing.is_genuine(record)
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, TypeError, AttributeError):
        genuine = False
    if not genuine:
        return None, [
            f"'{path_of(path)}' is not signed by this machine's executor and was not used"
        ]
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        return None, [
            f"'{path}' has changed since it was described, so its description was not used"
        ]
    return record, []
