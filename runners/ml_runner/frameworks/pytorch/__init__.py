"""PyTorch: modules of the caller's own script, trained by a loop of our own."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import distributions, errors
from ml_runner.frameworks.base import Estimator, Model
from ml_runner.frameworks.pytorch.huggingface import directory
from ml_runner.libraries import need
from ml_runner.training.epochs import tensorboard
from ml_runner.training.metrics import Metric

if TYPE_CHECKING:
    import numpy as np

    from ml_runner.frameworks.pytorch.network import TorchNetwork
    from ml_runner.job import Job
    from ml_runner.scripts import Script

_MODULES = ("building", "devices", "feed", "loop", "losses", "model", "network", "optimizers",
            "own_data", "pretrained", "reading", "schedulers", "weights")  # fmt: skip
# What the data of a training are read with, where it is installed.
_READERS = ("pandas", "PIL.Image", "PIL.ImageOps")
# A ZIP archive, as torch.save writes since 1.6; an older file is a pickle.
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


class PyTorchAdapter:
    """The adapter; see ``frameworks.base.Adapter``."""

    name = "pytorch"
    title = "PyTorch"
    script_imports: tuple[str, ...] = ("torch",)
    taking_categories: tuple[str, ...] = ()
    resumable = "PyTorch: every training, exactly."
    array_suffixes = (".pt", ".pth")

    def require(self) -> None:
        """Raises ``FrameworkNotFound`` where PyTorch is absent."""
        need("torch", "torch", conda="pytorch")

    def preload(self) -> None:
        """Imports the library, this adapter's own modules, and what data are read with."""
        self.require()
        import torch

        for module in _MODULES:
            importlib.import_module(f"{__name__}.{module}")
        # The first optimizer of a process imports for seconds what it rarely uses.
        torch.optim.Adam([torch.nn.Parameter(torch.empty(0))])
        for module in _READERS:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        image = sys.modules.get("PIL.Image")
        if image is not None:
            image.preinit()  # the formats that most images have
        tensorboard.preload()

    def after_fork(self, threads: int) -> None:
        """Sets the number of threads, which PyTorch reads from the environment only at import."""
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        """The installed versions of PyTorch and of what it reads its data with."""
        return distributions.versions("torch", "numpy", "pandas", "pillow")

    def claims(self, algorithm: str) -> int:
        """0: its models are the caller's own, and have no names."""
        return 0

    def algorithms(self) -> list[str]:
        """None."""
        return []

    def network(self, job: Job) -> TorchNetwork:
        """What the call asks to train, checked as far as that goes without data."""
        self.require()
        from ml_runner.frameworks.pytorch.network import TorchNetwork

        return TorchNetwork(job)

    def takes_directory(self, path: Path) -> bool:
        """Whether it is a text model in Hugging Face form."""
        return directory.is_one(path)

    def model_in(self, path: Path) -> Path | None:
        """The weights of a text model in Hugging Face form; None for any other directory."""
        return directory.weights_in(path)

    def directory_facts(self, path: Path) -> dict[str, Any]:
        """Class, type and labels of a text model in Hugging Face form."""
        return directory.facts(path)

    def pretrained(self, job: Job, path: Path) -> TorchNetwork:
        """What the call asks to train further; see ``frameworks.base.FineTunes``."""
        self.require()
        from ml_runner.frameworks.pytorch import pretrained

        return pretrained.network(job, path)

    def arrays(self, path: Path) -> dict[str, np.ndarray]:
        """The tensors in a file of ``torch.save``; see ``frameworks.base.ReadsArrays``."""
        self.require()
        from ml_runner.frameworks.pytorch import tensor_files

        return tensor_files.arrays(path)

    def estimator_class(self, name: str) -> Estimator | None:
        """None: it has no estimators."""
        return None

    def metric(self, name: str) -> Metric | None:
        """None of its own."""
        return None

    def metrics(self) -> list[str]:
        """None of its own."""
        return []

    def recognises(self, path: Path, head: bytes) -> bool:
        """A file of ``torch.save`` or safetensors, by name and first bytes, or their index."""
        if directory.holding(path) is not None:
            return True  # whatever it holds is read as weights, or refused
        if path.suffix == ".safetensors":
            return head[8:9] == b"{"
        if path.suffix not in (".pt", ".pth", ".bin", ".ckpt"):
            return False
        return head.startswith((_ZIP, _PICKLE))

    def is_safe(self, path: Path) -> bool:
        """Always: files are read with ``weights_only``, which runs nothing."""
        return True

    def load(self, path: Path, data: bytes, description: Mapping[str, Any] | None) -> Model:
        """A module with its weights; see ``frameworks.base.Adapter``."""
        self.require()
        from ml_runner.frameworks.pytorch import model

        if directory.is_described(path, description):
            from ml_runner.frameworks.pytorch.huggingface import model as texts

            return texts.load(path, description)
        if description is None:  # with modelScript: ``load_weights``
            raise errors.ModelLoadingError(
                f"'{path}' holds weights, and not the model that they belong to",
                solution="Send modelScript (and modelClass, modelArgs) of the model beside"
                " modelPath.",
                metadata={"path": str(path), "key": "config.modelScript"},
            )
        return model.load(path, data, description, description["script"])

    def load_weights(
        self,
        path: Path,
        data: bytes,
        script: Script,
        config: Mapping[str, Any],
        *,
        allow_pickle: bool,
    ) -> tuple[Model, list[str]]:
        """A module of the script with the weights of a file; see ``frameworks.base``."""
        self.require()
        from ml_runner.frameworks.pytorch.bare import BareModel

        model = BareModel(path, data, script, config, allow_pickle=allow_pickle)
        return model, model.notes

    def columns(self, model: Any, available: Sequence[str]) -> list[str] | None:
        """None: a module does not know columns."""
        return None

    def explain(self, error: BaseException) -> errors.ExecutorError | None:
        """An exception of the library in words of ours; None for any other."""
        if "torch" not in sys.modules:
            return None
        from ml_runner.frameworks.pytorch import failures

        return failures.explain(error)


ADAPTER = PyTorchAdapter()
