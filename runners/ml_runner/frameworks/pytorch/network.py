"""What a call asks to train with PyTorch: see ``frameworks.base.Network``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ml_runner import frameworks, scripts
from ml_runner.data import samples as data_samples
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.frameworks.pytorch import (
    building,
    devices,
    failures,
    losses,
    optimizers,
    schedulers,
)
from ml_runner.frameworks.pytorch.feed import Feed, LoaderFeed, Order, TensorFeed
from ml_runner.frameworks.pytorch.loop import Loop, Parts
from ml_runner.frameworks.pytorch.loss import Loss
from ml_runner.frameworks.pytorch.model import TorchModel
from ml_runner.frameworks.pytorch.reading import Batches, as_tensors
from ml_runner.frameworks.pytorch.targets import CLASSES, MULTILABEL, NUMBERS, Target
from ml_runner.training.epochs.sources import Part, Sources, counts_of

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint
    from ml_runner.training.epochs.measured import Measured
    from ml_runner.training.epochs.watch import EpochWatch

_BATCH_SIZE = 32
# Data that lie in memory are turned into tensors at once, up to so many bytes.
_AT_ONCE = 2 << 30
_KINDS = {CLASSIFICATION: CLASSES, REGRESSION: NUMBERS, data_samples.MULTI_LABEL: MULTILABEL}


class TorchNetwork:
    """A module of the caller's script, with loss, optimizer and schedule."""

    channels_first = True

    def __init__(self, job: Job) -> None:
        self._job = job
        config = job.config
        self.epochs = int(job.new_total or config["epochs"])
        self._batch_size = int(job.option("batchSize", _BATCH_SIZE))
        self._seed = int(config.get("seed") or 0)
        script = scripts.of_call(config, job.resolve)
        assert script is not None
        self.script = script
        self._hooks = building.hooks(script)
        self.algorithm = config.get("modelClass") or "build_model"
        self._takes = None if self._hooks.loss else losses.takes(config)
        self.task: str | None = None
        self.classes: list[Any] | None = None
        self._device = devices.choose(job)
        self.gpu_used = self._device.type != "cpu"
        devices.be_deterministic(bool(config.get("deterministic")), self._device)

    @property
    def keeps_checkpoints(self) -> bool:
        """Always, unless the call says no: none changes a result."""
        return self._job.config.get("checkpoint") is not False

    @property
    def parameters(self) -> dict[str, Any]:
        """What the call says of the training, for the descriptor."""
        keys = (
            "epochs", "batchSize", "learningRate", "optimizer", "optimizerArgs", "momentum",
            "weightDecay", "lossFunction", "lossArgs", "scheduler", "schedulerArgs", "modelArgs",
        )  # fmt: skip
        return {key: self._job.config[key] for key in keys if key in self._job.config}

    def versions(self) -> dict[str, str]:
        """The adapter's."""
        return frameworks.get("pytorch").versions()

    def task_for(self, targets: np.ndarray) -> str | None:
        """What the loss makes of such targets; None: what they suggest."""
        tasks = {kind: task for task, kind in _KINDS.items()}
        takes = self._takes
        if takes is None:
            return None
        if len(takes) == 1:
            return tasks[takes[0]]
        if targets.ndim == 1 and CLASSES in takes and len(np.unique(targets)) == 2:
            return CLASSIFICATION
        return None

    # -- making it -------------------------------------------------------------------------------

    def prepare(self, data: Sources) -> None:
        """Builds model, loss, optimizer and schedule for the data.

        Raises:
            InvalidConfiguration, ModelLoadingError: a name, an argument or a shape does not fit.
        """
        job, config = self._job, self._job.config
        encoded = data.train.encoded
        self.task = encoded.task
        self.classes = encoded.classes
        target = Target(_KINDS[encoded.task], encoded.classes, counts_of(encoded), len(data.train))
        shape = data.train.samples.inputs_shape
        fill = building.fills(
            num_classes=None if self.task == REGRESSION else encoded.outputs, input_shape=shape
        )
        model = building.build(self.script, config, fill, self._seed)
        self._making = building.making(self.script, config, fill)
        self.algorithm = type(model).__name__
        if building.is_lazy_model(model):
            first = data.train.samples.batch(range(min(2, len(data.train))))
            building.try_out(model, torch.from_numpy(first))
        self.model: nn.Module = model.to(self._device)
        self._size, self._trainable = building.count(model)
        self.loss: Loss = (
            losses.of_script(self._hooks.loss, config, target)
            if self._hooks.loss is not None
            else losses.build(config, target, job.default)
        ).to(self._device)
        self._optimizer = optimizers.build(config, self.model.parameters(), job.default)
        self._train = self._feed(data.train, self._seed)
        self._validation = None if data.validation is None else self._feed(data.validation, None)
        accumulate = int(config.get("gradientAccumulation") or 1)
        self._schedule = schedulers.build(
            config,
            self._optimizer,
            epochs=self.epochs,
            steps_per_epoch=-(-self._train.batches // accumulate),
            default=job.default,
        )
        self._spec = data.train.samples.spec
        self._shape = list(shape)

    def _feed(self, part: Part, seed: int | None) -> Feed:
        how = Order(len(part), self._batch_size, seed)
        targets = torch.from_numpy(part.encoded.values)
        size = 4 * len(part) * int(np.prod(part.samples.inputs_shape))
        if part.samples.in_memory and size <= _AT_ONCE:
            inputs = torch.from_numpy(part.samples.batch(np.arange(len(part))))
            return TensorFeed(inputs, targets, how, self._device)
        wanted = self._job.config.get("numWorkers")
        # A worker for each thread that the job may use: decoding is what takes the time.
        workers = (0 if part.samples.in_memory else self._job.threads) if wanted is None else wanted
        return LoaderFeed(
            Batches(part.samples, part.encoded.values),
            how,
            self._device,
            workers=min(workers, how.batches),
            seed=self._seed,
            collate=as_tensors,
        )

    # -- training it -----------------------------------------------------------------------------

    def train(self, watch: EpochWatch, measured: Measured, start: Checkpoint | None) -> TorchModel:
        """Runs the loop; see ``loop``.

        Raises:
            TrainingDiverged, TrainingFailure, Cancelled: as the loop does.
        """
        config = self._job.config
        loop = Loop(
            Parts(
                model=self.model,
                optimizer=self._optimizer,
                scheduler=self._schedule,
                train=self._train,
                validation=self._validation,
                losses=self._losses,
                scores=None if self.task is None else self.loss.scores,
                judge=self.loss.values,
                measure_train=lambda values, truth: measured.figures(
                    _numpy(truth), _numpy(values), None
                ),
                measure_validation=lambda outputs, truth: self._figures(measured, outputs, truth),
            ),
            watch,
            accumulate=int(config.get("gradientAccumulation") or 1),
            clip=config.get("gradientClipping"),
        )
        if start is not None:
            watch.restore(start.state)
            for note in loop.restore(start.contents["pt"]):
                self._job.warn(note)
        with failures.running(self._job, self._batch_size, self._size):
            loop.run()
        return TorchModel.trained(
            self.model,
            best=loop.best_weights,
            optimizer=self._optimizer,
            loss=self.loss,
            algorithm=self.algorithm,
            task=self.task,
            classes=self.classes,
            shape=self._shape,
            making=self._making,
        )

    def _losses(self, model: nn.Module, inputs: Any, targets: Any) -> tuple[Any, Any]:
        if self._hooks.training_step is not None:
            return self._step(self._hooks.training_step(model, (inputs, targets)))
        outputs = model(inputs)
        return self.loss(outputs, targets), outputs

    def _step(self, found: Any) -> tuple[Any, Any]:
        """(loss, outputs or None) of what the script's own step gives."""
        if isinstance(found, dict):
            return found["loss"], found.get("outputs")
        if isinstance(found, (tuple, list)) and len(found) == 2:
            return found[0], found[1]
        return found, None

    def _figures(
        self, measured: Measured, outputs: list[Any], truth: list[torch.Tensor]
    ) -> dict[str, float]:
        parts = [self.loss.predictions(output) for output in outputs]
        scores = [part.probabilities for part in parts if part.probabilities is not None]
        return measured.figures(
            _numpy(torch.cat(truth)),
            _numpy(torch.cat([part.values for part in parts])),
            _numpy(torch.cat(scores)) if len(scores) == len(parts) and scores else None,
        )

    # -- what is told of it ----------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """For the report's metadata."""
        facts: dict[str, Any] = {
            "batchSize": self._batch_size,
            "modelParameters": self._size,
            "optimizer": type(self._optimizer).__name__,
            "lossFunction": self.loss.name,
            "seed": self._seed,
            "device": str(self._device),
        }
        if self._trainable != self._size:
            facts["trainableParameters"] = self._trainable
        if self._schedule.name is not None:
            facts["scheduler"] = self._schedule.name
        accumulation = int(self._job.config.get("gradientAccumulation") or 1)
        if accumulation > 1:
            facts["effectiveBatchSize"] = accumulation * self._batch_size
        if self.gpu_used and self._device.type == "cuda":
            facts |= devices.peak(self._device)
        return facts

    def summary(self) -> list[str]:
        """Lines for the training log: the model by its parts."""
        return building.summary(self.model)


def _numpy(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
