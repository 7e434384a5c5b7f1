"""Config and tokenizer of a directory, opened by the library from a copy of its small files."""

from __future__ import annotations

import hashlib
import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ml_runner import bounds, errors, files
from ml_runner.frameworks.pytorch import weights
from ml_runner.frameworks.pytorch.huggingface import library
from ml_runner.frameworks.pytorch.huggingface.directory import CONFIG, Directory
from ml_runner.frameworks.pytorch.huggingface.tokenizer import TextTokenizer, longest_of
from ml_runner.nearest import nearest

# One of these has the vocabulary.
_VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
    "tokenizer.model", "sentencepiece.model", "spm.model", "bpe.codes",
)  # fmt: skip
SEQUENCE, WORDS = "sequence", "words"


class Opened:
    """What a directory says of its model, before weights are read.

    Args:
        directory: in Hugging Face form.
        expected: name → SHA-256 of its small files, where it is one of ours; None: unknown.

    Attributes:
        config: the library's configuration.
        tokens: the library's tokenizer.
        limit: pieces that the model takes at most.

    Raises:
        ModelLoadingError: a kind of model that the library does not have, one that brings code of
            its own, no tokenizer, a file that has changed.
        FrameworkNotFound: the library is not installed.
    """

    def __init__(self, directory: Directory, expected: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.config: Any = None
        self.tokens: Any = None
        small = directory.small_files()
        _refuse_changed(directory, small, expected)
        kept = small if expected is None else {name: small[name] for name in expected}
        transformers = library.transformers()
        self._check_kind(transformers)
        if not any(name in kept for name in _VOCABULARIES):
            raise directory.bad(
                "has no tokenizer",
                "Save the tokenizer of the model into it too (tokenizer.save_pretrained).",
                {"found": sorted(kept)[:20]},
            )
        scratch = files.state_home() / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        # The library opens files by itself: it gets copies of what was read within the bound.
        with tempfile.TemporaryDirectory(dir=scratch) as copy:
            for name, content in kept.items():
                (Path(copy) / name).write_bytes(content)
            local = {"local_files_only": True, "trust_remote_code": False}
            try:
                self.config = transformers.AutoConfig.from_pretrained(copy, **local)
                self.tokens = transformers.AutoTokenizer.from_pretrained(copy, **local)
            except Exception as error:  # whatever a config or vocabulary can break in the library
                raise self._unreadable(error, copy) from error
        self._mend_padding()
        self.limit = longest_of(self.tokens, self.config)

    def tokenizer(self, max_length: int | None, model_class: type) -> TextTokenizer:
        """The tokenizer for a model of a class, cutting at ``max_length`` (None: at the limit).

        Raises:
            InvalidConfiguration: the model does not take so many.
        """
        if max_length is not None and max_length > self.limit:
            raise errors.InvalidConfiguration(
                f"maxLength is {max_length}, and the model takes texts of {self.limit} pieces at"
                " most",
                solution=f"Send maxLength {self.limit}, or less.",
                metadata={"key": "config.maxLength", "sent": max_length, "allowed": self.limit},
            )
        takes = set(inspect.signature(model_class.forward).parameters)  # pyright: ignore[reportAttributeAccessIssue]
        return TextTokenizer(self.tokens, max_length or self.limit, takes)

    def model_class(self, form: str) -> type:
        """The library's class for labels of whole texts, or of words.

        Raises:
            ModelLoadingError: it has none for this kind of model.
        """
        transformers = library.transformers()
        mapping = {
            SEQUENCE: transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
            WORDS: transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
        }[form]
        try:
            return mapping[type(self.config)]
        except KeyError as error:
            what = {SEQUENCE: "classify texts", WORDS: "label the words of a text"}[form]
            raise self.directory.bad(
                f"is a model of type '{self.config.model_type}', which transformers cannot make"
                f" {what}",
                "Name an encoder of texts, such as one of type bert, roberta or distilbert.",
                {"modelType": self.config.model_type},
            ) from error

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors of its weights, on the CPU. Raises ``ModelLoadingError``."""
        state: dict[str, torch.Tensor] = {}
        for part in self.directory.parts():
            try:
                data = bounds.read_bytes(part)
            except OSError as error:
                raise self.directory.bad(
                    f"has a {part.name} that cannot be read: {error.strerror}", "Make it readable."
                ) from error
            state |= _tensors(part, data)
        return state

    def _check_kind(self, transformers: Any) -> None:
        config, kinds = self.directory.config, list(transformers.CONFIG_MAPPING.keys())
        kind = config.get("model_type")
        if kind in kinds:
            return
        if config.get("auto_map"):
            raise self.directory.bad(
                "brings code of its own (auto_map in its config.json), which is never run",
                "Name a model of a type that transformers itself has.",
                {"modelType": kind},
            )
        near = nearest(str(kind), kinds)
        raise self.directory.bad(
            f"is a model of type '{kind}', which transformers {transformers.__version__} does not"
            " have",
            (f"Did you mean '{near}'? " if near else "") + f"Mend model_type in its {CONFIG}, or"
            " install a newer transformers.",
            {"modelType": kind, **({"nearest": near} if near else {})},
        )

    def _mend_padding(self) -> None:
        """Models that only write text on have no padding; their end mark serves for it."""
        if self.tokens.pad_token_id is None:
            self.tokens.pad_token = self.tokens.eos_token or self.tokens.unk_token
        if getattr(self.config, "pad_token_id", None) is None:
            self.config.pad_token_id = self.tokens.pad_token_id

    def _unreadable(self, error: Exception, copy: str) -> errors.ModelLoadingError:
        why = " ".join(str(error).replace(copy, str(self.directory.path)).split())
        if "trust_remote_code" in why:
            return self.directory.bad(
                "brings code of its own for its tokenizer, which is never run",
                "Save its tokenizer as tokenizer.json.",
            )
        what = "config" if self.config is None else "tokenizer"
        return self.directory.bad(
            f"has a {what} that transformers cannot read: {type(error).__name__}: {why[:300]}",
            "Save it again with save_pretrained; for a tokenizer, as tokenizer.json.",
        )


def _refuse_changed(
    directory: Directory, found: Mapping[str, bytes], expected: Mapping[str, str] | None
) -> None:
    for name, digest in (expected or {}).items():
        if name in found and hashlib.sha256(found[name]).hexdigest() == digest:
            continue
        what = "has changed since it was saved" if name in found else "is not there"
        raise directory.bad(
            f"is a model whose {name} {what}",
            "Put the file back as it was; or take the .meta.json away, and it is read as any other"
            " directory.",
            {"file": name},
        )


def _tensors(path: Path, data: bytes) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return weights.load_file(path, data).state
    found = weights.read(path, data)
    if not isinstance(found, dict) or not all(
        isinstance(value, torch.Tensor) for value in found.values()
    ):
        raise errors.ModelLoadingError(
            f"'{path}' holds something else than tensors by name",
            solution="Save the model with save_pretrained.",
            metadata={"path": str(path)},
        )
    return found
