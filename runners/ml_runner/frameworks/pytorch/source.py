"""Where the first weights of a training come from: the protocol, and the caller's own script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from ml_runner import scripts
from ml_runner.frameworks.pytorch import building
from ml_runner.frameworks.pytorch.targets import Target

if TYPE_CHECKING:
    from ml_runner.data.samples import Scaling
    from ml_runner.job import Job
    from ml_runner.scripts import Script


@dataclass(frozen=True)
class Asked:
    """What a training asks of its model, as the data tell.

    Attributes:
        fill: values for arguments of the model that the call leaves out (``building.fills``).
        target: what is learned; None where only the script's own step knows.
        outputs: figures that the loss takes for a sample; None: whatever the model gives.
        shape: of one sample's inputs; None where they are no one tensor.
        first: inputs of a batch, to try the model with; None where the script's own step alone
            knows how it is called.
    """

    fill: Mapping[str, Any]
    target: Target | None
    outputs: int | None
    shape: tuple[int, ...] | None
    first: Any


class Source(Protocol):
    """Gives a training its model. It has been checked as far as that goes without data.

    Attributes:
        script: the caller's own code; None where the model needs none.
        name: of the model, until it is built.
        scaling: of a table's features, that the model was trained with; see ``Network``.
        making: after ``build``: how the module is made again (``model.load``).
    """

    name: str
    scaling: Scaling | None
    making: dict[str, Any]

    @property
    def script(self) -> Script | None: ...  # noqa: D102

    def build(self, asked: Asked) -> nn.Module:
        """The model, on the CPU.

        Raises:
            InvalidConfiguration, ModelLoadingError: it cannot be what the data ask for.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """For the report's metadata, after ``build``."""
        ...

    def origins(self) -> dict[str, dict[str, Any]]:
        """See ``frameworks.base.Network``."""
        ...


class FromScript:
    """A model that the caller's script makes, with fresh weights; see ``Source``."""

    scaling: Scaling | None = None

    def __init__(self, job: Job) -> None:
        self._config = job.config
        script = scripts.of_call(job.config, job.resolve)
        assert script is not None
        self.script: Script = script
        self.name: str = job.config.get("modelClass") or "build_model"
        self.making: dict[str, Any] = {}

    def build(self, asked: Asked) -> nn.Module:
        """What ``modelClass`` gives; see ``building.build``."""
        seed = int(self._config.get("seed") or 0)
        model = building.build(self.script, self._config, asked.fill, seed)
        self.making = building.making(self.script, self._config, asked.fill)
        return model

    def facts(self) -> dict[str, Any]:
        """Nothing: it begins from nothing."""
        return {}

    def origins(self) -> dict[str, dict[str, Any]]:
        """Nothing beside the script, which is compared by itself."""
        return {}
