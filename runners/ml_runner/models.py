"""Saved models: which of them may be loaded, finding them and loading them.

What the executor wrote, and nobody has changed since, may be loaded even if it is a pickle (see
``descriptors``). Any other file is loaded where its format cannot run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import bounds, calls, descriptors, distributions, errors, frameworks, scripts
from ml_runner.frameworks.base import LoadsWeights
from ml_runner.nearest import nearest
from ml_runner.process.decline import Decline
from ml_runner.training import checkpoints, run_directory, unfinished

if TYPE_CHECKING:
    from ml_runner.data import Schema
    from ml_runner.frameworks.base import Adapter, Model
    from ml_runner.job import Job

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


# -- finding ---------------------------------------------------------------------------------------


def find(job: Job, *, key: str = "config.modelPath") -> Path:
    """The model file that a key means: the file itself, or that of a run's directory.

    Raises:
        InvalidConfiguration: the call has no such key.
        ModelLoadingError: nothing there (lists near names), or a directory without one model.
    """
    sent = job.config.get(key.removeprefix("config."))
    if sent is None:
        raise errors.InvalidConfiguration(
            f"{key} is missing",
            solution="Send the path of a model file, or the outputDir of its training.",
            metadata={"key": key},
        )
    path = job.resolve(sent, key=key)
    if path.is_file():
        if path.name.endswith(descriptors.SUFFIX):
            return path.with_name(path.name.removesuffix(descriptors.SUFFIX))
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
    named = frameworks.model_in(path) or run_directory.model_in(path)
    if named is not None and named.is_dir():
        named = frameworks.model_in(named)
    if named is not None:
        return named
    found = [
        file
        for pattern in _CANDIDATES
        for file in sorted(path.glob(pattern))
        if file.is_file() and not file.name.endswith(descriptors.SUFFIX)
    ]
    if len(found) == 1:
        return found[0]
    unfinished_run = unfinished.refusal(path, key=key, sent=sent)
    if unfinished_run is not None:
        raise unfinished_run
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
    if key == "config.pretrainedModel":
        solution += "Nothing is downloaded: give the local directory of a pretrained model. "
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

    if job.config.get("modelScript") is not None:
        loaded = _with_script(job, path, allow_pickle=allowed)
    else:
        # A model that is a directory is another one when any file in it has changed.
        whole = path.parent if frameworks.model_in(path.parent) == path else path
        loaded = memory.cached(whole, load_it)
    if not loaded.safe and not allowed:
        raise _refused(path)
    _check_framework(job, loaded)
    for warning in loaded.warnings:
        job.warn(warning)
    return loaded


def adapter_of(path: Path) -> Adapter:
    """Whose model a file is, by its description or its format; nothing of it is run.

    Raises:
        ModelLoadingError: it cannot be read, or is of no known format.
    """
    data = content(path)
    descriptor, _ = descriptors.read(path, data)
    return frameworks.get(descriptor["framework"]) if descriptor else _recognise(path, data)


def _with_script(job: Job, path: Path, *, allow_pickle: bool) -> Loaded:
    """Weights that came without a description, in the model of the call's own script."""
    if job.light:
        raise Decline("the call brings a script")
    data = content(path)
    descriptor, warnings = descriptors.read(path, data)
    if descriptor is not None:
        sent = ("modelScript", "modelClass", "modelArgs", "lossFunction")
        raise errors.InvalidConfiguration(
            f"modelScript is sent, and '{path}' was saved by train with a script of its own",
            solution="Send nextCall: modelPath says it all.",
            metadata={"key": "config.modelScript", "sent": job.config["modelScript"]},
            next_call=calls.repeat(job, {key: None for key in sent if key in job.config}),
        )
    adapter = _recognise(path, data)
    if not isinstance(adapter, LoadsWeights):
        raise errors.InvalidConfiguration(
            f"modelScript is sent, and '{path}' is a model of {adapter.title}, whole in itself",
            solution="Leave modelScript out.",
            metadata={"key": "config.modelScript", "sent": job.config["modelScript"]},
        )
    script = scripts.of_call(job.config, job.resolve)
    assert script is not None
    model, notes = adapter.load_weights(path, data, script, job.config, allow_pickle=allow_pickle)
    return Loaded(model, adapter, path, None, True, [*warnings, *notes])


def content(path: Path) -> bytes:
    """The bytes of a model file. Raises ``ModelLoadingError`` where it cannot be read."""
    try:
        return bounds.read_bytes(path)
    except OSError as error:
        raise errors.ModelLoadingError(
            f"'{path}' cannot be read: {error.strerror}",
            solution="Make the file readable.",
            metadata={"path": str(path)},
        ) from error


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
    data = content(path)
    descriptor, warnings = descriptors.read(path, data)
    adapter = frameworks.get(descriptor["framework"]) if descriptor else _recognise(path, data)
    safe = descriptor is not None or adapter.is_safe(path)
    if not safe and not allow_pickle:
        raise _refused(path, warnings)
    if descriptor is not None and descriptor.get("script") is not None:
        if without_scripts:
            raise Decline("the model brings a script")
        descriptors.import_script(path, descriptor["script"])
    try:
        model = adapter.load(path, data, _description(descriptor))
    except errors.ModelLoadingError as error:
        if warnings:  # why a description that is there was of no use
            error.message += f"; {warnings[0]}"
        raise
    if descriptor is not None:
        warnings += _other_versions(descriptor["versions"])
    return Loaded(model, adapter, path, descriptor, safe, warnings)


def _description(descriptor: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the model said of itself; with ``script``, the module that its code is imported as."""
    if descriptor is None:
        return None
    script = descriptor.get("script")
    named = {} if script is None else {"script": Path(script["main"]).stem}
    return {**descriptor["model"], **named}


def _recognise(path: Path, data: bytes) -> Adapter:
    head = data[:4096]
    if path.parent.name == checkpoints.DIRECTORY and (left := unfinished.refusal(path)):
        raise left
    # By content first: any name may stand on anything.
    knowing = [each for each in frameworks.all_adapters() if each.recognises(path, head)]
    if knowing:
        # A format that runs nothing may begin as one that does: it is the narrower one.
        return next((each for each in knowing if each.is_safe(path)), knowing[0])
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
