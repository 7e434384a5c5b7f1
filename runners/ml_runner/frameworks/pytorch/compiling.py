"""``torch.compile`` of a model, in place: names of weights and classes of modules stay."""

from __future__ import annotations

import importlib
import os
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ml_runner import calls, errors, files

if TYPE_CHECKING:
    from ml_runner.job import Job

_KEY = "config.compile"
# Forms of batches for which a graph is made; beyond them the library falls back without a word.
_GRAPHS = 64


class Compiled:
    """A compiled model.

    Args:
        model: on its device; its first call with each form of a batch compiles.
        job: whose training it is.
        fixed: all samples have one shape, so that each size of a batch gets a graph of its own.
            Else one graph is made for all. Either way a resumed training computes with the graphs
            of the uninterrupted one.

    Attributes:
        seconds: spent on compiling so far.
        graphs: how often something was compiled.

    Raises:
        InvalidConfiguration: nothing can be compiled here; says what is missing.
    """

    def __init__(self, model: nn.Module, job: Job, *, fixed: bool) -> None:
        device = next(model.parameters()).device
        _prepare(job)
        reason = _missing(device)
        if reason is not None:
            raise errors.InvalidConfiguration(
                f"compile is true, and nothing can be compiled here: {reason}",
                solution="Install what is missing, or leave compile out.",
                metadata={"key": _KEY, "sent": True, "device": str(device)},
                next_call=calls.repeat(job, {"compile": None}),
            )
        self.seconds, self.graphs = 0.0, 0
        self._began = 0.0
        self._model = model
        self._callbacks = importlib.import_module("torch._dynamo.callback").callback_handler
        self._callbacks.register_start_callback(self._start)
        self._callbacks.register_end_callback(self._end)
        model.compile(dynamic=not fixed)

    def undo(self) -> None:
        """Lets the model compute as it is from now on."""
        self._model._compiled_call_impl = None
        self._callbacks.remove_start_callback(self._start)
        self._callbacks.remove_end_callback(self._end)

    def facts(self) -> dict[str, Any]:
        """For the report's metadata."""
        return {
            "compiled": True,
            "compileSeconds": round(self.seconds, 3),
            "compiledGraphs": self.graphs,
        }

    def _start(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._began
        self.graphs += 1


def _prepare(job: Job) -> None:
    # Both are read when the compiler is imported.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(files.cache_home() / "torchinductor"))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(job.threads))
    config = importlib.import_module("torch._dynamo.config")
    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, name, _GRAPHS)


def _missing(device: torch.device) -> str | None:
    """What compiling lacks; None where all is there."""
    try:
        importlib.import_module("torch._dynamo.eval_frame").check_if_dynamo_supported()
    except RuntimeError as error:
        return str(error)
    if device.type == "cuda":
        if not importlib.import_module("torch.utils._triton").has_triton():
            return "the package 'triton' is not installed, or cannot work with this GPU"
        return None
    if device.type != "cpu":
        return f"it has not been tried on '{device.type}'"
    try:
        importlib.import_module("torch._inductor.cpp_builder").get_cpp_compiler()
    except Exception:  # its class has moved between versions
        return "there is no C++ compiler (g++ or clang++, or the one that CXX names)"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"the header files of this Python are not installed ('{header}')"
    return None
