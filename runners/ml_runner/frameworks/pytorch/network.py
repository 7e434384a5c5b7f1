"""What a call asks to train with PyTorch: see ``frameworks.base.Network``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ml_runner import errors, frameworks
from ml_runner.data import samples as data_samples
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION
from ml_runner.frameworks.pytorch import (
    building,
    compiling,
    devices,
    distribution,
    failures,
    freezing,
    losses,
    memory_format,
    optimizers,
    own_data,
    precision,
    recomputing,
    schedulers,
    team,
)
from ml_runner.frameworks.pytorch.augmenting import augmenting
from ml_runner.frameworks.pytorch.feed import Feed
from ml_runner.frameworks.pytorch.feeding import Feeding
from ml_runner.frameworks.pytorch.loop import Loop, Parts
from ml_runner.frameworks.pytorch.loss import Loss
from ml_runner.frameworks.pytorch.meaning import Meaning, numpy_of
from ml_runner.frameworks.pytorch.model import TorchModel
from ml_runner.frameworks.pytorch.own_data import OwnData, OwnPart
from ml_runner.frameworks.pytorch.reading import array_tensor
from ml_runner.frameworks.pytorch.source import Asked, FromScript, Source
from ml_runner.frameworks.pytorch.stepping import Halving, Steps
from ml_runner.frameworks.pytorch.targets import CLASSES, MULTILABEL, NUMBERS, Target
from ml_runner.training.epochs.sources import Part, Sources, TrainingData, counts_of
from ml_runner.training.metrics import Outputs

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint
    from ml_runner.training.epochs.measured import Measured
    from ml_runner.training.epochs.watch import EpochWatch

_BATCH_SIZE = 32
_KINDS = {CLASSIFICATION: CLASSES, REGRESSION: NUMBERS, data_samples.MULTI_LABEL: MULTILABEL}


def batch_size(config: Mapping[str, Any]) -> int:
    """Rows of a batch, as the call says or by default."""
    return int(config.get("batchSize") or _BATCH_SIZE)


class TorchNetwork:
    """A module with loss, optimizer and schedule.

    Args:
        job: the call's.
        source: gives the module; the call's script where left out.
    """

    channels_first = True
    tokenizer: data_samples.Tokenizer | None = None

    def __init__(self, job: Job, source: Source | None = None) -> None:
        self._job = job
        self._source: Source = source or FromScript(job)
        config = job.config
        self.epochs = int(job.new_total or config["epochs"])
        self._batch_size = int(job.option("batchSize", _BATCH_SIZE))
        self._seed = int(config.get("seed") or 0)
        self.script = self._source.script
        self._hooks = building.Hooks() if self.script is None else building.hooks(self.script)
        self.algorithm = self._source.name
        self.scaling = self._source.scaling
        self._takes = None if self._hooks.loss else losses.takes(config)
        self.task: str | None = None
        self.classes: list[Any] | None = None
        self._plan = distribution.plan(job, self._batch_size)
        self._device = devices.choose(job)
        self._feeding = Feeding(job, self._device, self._batch_size, self._seed)
        self._peaks: list[int] = []
        self.gpu_used = self._device.type != "cpu"
        devices.be_deterministic(bool(config.get("deterministic")), self._device)
        self._precision = precision.of_call(job, self._device)
        self._computed = self._precision.around(self._losses)

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
            "pretrainedModel", "freezeLayers", "layerLearningRates",
        )  # fmt: skip
        return {key: self._job.config[key] for key in keys if key in self._job.config}

    def versions(self) -> dict[str, str]:
        """The adapter's."""
        return frameworks.get("pytorch").versions()

    def origins(self) -> dict[str, dict[str, Any]]:
        """What it began from, beside data and script."""
        return self._source.origins()

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

    def own_data(self) -> OwnData | None:
        """What the script's ``build_datasets(config)`` gives; None where it has none."""
        hook = self._hooks.build_datasets
        if hook is None or self.script is None:
            return None
        return own_data.read(self._job, self.script, hook, self._takes)

    # -- making it -------------------------------------------------------------------------------

    def prepare(self, data: TrainingData) -> None:
        """Builds model, loss, optimizer and schedule for the data.

        Raises:
            InvalidConfiguration, ModelLoadingError: a name, an argument or a shape does not fit.
        """
        job, config = self._job, self._job.config
        self._own = isinstance(data, OwnData)
        if isinstance(data, OwnData):
            target, shape, outputs, first = self._own_facts(data)
            figures = data.width
        else:
            assert isinstance(data, Sources)
            encoded = data.train.encoded
            rows = len(data.train)
            target = Target(_KINDS[encoded.task], encoded.classes, counts_of(encoded), rows)
            shape = data.train.samples.inputs_shape
            outputs = None if encoded.task == REGRESSION else encoded.outputs
            figures = encoded.outputs
            first = self._first(data.train)
        fill = building.fills(num_classes=outputs, input_shape=shape)
        sample = None if self._hooks.training_step else first
        asked = Asked(fill, target, self._outputs_for(target, figures), shape, sample)
        model = self._source.build(asked)
        self._making = self._source.making
        self.algorithm = type(model).__name__
        nameless = target is not None and target.kind == CLASSES and target.classes is None
        if building.is_lazy_model(model) or nameless:
            found = building.try_out(model, first)
            if target is not None and nameless:
                target = replace(target, classes=_classes_of(found))
                if isinstance(data, OwnData):
                    data.target = target
        self.task = None if target is None else target.task
        self.classes = (
            list(target.classes or ()) if target is not None and target.kind == CLASSES else None
        )
        target = target or own_data.without_targets()
        self.model: nn.Module = self._laid_out(model.to(self._device), shape)
        # As it is called, which is not as it is saved.
        self._called = distribution.wrapped(self.model, self._plan)
        note = distribution.note_of(self.model, self._plan, self._batch_size)
        if note is not None:
            job.warn(note)
        self.loss: Loss = (
            losses.of_script(self._hooks.loss, config, target)
            if self._hooks.loss is not None
            else losses.build(config, target, job.default)
        ).to(self._device)
        self._precision.meet(self.loss.name)
        self._layers = freezing.apply(job, self.model)
        self._size, self._trainable = building.count(model)
        self._optimizer = optimizers.build(config, self._layers.groups, job.default)
        samples = None if isinstance(data, OwnData) else data.train.samples
        own_step = self._hooks.training_step is not None
        self._augmenting = augmenting(config, samples, self.loss, own_step=own_step)
        mixes = self._augmenting is not None and self._augmenting.augmentation.mixes
        self._meaning = Meaning(self.loss, self.task, mixes=mixes)
        self._train = self._feed(data.train, self._seed)
        self._validation = None if data.validation is None else self._feed(data.validation, None)
        if isinstance(data, OwnData):
            for part, feed in ((data.train, self._train), (data.validation, self._validation)):
                if part is not None and feed is not None:
                    part.rows = feed.rows
        accumulate = int(config.get("gradientAccumulation") or 1)
        self._schedule = schedulers.build(
            config,
            self._optimizer,
            epochs=self.epochs,
            steps_per_epoch=-(-self._train.batches // accumulate),
            default=job.default,
        )
        self._shape = None if shape is None else list(shape)

    def _laid_out(self, model: nn.Module, shape: tuple[int, ...] | None) -> nn.Module:
        """The model, with what the call says of how it is to compute."""
        config = self._job.config
        distribution.check_layout(config, self._plan)
        self._channels_last = bool(config.get("channelsLast"))
        if self._channels_last:
            memory_format.check(shape)
            model = memory_format.to_channels_last(model)
        wanted = config.get("gradientCheckpointing")
        self._recomputed = recomputing.apply(model, wanted) if wanted else None
        self._compiled = (
            compiling.Compiled(model, self._job, fixed=shape is not None and not self.tokenizer)
            if config.get("compile")
            else None
        )
        return model

    def _first(self, part: Part) -> Any:
        """Inputs of a small batch, to try the model with."""
        return array_tensor(part.samples.batch(range(min(2, len(part)))))

    def _outputs_for(self, target: Target | None, figures: int) -> int | None:
        """Outputs for a sample that the loss takes; None where the model alone knows them.

        Args:
            target: what is learned.
            figures: numbers or labels of a sample.
        """
        own = self._hooks.loss is not None or self._hooks.training_step is not None
        if target is None or (target.kind != CLASSES and own):
            return None
        if target.kind != CLASSES:
            return figures
        count = None if target.classes is None else len(target.classes)
        if own:  # it may tell two classes by one output
            return None if count == 2 else count
        # What takes classes alone takes a score for each; what takes other targets too, one score.
        one = self._takes is not None and len(self._takes) > 1
        return 1 if one else count

    def _own_facts(
        self, data: OwnData
    ) -> tuple[Target | None, tuple[int, ...] | None, int | None, Any]:
        """(target, shape of a sample, outputs for a sample, inputs of a batch)."""
        target, step = data.target, self._hooks.training_step
        if target is None and step is None:
            assert self.script is not None
            raise errors.InvalidConfiguration(
                f"The items of the data set that '{self.script.shown}' builds are"
                f" {own_data.words(data.batch)}: there is no target in them",
                solution="Let an item be (input, target), or a dict with 'labels'; or give the"
                " script a training_step(model, batch) that returns the loss.",
                metadata={"key": "config.modelScript", "found": own_data.words(data.batch)},
            )
        outputs = None
        if target is not None and target.kind == CLASSES and target.classes is not None:
            outputs = len(target.classes)
        elif target is not None and target.kind == MULTILABEL:
            outputs = data.width
        return target, data.shape, outputs, data.inputs

    def _feed(self, part: Part | OwnPart, seed: int | None) -> Feed:
        if isinstance(part, OwnPart):
            return self._own_feed(part, seed)
        return self._feeding.of(part, seed, None if seed is None else self._augmenting)

    def _own_feed(self, part: OwnPart, seed: int | None, *, shared: bool = True) -> Feed:
        # The script's own step gets the batch as its data set gives it.
        as_it_is = self._hooks.training_step is not None
        return self._feeding.own(part, seed, as_it_is=as_it_is, shared=shared)

    # -- training it -----------------------------------------------------------------------------

    def train(self, watch: EpochWatch, measured: Measured, start: Checkpoint | None) -> TorchModel:
        """Runs the loop; see ``loop``.

        Raises:
            TrainingDiverged, TrainingFailure, Cancelled: as the loop does.
        """
        job = self._job
        meeting = str(job.directory / "meeting")
        with team.joined(job.rank, job.ranks, self._device, meeting) as crew:
            loop = self._loop(watch, measured, crew)
            with failures.running(job, self._batch_size, self._size, self._train.rows):
                devices.keep_freed_memory()
                if start is not None:
                    watch.restore(start.state)
                    for note in loop.restore(start.contents["pt"]):
                        job.warn(note)
                loop.run()
            sizes = devices.peaks(self._device, 1 if job.ranks > 1 else self._plan.count)
            self._peaks = [size for of_rank in crew.gathered(sizes) or [] for size in of_rank]
        more: dict[str, Any] = {
            "loss": self.loss,
            "algorithm": self.algorithm,
            "task": self.task,
            "classes": self.classes,
            "shape": self._shape,
            "making": self._making,
            "mixed_precision": self._precision.used,
        }
        if self._compiled is not None:
            self._compiled.undo()
        if job.rank > 0:
            return TorchModel(self.model, **more)
        return self._trained(loop.best_weights, **more)

    def _loop(self, watch: EpochWatch, measured: Measured, crew: team.Alone) -> Loop:
        config = self._job.config
        if isinstance(crew, team.Team):
            crew.begin(self.model, self._seed)
        meaning = self._meaning
        self._steps = Steps(
            self.model,
            self._optimizer,
            self._computed,
            None if self.task is None else self.loss.scores,
            self._precision,
            batch_size=self._rows_here,
            clip=config.get("gradientClipping"),
            tell=self._halved,
            team=crew,
        )
        return Loop(
            Parts(
                model=self.model,
                optimizer=self._optimizer,
                scheduler=self._schedule,
                train=self._train,
                validation=self._validation,
                steps=self._steps,
                judge=self.loss.values,
                measure_train=lambda values, truth: measured.figures(
                    numpy_of(meaning.truth(truth, values)), numpy_of(values), None
                ),
                measure_validation=lambda outputs, truth: meaning.figures(measured, outputs, truth),
                still=self._layers.still,
            ),
            watch,
            accumulate=int(config.get("gradientAccumulation") or 1),
            team=crew,
        )

    def _losses(self, _model: nn.Module, inputs: Any, targets: Any) -> tuple[Any, Any]:
        if self._channels_last:
            inputs = memory_format.inputs_so(inputs)
        if self._hooks.training_step is not None:
            batch = inputs if self._own else (inputs, targets)
            return self._step(self._hooks.training_step(self._called, batch))
        outputs = self._call(self._called, inputs)
        return self.loss(outputs, targets), outputs

    def _halved(self, halving: Halving) -> None:
        self._job.warn(halving.words(self._rows_here))

    @property
    def _rows_here(self) -> int:
        """Rows of a batch that this process has."""
        return -(-self._batch_size // self._job.ranks)

    def _call(self, model: nn.Module, inputs: Any) -> Any:
        """The model's outputs for a batch of inputs."""
        return model(inputs)

    def _trained(self, best: dict[str, Any] | None, **more: Any) -> TorchModel:
        """What the training gives; ``more`` as for ``TorchModel``."""
        return TorchModel.trained(self.model, best=best, optimizer=self._optimizer, **more)

    def _step(self, found: Any) -> tuple[Any, Any]:
        """(loss, outputs or None) of what the script's own step gives."""
        if isinstance(found, dict):
            return found["loss"], found.get("outputs")
        if isinstance(found, (tuple, list)) and len(found) == 2:
            return found[0], found[1]
        return found, None

    def outputs_on(
        self, model: TorchModel, part: Part | OwnPart
    ) -> tuple[Outputs, np.ndarray] | None:
        """See ``frameworks.base.Network``."""
        if isinstance(part, Part):
            assert part.samples.targets is not None
            true = data_samples.truth(part.samples, part.encoded)
            return model.outputs(part.samples), true
        # The other processes have come to their end.
        feed = self._own_feed(part, None, shared=False)
        part.rows = feed.rows
        outputs, truth = [], []
        self.model.eval()
        with torch.no_grad():
            for inputs, targets in feed.straight():
                outputs.append(self._computed(self.model, inputs, targets)[1])
                truth.append(targets)
        if any(output is None for output in outputs):
            return None  # the script's own step gives its loss alone
        said, true = self._meaning.said(outputs, truth)
        if self.classes is None:
            return said, true
        labels = np.asarray(self.classes)
        return replace(said, predictions=labels[said.predictions]), labels[true]

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
        begun_from = self._source.facts()
        if begun_from or self._trainable != self._size:
            facts["trainableParameters"] = self._trainable
        facts |= {**begun_from, **self._layers.facts()}
        if self._schedule.name is not None:
            facts["scheduler"] = self._schedule.name
        accumulation = int(self._job.config.get("gradientAccumulation") or 1)
        facts |= self._precision.facts() | self._steps.facts(accumulation, self._batch_size)
        if self._recomputed is not None:
            facts["gradientCheckpointing"] = self._recomputed[:50]
        if self._compiled is not None:
            facts |= self._compiled.facts()
        if self._channels_last:
            facts["channelsLast"] = True
        if self._augmenting is not None:
            facts["augment"] = list(self._augmenting.augmentation.names)
        if self._job.config.get("distributed") is not None:
            facts["distributed"] = self._plan.facts(self._batch_size, self._job.threads)
        return facts | devices.peak_facts(self._peaks)

    def summary(self) -> list[str]:
        """Lines for the training log: the model by its parts."""
        return building.summary(self.model)


def _classes_of(outputs: Any) -> list[int] | None:
    """Classes that nobody has named, by the outputs of a batch: two where there is one output."""
    scores = outputs if isinstance(outputs, torch.Tensor) else getattr(outputs, "logits", None)
    if not isinstance(scores, torch.Tensor):
        return None
    return list(range(scores.shape[1] if scores.ndim > 1 and scores.shape[1] > 1 else 2))
