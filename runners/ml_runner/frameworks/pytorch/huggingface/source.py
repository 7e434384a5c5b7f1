"""A text model of a directory, with an output layer for the data: see ``pytorch.source.Source``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ml_runner import calls, errors, seeds
from ml_runner.data.source import some
from ml_runner.frameworks.pytorch.huggingface import library, lora
from ml_runner.frameworks.pytorch.huggingface.directory import Directory
from ml_runner.frameworks.pytorch.huggingface.labels import put_into, same_labels
from ml_runner.frameworks.pytorch.huggingface.opening import SEQUENCE, WORDS, Opened
from ml_runner.frameworks.pytorch.huggingface.tokenizer import LONGEST, TextTokenizer
from ml_runner.frameworks.pytorch.pretrained import transfer
from ml_runner.frameworks.pytorch.source import Asked

if TYPE_CHECKING:
    from ml_runner.data.samples import Scaling
    from ml_runner.job import Job

_KEY = "config.pretrainedModel"


class TextSource:
    """See ``Source``.

    Args:
        job: the call's.
        path: a directory in Hugging Face form.

    Attributes:
        tokenizer: for the data.
        words: the data are lists of words with a label each; set before ``build``.

    Raises:
        ModelLoadingError, InvalidConfiguration, FrameworkNotFound: see ``Opened``.
    """

    script = None
    scaling: Scaling | None = None

    def __init__(self, job: Job, path: Path) -> None:
        _refuse_script(job, path)
        self._job = job
        self._directory = Directory(path, _KEY)
        self._opened = Opened(self._directory)
        # Which of the two it becomes, the data say; what it takes is the same.
        self.name = self._opened.model_class(SEQUENCE).__name__
        longest = min(self._opened.limit, LONGEST)
        wanted = job.option("maxLength", longest)
        self.tokenizer: TextTokenizer = self._opened.tokenizer(
            wanted, self._opened.model_class(SEQUENCE)
        )
        self.words = False
        self.making: dict[str, Any] = {}
        self._seed = int(job.config.get("seed") or 0)
        self._facts: dict[str, Any] = {}
        self._lora: dict[str, Any] = {}
        if job.config.get("lora") is not None:
            library.peft()

    def build(self, asked: Asked) -> nn.Module:
        """The model on the CPU, in float32; what it has not from the directory is new.

        The seed is set directly before the new layers are made, as by a script that calls
        ``torch.manual_seed(seed)`` and ``from_pretrained``.
        """
        assert asked.target is not None
        config = self._opened.config
        model_class: Any = self._opened.model_class(WORDS if self.words else SEQUENCE)
        state = self._opened.state()
        kept = same_labels(config, asked.target, asked.outputs)
        before = int(config.num_labels)
        put_into(config, asked.target, asked.outputs)
        if not kept:
            state = _without_head(state, model_class.base_model_prefix, before)
        seeds.seed_all(self._seed)
        model, loaded = model_class.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        others = {name: shapes for name, *shapes in loaded["mismatched_keys"]}
        new = sorted({*loaded["missing_keys"], *others})
        self._refuse_other_shapes(others, model_class.base_model_prefix)
        self._tell(model, new, sorted(loaded["unexpected_keys"]))
        self.name = model_class.__name__
        wanted = self._job.config.get("lora")
        if wanted is None:
            return model
        model = lora.wrap(model, wanted, self._directory.path, words=self.words)
        self._lora = {"lora": lora.facts(model)}
        return model

    def facts(self) -> dict[str, Any]:
        """``pretrained``: where it came from, what was taken over, what is new; ``lora``."""
        return {"pretrained": self._facts, **self._lora}

    def origins(self) -> dict[str, dict[str, Any]]:
        """Its file of weights, for whoever goes on with the run."""
        return transfer.origin(self._directory.weights)

    def _refuse_other_shapes(self, others: Mapping[str, Any], base: str) -> None:
        """Of the output layer it is no fault, which is made for the data."""
        inside = sorted(name for name in others if name.startswith(f"{base}."))
        if not inside:
            return
        theirs, ours = (list(shape) for shape in others[inside[0]])
        raise self._directory.bad(
            f"holds weights that are not those of its config: {inside[0]} is {tuple(theirs)} in the"
            f" file and {tuple(ours)} in the model"
            + (f", and {len(inside) - 1} more" if len(inside) > 1 else ""),
            "Copy weights and config of one and the same model.",
            {"tensors": inside[:10]},
        )

    def _tell(self, model: Any, new: list[str], unused: list[str]) -> None:
        prefix = f"{model.base_model_prefix}."
        base = [name for name in model.state_dict() if name.startswith(prefix)]
        inside = [name for name in new if name.startswith(prefix)]
        if 2 * len(inside) > len(base):
            raise self._directory.bad(
                f"lacks {len(inside)} of the {len(base)} tensors of a {type(model).__name__},"
                f" such as {inside[0]}",
                "Copy the weights again, or mend model_type in its config.json.",
                {"missing": inside[:10], "unexpected": unused[:10]},
            )
        if inside:
            self._job.warn(
                f"'{self._directory.path}' lacks {len(inside)} tensors of the model, which begin"
                f" anew: {some(inside, 5)}"
            )
        self._facts = {
            "path": self._job.config["pretrainedModel"],
            "modelType": self._opened.config.model_type,
            "tensorsTaken": len(model.state_dict()) - len(new),
            **({"newTensors": new[:10]} if new else {}),
            **({"tensorsUnused": unused[:10]} if unused else {}),
        }


def _refuse_script(job: Job, path: Path) -> None:
    sent = [key for key in ("modelScript", "modelClass", "modelArgs") if key in job.config]
    if sent:
        raise errors.InvalidConfiguration(
            f"{sent[0]} is sent, and '{path}' is a text model in Hugging Face form: it needs none",
            solution="Send nextCall, without it.",
            metadata={"key": f"config.{sent[0]}", "sent": job.config[sent[0]]},
            next_call=calls.repeat(job, dict.fromkeys(sent)),
        )


def _without_head(
    state: dict[str, torch.Tensor], base: str, outputs: int
) -> dict[str, torch.Tensor]:
    """The state without the layer that gave ``outputs`` outputs, whose meaning is another now."""
    if not any(name.startswith(f"{base}.") for name in state):
        return state  # a bare model, without any head
    return {
        name: tensor
        for name, tensor in state.items()
        if name.startswith(f"{base}.") or tensor.ndim == 0 or tensor.shape[0] != outputs
    }
