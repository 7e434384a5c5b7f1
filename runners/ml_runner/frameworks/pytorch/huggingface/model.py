"""A text model, in memory and on disk as a directory that the library itself loads."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ml_runner import bounds, errors
from ml_runner.data.samples import Samples, TextSamples
from ml_runner.data.samples.base import Warn
from ml_runner.frameworks.base import CLASSIFICATION, MULTI_LABEL
from ml_runner.frameworks.pytorch import losses, precision
from ml_runner.frameworks.pytorch.huggingface import labels, lora
from ml_runner.frameworks.pytorch.huggingface.batches import TextBatches, as_tensors, call
from ml_runner.frameworks.pytorch.huggingface.directory import FORM, Directory
from ml_runner.frameworks.pytorch.huggingface.opening import SEQUENCE, WORDS, Opened
from ml_runner.frameworks.pytorch.huggingface.tokenizer import LONGEST, TextTokenizer
from ml_runner.frameworks.pytorch.model import TorchModel, bytes_of
from ml_runner.frameworks.pytorch.targets import CLASSES, MULTILABEL, NUMBERS, Target

_WEIGHTS = "model.safetensors"
_KINDS = {CLASSIFICATION: CLASSES, MULTI_LABEL: MULTILABEL}
_CLASS_ENDS = {"ForSequenceClassification": SEQUENCE, "ForTokenClassification": WORDS}


class TextModel(TorchModel):
    """See ``TorchModel``; its inputs are ``TextSamples``.

    Args:
        module: a model of the library.
        tokenizer: its own.
        **more: as for ``TorchModel``.
    """

    batch_size = 32

    def __init__(self, module: nn.Module, *, tokenizer: TextTokenizer, **more: Any) -> None:
        super().__init__(module, **more)
        self.tokenizer = self._texts = tokenizer

    @classmethod
    def saved(
        cls,
        module: nn.Module,
        *,
        best: Mapping[str, Any] | None,
        optimizer: Any,
        scratch: Path,
        **more: Any,
    ) -> TextModel:
        """The model that a training gives: the weights of its best epoch.

        Args:
            module: with the weights of the last step; gets those of the best epoch.
            best: state dict of the best epoch; None where there was none.
            optimizer: whose state is saved beside the weights.
            scratch: a directory for what the library writes.
            **more: as for the class.
        """
        model = cls(module, **more)
        tokens = model._texts.library
        last = _written(module, tokens, scratch)
        if best is not None:
            module.load_state_dict(dict(best))
        first = last if best is None else _written(module, tokens, scratch)
        model._saved = {
            "bestModel": ("best_model", first),
            "lastModel": ("last_model", last),
            "optimizer": ("optimizer.pt", bytes_of(optimizer.state_dict())),
        }
        if lora.is_wrapped(module):
            model._saved["adapter"] = ("adapter", lora.alone(module, scratch))
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in first.items()}
        digests.pop(_WEIGHTS)
        model._making = {"form": FORM, "files": digests, "maxLength": model._texts.max_length}
        return model

    def meet(self, samples: Samples, warn: Warn) -> None:
        """Takes whole numbers in the data for the positions of its labels."""
        if samples.targets is None or self.classes is None:
            return
        assert isinstance(samples, TextSamples)
        if samples.of_words:
            return
        found = labels.by_name(samples.targets, self.classes, "target", f"'{samples.source}'")
        if found is not samples.targets:
            names = ", ".join(f"{place} {name}" for place, name in enumerate(self.classes[:10]))
            warn(
                f"the labels of '{samples.source}' are whole numbers, taken for the positions of"
                f" the model's: {names}"
            )
            samples.targets = found

    def _outputs_of(self, samples: Samples, rows: np.ndarray) -> torch.Tensor:
        device = next(self.module.parameters()).device
        inputs, _ = as_tensors(TextBatches(samples, None).__getitems__(rows.tolist()))
        return call(self.module, {name: values.to(device) for name, values in inputs.items()})


def load(weights: Path, description: Mapping[str, Any] | None) -> TextModel:
    """A model of a directory, ours or somebody else's.

    Args:
        weights: its file of weights.
        description: as ``describe`` gave it; None: the config says all.

    Raises:
        ModelLoadingError: no model that classifies, or one that is not whole.
        FrameworkNotFound: the library is not installed.
    """
    directory = Directory(weights.parent, "config.modelPath")
    known = description or {}
    opened = Opened(directory, known.get("files"))
    form = _form_of(directory)
    model_class: Any = opened.model_class(form)
    module, loaded = model_class.from_pretrained(
        None,
        config=opened.config,
        state_dict=opened.state(),
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    absent = sorted({*loaded["missing_keys"], *(name for name, *_ in loaded["mismatched_keys"])})
    if absent:
        raise directory.bad(
            f"holds weights that are not those of a {model_class.__name__} of its config: missing"
            f" or of another shape are {', '.join(absent[:5])}",
            "Copy weights and config of one and the same model.",
            {"missing": absent[:20]},
        )
    task = known.get("task") or labels.task_of(opened.config)
    classes = known.get("classes") if known else None
    if not known and task == CLASSIFICATION:
        classes = labels.classes_of(opened.config)
    target = Target(known.get("targetKind") or _KINDS.get(task, NUMBERS), classes)
    name = known.get("loss")
    longest = known.get("maxLength") or min(opened.limit, LONGEST)
    return TextModel(
        module,
        tokenizer=opened.tokenizer(longest, model_class),
        loss=losses.build(
            {"lossFunction": name} if name else {}, target, lambda _key, _value: None
        ),
        algorithm=model_class.__name__,
        task=task,
        classes=classes,
        shape=None,
        making={key: known[key] for key in ("form", "files", "maxLength") if key in known},
        mixed_precision=known.get("mixedPrecision", precision.OFF),
    )


def _form_of(directory: Directory) -> str:
    named = [str(name) for name in directory.config.get("architectures") or ()]
    for name in named:
        for end, form in _CLASS_ENDS.items():
            if name.endswith(end):
                return form
    what = f"a {named[0]}" if named else "a model without architectures in its config.json"
    raise errors.ModelLoadingError(
        f"'{directory.path}' holds {what}, which has no output layer that classifies",
        solution="Fine-tune it first: fine-tune with pretrainedModel.",
        metadata={
            "key": "config.modelPath",
            "path": str(directory.path),
            "found": named,
            "allowed": [f"…{end}" for end in _CLASS_ENDS],
        },
    )


def _written(module: Any, tokens: Any, scratch: Path) -> dict[str, bytes]:
    """Name → content of what the library saves of a model and its tokenizer, weights first."""
    if lora.is_wrapped(module):
        module = lora.merged(module)
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        module.save_pretrained(directory)
        tokens.save_pretrained(directory)
        names = sorted(path.name for path in Path(directory).iterdir())
        names.sort(key=lambda name: name != _WEIGHTS)
        return {name: bounds.read_bytes(Path(directory) / name) for name in names}
