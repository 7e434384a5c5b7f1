"""Weights from files: read without running any code of theirs, and held against a model.

A ``.pt`` file is a pickle: it is read by the library's restricted reader, which knows tensors and
plain containers and nothing else.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ml_runner import errors
from ml_runner.frameworks.pytorch.failures import is_out_of_memory

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch.save before 1.6
# Where training scripts put the weights among other things of a checkpoint.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
_PREFIXES = ("_orig_mod.", "module.", "model.")
_SHOWN = 10


@dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        state: name → tensor, on the CPU.
        module: the whole model, where the file is a pickle of one (and that was allowed).
        extra: what else the file holds, by name (``epoch``, ``optimizer``, …).
        notes: what was done that a caller may not expect.
    """

    state: dict[str, torch.Tensor]
    module: nn.Module | None = None
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])


def load_file(path: Path, data: bytes, *, allow_pickle: bool = False) -> Weights:
    """The weights in ``data``, the content of ``path``.

    Args:
        path: for messages; its ending does not matter.
        data: a file of ``torch.save`` (new or old form), or safetensors.
        allow_pickle: the caller trusts the file: a pickled module or other objects are loaded too,
            which can run any code in it.

    Raises:
        ModelLoadingError: it is not such a file, not whole, or holds more than tensors.
    """
    if not data:
        raise _bad(path, "it is empty", "Give a file that torch.save has written to its end.")
    if _is_safetensors(data):
        return Weights(_safetensors(path, data))
    found, notes = read(path, data, allow_pickle=allow_pickle), []
    if isinstance(found, nn.Module):
        notes.append(f"The file is a pickle of a whole model, a {type(found).__name__}")
        return Weights(dict(found.state_dict()), found, notes=notes)
    return _unwrap(path, found, notes)


def read(path: Path, data: bytes, *, allow_pickle: bool = False) -> Any:
    """What ``torch.save`` wrote, whatever it is; arguments and errors as for ``load_file``."""
    if not data:
        raise _bad(path, "it is empty", "Give a file that torch.save has written to its end.")
    _check_form(path, data)
    return _read(path, data, allow_pickle)


# -- reading ---------------------------------------------------------------------------------------


def _is_safetensors(data: bytes) -> bool:
    """8 bytes: the length of a JSON object that follows."""
    length = int.from_bytes(data[:8], "little")
    return len(data) > 8 and data[8:9] == b"{" and 2 <= length <= 100_000_000


def _safetensors(path: Path, data: bytes) -> dict[str, torch.Tensor]:
    try:
        from safetensors.torch import load
    except ImportError as error:
        raise errors.ModelLoadingError(
            f"'{path}' is a safetensors file, and safetensors is not installed",
            solution="Install safetensors into this Python, or give a file of torch.save.",
            metadata={"path": str(path), "module": "safetensors"},
        ) from error
    try:
        return load(data)
    except Exception as error:  # its error class is not public everywhere
        length = int.from_bytes(data[:8], "little")
        try:
            header = json.loads(data[8 : 8 + length])
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key[:2] != "__"]
            wanted = 8 + length + max(ends, default=0)
            cut = f": it has {len(data)} of {wanted} bytes" if wanted > len(data) else ""
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            cut = ": its header is not whole"
        raise _bad(
            path, f"it is a safetensors file that is damaged{cut} ({error})", "Copy it again."
        ) from error


def _check_form(path: Path, data: bytes) -> None:
    """Raises ``ModelLoadingError`` for what the library would only stumble over."""
    if data.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names = archive.namelist()
                damaged = archive.testzip()
        # NotImplementedError: damage can make an entry name a compression that there is not.
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise _bad(
                path,
                f"it is cut off or damaged: the end of its archive is missing ({len(data)} bytes)",
                "Copy it again, or give an earlier checkpoint.",
            ) from error
        if damaged is not None:
            raise _bad(path, f"it is damaged: '{damaged}' in it has changed", "Copy it again.")
        if any(name.endswith("constants.pkl") for name in names):
            raise _bad(
                path,
                "it is a TorchScript archive: a program, not weights",
                "Save model.state_dict() with torch.save, and give the modelScript.",
            )
        if not any(name.endswith("/data.pkl") for name in names):
            raise _bad(
                path,
                f"it is a zip archive of something else: {', '.join(names[:5])}",
                "Give a file that torch.save has written.",
            )
        return
    if data.startswith(_LEGACY) or data[:1] == b"\x80":
        return
    what = "its beginning is that of no file of PyTorch"
    if data.startswith(b"version https://git-lfs"):
        what = "it is a pointer of Git LFS, not the file that it stands for"
    elif data.lstrip()[:1] == b"<":
        what = "it is a page of HTML or XML: a failed download, most likely"
    elif all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in data[:200]):
        what = f"it is text, beginning with {data[:40].decode('ascii')!r}"
    raise _bad(path, what, "Give a file that torch.save has written, or a safetensors file.")


def _read(path: Path, data: bytes, allow_pickle: bool) -> Any:
    try:
        return _load(data, weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)|[Uu]nsupported class ([\w.]+)", str(error))
        found = (named[1] or named[2]).rstrip(".") if named else None
        # In a file that was cut off the name of a class may be cut off too.
        if data.startswith(_LEGACY) and found is not None and not _is_whole_pickle(data):
            raise _cut_off(path, data) from error
        if found is None and (data.startswith(_LEGACY) or _loads_nothing(error)):
            raise _not_weights(path, data, error, allow_pickle) from error
        if not allow_pickle:
            raise _holds_objects(path, found) from error
    except MemoryError:
        raise
    except Exception as error:  # the reader stumbles in a dozen ways over what is cut off
        if is_out_of_memory(error):
            raise
        raise _cut_off(path, data) from error
    try:
        return _load(data, weights_only=False)
    except MemoryError:
        raise
    except Exception as error:
        raise errors.ModelLoadingError(
            f"'{path}' cannot be unpickled: {type(error).__name__}: {error}",
            solution="A pickled object needs the script that defines its class: name it as"
            " modelScript, under the name that it had.",
            metadata={"path": str(path), "exception": type(error).__name__},
        ) from error


def _load(data: bytes, *, weights_only: bool) -> Any:
    with warnings.catch_warnings():
        # What it warns of (other pickle protocols, archives of programs) ends in an error here.
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=weights_only)


def _loads_nothing(error: Exception) -> bool:
    return "Unsupported operand" in str(error) or "Invalid magic number" in str(error)


def _is_whole_pickle(data: bytes) -> bool:
    """Whether each of the pickles that an old file begins with reads to its end (run none)."""
    import pickletools

    stream = io.BytesIO(data)
    try:
        for _ in range(4):  # magic number, version, system, and the object itself
            for _ in pickletools.genops(stream):
                pass
    except Exception:
        return False
    return True


def _not_weights(
    path: Path, data: bytes, error: Exception, allow_pickle: bool
) -> errors.ModelLoadingError:
    if data[:1] == b"\x80" and len(data) > 1 and data[1] in range(2, 6):
        return _bad(
            path,
            "it is a pickle that torch.save did not write",
            "Save the weights with torch.save(model.state_dict(), …).",
        )
    return _bad(
        path, f"it is damaged ({str(error).strip().splitlines()[-1][:120]})", "Copy it again."
    )


def _cut_off(path: Path, data: bytes) -> errors.ModelLoadingError:
    return _bad(
        path,
        f"it is cut off or damaged ({len(data)} bytes)",
        "Copy it again, or give an earlier checkpoint.",
    )


def _holds_objects(path: Path, found: str | None) -> errors.ModelLoadingError:
    what = f"'{found}'" if found else "objects of unknown kinds"
    return errors.ModelLoadingError(
        f"'{path}' holds more than tensors: its pickle asks for {what}, which nothing but trust"
        " allows to load; none of it was run",
        solution="Save model.state_dict() with torch.save instead of the whole model. If you trust"
        " where the file comes from, send config.allowPickle: true.",
        metadata={"key": "config.allowPickle", "path": str(path), "found": found},
    )


def _bad(path: Path, what: str, solution: str) -> errors.ModelLoadingError:
    return errors.ModelLoadingError(
        f"'{path}' holds no weights that can be read: {what}",
        solution=solution,
        metadata={"path": str(path), "found": what},
    )


def _unwrap(path: Path, found: Any, notes: list[str]) -> Weights:
    if isinstance(found, Mapping):
        if _is_state(found):
            return Weights(dict(found), notes=notes)
        for name in _WRAPPERS:
            inner = found.get(name)
            if isinstance(inner, nn.Module):
                inner = inner.state_dict()
            if isinstance(inner, Mapping) and _is_state(inner):
                extra = {key: value for key, value in found.items() if key != name}
                notes.append(f"The weights are those under '{name}' in the file")
                return Weights(dict(inner), extra=extra, notes=notes)
        holds = ", ".join(
            f"{key}: {type(value).__name__}" for key, value in list(found.items())[:8]
        )
        what = f"a dict of {holds or 'nothing'}"
    else:
        what = f"a {type(found).__name__}"
    raise _bad(
        path,
        f"it holds {what}, not a state dict (name → tensor)",
        f"Save model.state_dict(), alone or under one of: {', '.join(_WRAPPERS)}.",
    )


def _is_state(found: Mapping[Any, Any]) -> bool:
    # Beside tensors a state dict may hold what modules add by get_extra_state.
    return bool(found) and all(
        isinstance(key, str) and (isinstance(value, torch.Tensor) or key.endswith("_extra_state"))
        for key, value in found.items()
    )


# -- against a model -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """How a state stands against a model.

    Attributes:
        state: the state, with prefixes taken away where the model has none.
        missing: names that the model has and the state lacks.
        unexpected: names that the state has and the model lacks.
        shapes: name → (the state's shape, the model's), where they differ.
        notes: what was done to the names.
    """

    state: dict[str, torch.Tensor]
    missing: list[str]
    unexpected: list[str]
    shapes: dict[str, tuple[list[int], list[int]]]
    notes: list[str]

    @property
    def exact(self) -> bool:
        """Whether every tensor fits."""
        return not (self.missing or self.unexpected or self.shapes)


def match(model: nn.Module, state: Mapping[str, torch.Tensor]) -> Match:
    """Holds a state against a model, without changing either.

    Prefixes that wrappers leave (``module.`` of DataParallel, ``_orig_mod.`` of torch.compile,
    ``model.`` of Lightning) are taken away where the model does not have them itself.
    """
    own = model.state_dict(keep_vars=True)
    renamed, notes = dict(state), list[str]()
    for _ in range(len(_PREFIXES)):
        prefix = next(
            (
                prefix
                for prefix in _PREFIXES
                if renamed
                and all(name.startswith(prefix) for name in renamed)
                and not any(name.startswith(prefix) for name in own)
            ),
            None,
        )
        if prefix is None:
            break
        renamed = {name.removeprefix(prefix): tensor for name, tensor in renamed.items()}
        notes.append(f"The names of the weights begin with '{prefix}', which was taken away")
    shapes = {
        name: (list(tensor.shape), list(own[name].shape))
        for name, tensor in renamed.items()
        if name in own
        and isinstance(tensor, torch.Tensor)
        and isinstance(own[name], torch.Tensor)
        and not nn.parameter.is_lazy(own[name])
        and tensor.shape != own[name].shape
    }
    return Match(
        renamed,
        missing=[name for name in own if name not in renamed],
        unexpected=[name for name in renamed if name not in own],
        shapes=shapes,
        notes=notes,
    )


def load_into(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> list[str]:
    """Gives a model the weights of a state; what of it should be told.

    Raises:
        ModelLoadingError: they do not fit; names the tensors, with both shapes.
    """
    matched = match(model, state)
    if not matched.exact:
        raise does_not_fit(model, matched, path)
    try:
        model.load_state_dict(matched.state)
    except RuntimeError as error:
        raise errors.ModelLoadingError(
            f"'{path}' does not fit {type(model).__name__}: {' '.join(str(error).split())[:500]}",
            solution="Give the model that these weights were saved from.",
            metadata={"path": str(path)},
        ) from error
    return matched.notes


def does_not_fit(model: nn.Module, matched: Match, path: Path) -> errors.ModelLoadingError:
    """The error for a state that does not fit: names tensors, with both shapes."""
    words = [
        f"{name} is {tuple(theirs)} in the file and {tuple(ours)} in the model"
        for name, (theirs, ours) in list(matched.shapes.items())[:3]
    ]
    for names, where in ((matched.missing, "lacks"), (matched.unexpected, "also has")):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            words.append(f"the file {where} {', '.join(names[:3])}{more}")
    if len(matched.shapes) > 3:
        words.insert(3, f"{len(matched.shapes) - 3} more differ in shape")
    return errors.ModelLoadingError(
        f"The weights of '{path}' are not those of {type(model).__name__}: {'; '.join(words)}",
        solution="Give the modelArgs (num_classes, …) that the weights were trained with."
        if matched.shapes
        else "Give the modelClass and modelArgs that the weights were trained with.",
        metadata={
            "path": str(path),
            "shapes": {
                name: {"file": theirs, "model": ours}
                for name, (theirs, ours) in list(matched.shapes.items())[:_SHOWN]
            },
            "missing": matched.missing[:_SHOWN],
            "unexpected": matched.unexpected[:_SHOWN],
        },
    )
