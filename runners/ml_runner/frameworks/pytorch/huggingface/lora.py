"""Low-rank adapters in place of whole layers, through ``peft``."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ml_runner import bounds, errors, unknown_name
from ml_runner.frameworks.pytorch.huggingface import library

_KEY = "config.lora"
# The call's names → the library's.
_NAMES = {"r": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}


def wrap(model: Any, wanted: Mapping[str, Any], base: Path, *, words: bool) -> Any:
    """The model with adapters: they and its output layer learn, everything else is frozen.

    The adapters' weights are drawn from torch's generator, as the library's own function does.

    Args:
        model: of transformers.
        wanted: ``lora`` of the call: ``r``, ``alpha``, ``dropout``, ``targetModules``.
        base: the directory that the model came from, for whoever loads the adapters alone.
        words: it labels words.

    Raises:
        InvalidConfiguration: modules that the model does not have, or cannot be adapted.
        FrameworkNotFound: ``peft`` is not installed.
    """
    peft = library.peft()
    targets = wanted.get("targetModules")
    settings = {_NAMES[key]: value for key, value in wanted.items() if key in _NAMES}
    config = peft.LoraConfig(
        task_type=peft.TaskType.TOKEN_CLS if words else peft.TaskType.SEQ_CLS,
        target_modules=targets,
        **settings,
    )
    if targets is not None:
        _refuse_unknown(model, targets)
    try:
        wrapped = peft.get_peft_model(model, config)
    except ValueError as error:
        raise errors.InvalidConfiguration(
            f"The adapters do not fit {type(model).__name__}: {' '.join(str(error).split())[:300]}",
            solution="Send lora.targetModules: names of linear layers, such as query and value.",
            metadata={"key": f"{_KEY}.targetModules", "sent": targets, "allowed": _layers(model)},
        ) from error
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    return wrapped


def facts(model: Any) -> dict[str, Any]:
    """For a report: what the adapters are, with what the library has chosen."""
    config = model.peft_config["default"]
    return {
        "r": config.r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "targetModules": sorted(config.target_modules),
        "merged": "best_model and last_model",
    }


def is_wrapped(model: nn.Module) -> bool:
    """Whether a model has adapters of ``wrap``."""
    return hasattr(model, "peft_config")


def merged(model: Any) -> Any:
    """A copy of the model whose layers hold what the adapters have learned."""
    return copy.deepcopy(model).merge_and_unload()


def alone(model: Any, scratch: Path) -> dict[str, bytes]:
    """Name → content of the adapters and the output layer in the library's own form.

    Args:
        model: of ``wrap``.
        scratch: a directory for what the library writes.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        model.save_pretrained(directory)
        names = ("adapter_model.safetensors", "adapter_config.json")
        return {name: bounds.read_bytes(Path(directory) / name) for name in names}


def _layers(model: nn.Module) -> list[str]:
    """The last steps of the names of linear layers."""
    found = {
        name.rpartition(".")[2]: None
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    return list(found)


def _refuse_unknown(model: nn.Module, targets: list[str]) -> None:
    names = [name for name, _ in model.named_modules()]
    for target in targets:
        if any(name == target or name.endswith(f".{target}") for name in names):
            continue
        layers = _layers(model)
        raise unknown_name.refusal(
            f"{type(model).__name__} has no module '{target}'",
            f"Its linear layers are called: {', '.join(layers)}.",
            key=f"{_KEY}.targetModules",
            sent=target,
            known=layers,
            allowed=layers,
        )
