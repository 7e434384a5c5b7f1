"""Saved models: their descriptions, which of them may be loaded, and loading them.

A model that the executor wrote is described in ``<file>.meta.json`` beside it, under an HMAC with
the key of the state directory: what bears it was written here and has not been changed since, so
even a pickle may be loaded. A file without it is loaded where its format cannot run code.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import calls, distributions, errors, files, frameworks
from ml_runner.nearest import nearest
from ml_runner.process.decline import Decline
from ml_runner.scripts import Script
from ml_runner.training import run_directory

if TYPE_CHECKING:
    from ml_runner.data import Schema
    from ml_runner.frameworks.base import Adapter, Model
    from ml_runner.job import Job

_SUFFIX = ".meta.json"
_VERSION = 1
_CANDIDATES = ("best_model.*", "model.*", "last_model.*")


@dataclass
class Loaded:
    """A model in memory.

    Attributes:
        model: ready to predict.
        adapter: its framework's.
        path: absolute path of its file.
        descriptor: what stands beside it, where its HMAC holds; else None.
        safe: its format cannot run code, or its descriptor vouches for it.
        warnings: what a caller should know of it, each time it is used.
    """

    model: Model
    adapter: Adapter
    path: Path
    descriptor: dict[str, Any] | None
    safe: bool
    warnings: list[str] = field(default_factory=list[str])

    def resolution(self, job: Job) -> dict[str, str]:
        """For ``framework: auto``, what it was found to be and why; for ``metadata``."""
        if (job.request.get("framework") or "auto") != "auto":
            return {}
        by = "its description" if self.descriptor is not None else "its format"
        return {"frameworkResolved": f"the model is {self.adapter.title}'s by {by}"}

    @property
    def schema(self) -> Schema | None:
        """The table that it was trained on, where its descriptor tells."""
        if self.descriptor is None or self.descriptor.get("schema") is None:
            return None
        from ml_runner.data import Schema

        return Schema.from_json(self.descriptor["schema"])


def describe(
    job: Job,
    adapter: Adapter,
    model: Model,
    schema: Schema,
    data: bytes,
    *,
    name: str,
    parameters: Mapping[str, Any],
    preprocessing: list[dict[str, Any]],
    versions: Mapping[str, str],
    script: Mapping[str, Any] | None = None,
) -> bytes:
    """The content of ``<name>.meta.json`` for a model file of content ``data``.

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
        "schema": schema.to_json(),
        "signature": {
            "inputs": [{"name": name, "type": schema.dtypes.get(name)} for name in schema.features],
            "output": schema.target,
        },
        "parameters": dict(parameters),
        "preprocessing": preprocessing,
        **({} if script is None else {"script": dict(script)}),
        "versions": dict(versions),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "jobId": job.id,
        "file": name,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    # Through JSON once, so that what is signed is what will be read.
    record = json.loads(json.dumps(record, default=repr))
    record["hmac"] = _signature(record)
    return json.dumps(record, ensure_ascii=False, indent=1).encode()


def saved_script(main: str, sources: Mapping[str, bytes]) -> dict[str, Any]:
    """How a descriptor names the code that a model needs.

    Args:
        main: path of the script, seen from the model's directory.
        sources: likewise, of every file of it → its content.
    """
    digests = {path: hashlib.sha256(source).hexdigest() for path, source in sources.items()}
    return {"main": main, "files": digests}


def _import_script(model: Path, script: Mapping[str, Any]) -> None:
    """Imports the code that a model was made with, after a look that it is still that code."""
    for name, digest in script["files"].items():
        path = model.parent / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        if found != digest:
            raise errors.ModelLoadingError(
                f"'{path}', code that the model '{model}' needs, "
                + ("is not there" if found is None else "has changed since the model was saved"),
                solution="Put the file back as it was, or train the model anew.",
                metadata={"path": str(path), "model": str(model)},
            )
    main = model.parent / script["main"]
    Script(main, str(main))


def descriptor_path(model: Path) -> Path:
    """Where the descriptor of a model file stands."""
    return model.with_name(model.name + _SUFFIX)


def _signature(record: Mapping[str, Any]) -> str:
    unsigned = {key: value for key, value in record.items() if key != "hmac"}
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"))
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()


def _key() -> bytes:
    """32 random bytes of this state directory, made on first use."""
    path = files.state_home() / "key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".key.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, unlike a rename, leaves the key of whoever was first.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
    return path.read_bytes()


# -- finding ---------------------------------------------------------------------------------------


def find(job: Job, *, key: str = "config.modelPath") -> Path:
    """The model file that ``modelPath`` means: the file itself, or that of a run's directory.

    Raises:
        InvalidConfiguration: no ``modelPath``.
        ModelLoadingError: nothing there (lists near names), or a directory without one model.
    """
    sent = job.config.get("modelPath")
    if sent is None:
        raise errors.InvalidConfiguration(
            "config.modelPath is missing",
            solution="Send the path of a model file, or the outputDir of its training.",
            metadata={"key": key},
        )
    path = job.resolve(sent, key=key)
    if path.is_file():
        if path.name.endswith(_SUFFIX):
            return path.with_name(path.name.removesuffix(_SUFFIX))
        return path
    if path.is_dir():
        return _in_directory(path, sent, key)
    if path.exists():
        raise errors.ModelLoadingError(
            f"'{path}' is neither a file nor a directory",
            solution="Give a model file, or the outputDir of its training.",
            metadata={"key": key, "sent": sent, "path": str(path)},
        )
    raise _not_there(path, sent, key)


def _in_directory(path: Path, sent: str, key: str) -> Path:
    named = run_directory.model_in(path)
    if named is not None:
        return named
    found = [
        file
        for pattern in _CANDIDATES
        for file in sorted(path.glob(pattern))
        if file.is_file() and not file.name.endswith(_SUFFIX)
    ]
    if len(found) == 1:
        return found[0]
    inside = sorted(file.name for file in path.iterdir())[:20]
    what = "no model" if not found else f"{len(found)} models: {', '.join(f.name for f in found)}"
    raise errors.ModelLoadingError(
        f"The directory '{path}' holds {what}",
        solution="Name the model file itself."
        + (f" The directory holds: {', '.join(inside)}." if inside else " It is empty."),
        metadata={"key": key, "sent": sent, "path": str(path), "found": inside},
    )


def _not_there(path: Path, sent: str, key: str) -> errors.ModelLoadingError:
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        parent = parent.parent
    missing = path.relative_to(parent).parts[0]
    there = sorted(entry.name for entry in parent.iterdir()) if parent.is_dir() else []
    near = nearest(missing, there)
    solution = f"Did you mean '{parent / near}'? " if near else ""
    return errors.ModelLoadingError(
        f"There is no model at '{path}'",
        solution=solution
        + (f"'{parent}' holds: {', '.join(there[:20])}." if there else f"'{parent}' is empty."),
        metadata={
            "key": key,
            "sent": sent,
            "path": str(path),
            **({"nearest": str(parent / near)} if near else {}),
        },
    )


# -- loading ---------------------------------------------------------------------------------------


def load(job: Job) -> Loaded:
    """The model that the call names, from memory where it is there already.

    Raises:
        ModelLoadingError: not there, not whole, of no known format, or a pickle of unknown origin
            that ``allowPickle`` does not permit.
        InvalidConfiguration: ``framework`` is another one than the model's.
    """
    from ml_runner.process import models as memory

    path = find(job)
    allowed = bool(job.config.get("allowPickle"))

    def load_it() -> Loaded:
        return read(path, allow_pickle=allowed, without_scripts=job.light)

    loaded = memory.cached(path, load_it)
    if not loaded.safe and not allowed:
        raise _refused(path)
    _check_framework(job, loaded)
    for warning in loaded.warnings:
        job.warn(warning)
    return loaded


def read(path: Path, *, allow_pickle: bool = False, without_scripts: bool = False) -> Loaded:
    """Reads a model file, and its descriptor where that holds.

    Args:
        path: absolute.
        allow_pickle: load a pickle of unknown origin too.
        without_scripts: this process goes on after the job: no code of a user is imported into it.

    Raises:
        ModelLoadingError: see ``load``.
        Decline: ``without_scripts``, and the model needs its script.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise errors.ModelLoadingError(
            f"'{path}' cannot be read: {error.strerror}",
            solution="Make the file readable.",
            metadata={"path": str(path)},
        ) from error
    descriptor, warnings = read_descriptor(path, data)
    adapter = frameworks.get(descriptor["framework"]) if descriptor else _recognise(path, data)
    safe = descriptor is not None or adapter.is_safe(path)
    if not safe and not allow_pickle:
        raise _refused(path, warnings)
    if descriptor is not None and descriptor.get("script") is not None:
        if without_scripts:
            raise Decline("the model brings a script")
        _import_script(path, descriptor["script"])
    model = adapter.load(path, data, descriptor["model"] if descriptor else None)
    if descriptor is not None:
        warnings += _other_versions(descriptor["versions"])
    return Loaded(model, adapter, path, descriptor, safe, warnings)


def read_descriptor(path: Path, data: bytes) -> tuple[dict[str, Any] | None, list[str]]:
    """The descriptor, if it is ours and speaks of this very file; else what is wrong with it."""
    record: dict[str, Any] = {}
    try:
        record = json.loads(descriptor_path(path).read_bytes())
        signed = str(record["hmac"])
        genuine = record.get("version") == _VERSION and hmac.compare_digest(
            signed, _signature(record)
        )
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, KeyError, TypeError):
        genuine = False
    if not genuine:
        return None, [
            f"'{descriptor_path(path)}' is not signed by this machine's executor and was not used"
        ]
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        return None, [
            f"'{path}' has changed since it was described, so its description was not used"
        ]
    return record, []


def _recognise(path: Path, data: bytes) -> Adapter:
    head = data[:4096]
    # By content first: any name may stand on anything.
    for adapter in frameworks.all_adapters():
        if adapter.recognises(path, head):
            return adapter
    what = _what_it_is(head)
    raise errors.ModelLoadingError(
        f"'{path}' is no model of a known format: {what}",
        solution="Give a model that train saved, or a file in one of the frameworks' own formats.",
        metadata={"path": str(path), "bytes": len(data), "found": what},
    )


def _what_it_is(head: bytes) -> str:
    if not head:
        return "it is empty"
    known = {
        b"\x89PNG": "a PNG image",
        b"\xff\xd8\xff": "a JPEG image",
        b"PK\x03\x04": "a zip archive",
        b"\x1f\x8b": "gzip data",
        b"\x89HDF": "an HDF5 file",
        b"PAR1": "a Parquet file",
        b"%PDF": "a PDF",
    }
    for start, name in known.items():
        if head.startswith(start):
            return f"it is {name}"
    try:
        return f"it is text, beginning with {head[:40].decode()!r}"
    except UnicodeDecodeError:
        return f"it begins with {head[:8]!r}"


def _refused(path: Path, reasons: list[str] | None = None) -> errors.ModelLoadingError:
    why = f" ({reasons[0]})" if reasons else ""
    return errors.ModelLoadingError(
        f"'{path}' is a pickle that this executor did not write{why}; loading one can run any code"
        " in it",
        solution="If you trust where it comes from, send config.allowPickle: true.",
        metadata={"key": "config.allowPickle", "path": str(path)},
    )


def _check_framework(job: Job, loaded: Loaded) -> None:
    sent = job.request.get("framework") or "auto"
    if sent == "auto" or frameworks.get(sent) is loaded.adapter:
        return
    raise errors.InvalidConfiguration(
        f"framework is '{sent}', and '{loaded.path}' is a model of {loaded.adapter.title}",
        solution="Send nextCall, or leave framework out.",
        metadata={"key": "framework", "sent": sent, "allowed": [loaded.adapter.name, "auto"]},
        next_call=calls.repeat(job, framework=loaded.adapter.name),
    )


def _other_versions(then: Mapping[str, str]) -> list[str]:
    now = distributions.versions(*then)
    differing = [
        f"{name} {version} (now {now[name]})"
        for name, version in then.items()
        if name in now and _release(version) != _release(now[name])
    ]
    if not differing:
        return []
    return [f"The model was made with other versions: {', '.join(differing)}"]


def _release(version: str) -> list[str]:
    return version.split("+")[0].split(".")[:2]
