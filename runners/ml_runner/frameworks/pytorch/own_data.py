"""Data sets of the caller's own script: what ``build_datasets(config)`` gives, checked, split."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset, default_collate

from ml_runner import errors, files
from ml_runner.data import samples
from ml_runner.data.samples.base import PART_NAMES
from ml_runner.frameworks.pytorch import targets
from ml_runner.frameworks.pytorch.feed import as_pair, seeded
from ml_runner.frameworks.pytorch.targets import CLASSES, NUMBERS, Target
from ml_runner.training.run_record import fingerprint

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.scripts import Script

_HOOK = "build_datasets"
_ALLOWED = "train, (train, validation), (train, validation, test), or a dict of these names"


@dataclass
class OwnPart:
    """One data set of the script.

    Attributes:
        dataset: map-style (``__getitem__``, ``__len__``) or an ``IterableDataset``.
        collate: makes a batch of a list of items; None: torch's own way.
        rows: items in it; None: an iterable that does not say.
    """

    dataset: Any
    collate: Callable[[Any], Any] | None
    rows: int | None

    @property
    def is_stream(self) -> bool:
        """Whether it has no positions."""
        return isinstance(self.dataset, IterableDataset)

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Inputs and targets where both lie in memory as they are, else None."""
        if type(self.dataset) is TensorDataset and self.collate is None:
            held = self.dataset.tensors
            return (held[0], held[1]) if len(held) == 2 else None
        return None

    def first(self, count: int = 2) -> Any:
        """A batch of its first items, read without a trace in the shared generators.

        Raises:
            DataLoadingError: there are none.
            Exception: as the data set raises it.
        """
        with seeded(0):
            if self.is_stream:
                items = list(itertools.islice(iter(self.dataset), count))
            else:
                items = [self.dataset[place] for place in range(min(count, len(self.dataset)))]
            if not items:
                raise _empty()
            return (self.collate or default_collate)(items)

    def labels(self) -> Any | None:
        """What the data set says of all its targets without reading them, or None."""
        held = self.tensors
        if held is not None:
            return held[1]
        if isinstance(self.dataset, Subset):
            whole = OwnPart(self.dataset.dataset, None, None).labels()
            return None if whole is None else whole[torch.as_tensor(self.dataset.indices)]
        found = getattr(self.dataset, "targets", None)
        try:
            return None if found is None else torch.as_tensor(found)
        except (TypeError, ValueError, RuntimeError):
            return None


class OwnData:
    """See ``training.epochs.sources.TrainingData``.

    Args:
        script: where it comes from.
        parts: ``train`` and, where they are there, ``validation`` and ``test``.
        data_path: ``dataPath`` of the call, which the script may have read, or None.
        takes: the kinds of target that the call's loss can learn; None: it names none.
    """

    def __init__(
        self,
        script: Script,
        parts: Mapping[str, OwnPart],
        data_path: Path | None,
        takes: tuple[str, ...] | None,
    ) -> None:
        self.train = parts["train"]
        self.validation = parts.get("validation")
        self.test = parts.get("test")
        self._script = script
        self._data_path = data_path
        self.batch = self.train.first()
        self.inputs, first = as_pair(self.batch)
        self.shape: tuple[int, ...] | None = (
            tuple(self.inputs.shape[1:]) if isinstance(self.inputs, torch.Tensor) else None
        )
        # Labels or numbers of a sample.
        self.width = first.shape[1] if isinstance(first, torch.Tensor) and first.ndim > 1 else 1
        self.target = self._target(first, takes)

    def _target(self, first: Any, takes: tuple[str, ...] | None) -> Target | None:
        if not isinstance(first, torch.Tensor):
            return None
        known = targets.of_batch(first, takes)
        if known.kind != CLASSES:
            return known
        labels = self.train.labels()
        if labels is not None and (
            labels.ndim != 1 or labels.is_floating_point() or not len(labels)
        ):
            labels = None
        names = getattr(_innermost(self.train.dataset), "classes", None)
        if names is None and labels is not None:
            names = range(int(labels.max()) + 1)
        if names is None:
            return known
        names, counts = list(names), None
        if labels is not None and int(labels.min()) >= 0 and int(labels.max()) < len(names):
            counts = torch.bincount(labels.long(), minlength=len(names)).tolist()
        return Target(CLASSES, names, counts, self.train.rows)

    # -- what is told of it ----------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What a report says of it."""
        facts: dict[str, Any] = {"samplesProcessed": self.train.rows}
        for key, part in (("validationSamples", self.validation), ("testSamples", self.test)):
            if part is not None:
                facts[key] = part.rows
        if self.shape is not None:
            facts |= (
                {"features": self.shape[0]}
                if len(self.shape) == 1
                else {"inputShape": list(self.shape)}
            )
        if self.target is not None and self.target.classes is not None:
            facts["classes"] = len(self.target.classes)
        return {**facts, "dataFrom": f"{_HOOK} of {self._script.shown}"}

    def description(self) -> dict[str, Any]:
        """For the descriptor: the form of the inputs; how others are read, the script knows."""
        shape = None if self.shape is None else list(self.shape)
        output = "class" if self.target is not None and self.target.kind == CLASSES else "target"
        return {
            "schema": None,
            "signature": {"inputs": [{"name": "inputs", "shape": shape}], "output": output},
        }

    def names(self) -> list[str]:
        """The shape of the inputs."""
        return ["inputs" if self.shape is None else "×".join(map(str, self.shape))]

    def origins(self, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """``dataPath``, where the call has one."""
        return {} if self._data_path is None else {"dataPath": self.origin()}

    def origin(self) -> dict[str, Any]:
        """The data that the call names, else the script."""
        if self._data_path is not None and self._data_path.exists():
            mark = fingerprint(self._data_path)
            return {"path": str(self._data_path), "rows": self.train.rows, "fingerprint": mark}
        path = self._script.path
        mark = files.fingerprint(path)
        return {"path": str(path), "rows": self.train.rows, "fingerprint": mark}


def read(job: Job, script: Script, hook: Callable[..., Any], takes: Any) -> OwnData:
    """Calls the hook and takes what it gives.

    ``config`` is that of the call; its ``dataPath`` is absolute.

    Args:
        job: the call's; ``validationSplit`` and ``stratify`` hold where the script gives one part.
        script: the caller's.
        hook: its ``build_datasets``.
        takes: as for ``OwnData``.

    Raises:
        ModelLoadingError: it raised, or gives no data sets; says what it gave.
        DataLoadingError: an empty data set.
        InvalidConfiguration: a split that cannot be made.
    """
    config = dict(job.config)
    path = config.get("dataPath")
    if path is not None:
        path = job.resolve(path, key="config.dataPath")
        config["dataPath"] = str(path)

    def build_datasets() -> Any:
        return hook(config)

    given = script.call(build_datasets, {}, fill={}, config={})
    parts = {name: _part(job, name, one) for name, one in _named(script, given).items()}
    if job.config.get("validationSplit") is not None and "validation" not in parts:
        parts |= _split(job, parts["train"])
    for name, part in parts.items():
        if part.is_stream:
            job.warn(
                f"{_HOOK}: the {name} data set is an IterableDataset, which has no positions: its"
                " order is its own"
                + (
                    ", and checkpoints are written at the ends of epochs only"
                    if name == "train"
                    else ""
                )
            )
    return OwnData(script, parts, path, takes)


def _named(script: Script, given: Any) -> dict[str, Any]:
    names = ("train", "validation", "test")
    if isinstance(given, Mapping):
        unknown = [str(key) for key in given if str(key).lower() not in PART_NAMES]
        found = {PART_NAMES[str(key).lower()]: one for key, one in given.items() if not unknown}
        if unknown or "train" not in found:
            raise _refused(
                script, given, f"a dict of {', '.join(map(str, given)) or 'nothing'}", names
            )
    elif isinstance(given, (tuple, list)) and not _is_dataset(given[0] if given else None):
        raise _refused(script, given, f"a {type(given).__name__} of {len(given)}", names)
    elif isinstance(given, (tuple, list)):
        if len(given) > len(names):
            raise _refused(script, given, f"a {type(given).__name__} of {len(given)}", names)
        found = dict(zip(names, given, strict=False))
    else:
        found = {"train": given}
    for name, one in found.items():
        if one is not None and not _is_dataset(one):
            raise _refused(script, given, f"a {type(one).__name__} as {name}", names)
    return {name: one for name, one in found.items() if one is not None}


def _is_dataset(found: Any) -> bool:
    if isinstance(found, (IterableDataset, DataLoader)):
        return True
    if isinstance(found, (torch.Tensor, Mapping, str, bytes, tuple, list)):
        return False
    return hasattr(found, "__getitem__") and hasattr(found, "__len__")


def _part(job: Job, name: str, found: Any) -> OwnPart:
    collate = None
    if isinstance(found, DataLoader):
        job.warn(
            f"{_HOOK} gives a DataLoader as {name}: its data set and collate_fn are used; batch"
            " size, order and workers are those of the call"
        )
        collate = None if found.collate_fn is default_collate else found.collate_fn
        found = found.dataset
    collate = getattr(found, "collate_fn", None) or collate
    try:
        rows = len(found)
    except TypeError:  # an iterable that does not say
        rows = None
    if rows == 0:
        raise _empty(name)
    return OwnPart(found, collate, rows)


def _split(job: Job, train: OwnPart) -> dict[str, OwnPart]:
    share = job.config["validationSplit"]
    if train.is_stream or train.rows is None:
        raise errors.InvalidConfiguration(
            f"validationSplit is {share}, and the script's data set is an IterableDataset, of which"
            " no rows can be drawn",
            solution=f"Let {_HOOK} give (train, validation).",
            metadata={"key": "config.validationSplit", "sent": share},
        )
    labels = None
    if job.config.get("stratify"):
        labels = train.labels()
        if labels is None:
            raise errors.InvalidConfiguration(
                "stratify is true, and the script's data set does not say its labels",
                solution="Give it an attribute 'targets', the label of each item; or leave stratify"
                " out.",
                metadata={"key": "config.stratify", "sent": True},
            )
        labels = labels.numpy()
    seed = int(job.config.get("seed") or 0)
    rows, held = samples.hold_out(train.rows, share, seed, labels=labels)
    return {
        "train": OwnPart(Subset(train.dataset, rows.tolist()), train.collate, len(rows)),
        "validation": OwnPart(Subset(train.dataset, held.tolist()), train.collate, len(held)),
    }


def _innermost(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def _refused(
    script: Script, given: Any, what: str, names: tuple[str, ...]
) -> errors.ModelLoadingError:
    return errors.ModelLoadingError(
        f"{_HOOK} of modelScript '{script.shown}' gives {what}, where data sets are expected",
        solution=f"Let it return {_ALLOWED}; each a torch.utils.data.Dataset whose items are"
        " (input, target).",
        metadata={"key": "config.modelScript", "found": type(given).__name__, "allowed": names},
    )


def _empty(name: str = "train") -> errors.DataLoadingError:
    return errors.DataLoadingError(
        f"{_HOOK} of modelScript gives a {name} data set without items",
        solution="Let it give at least one item.",
        metadata={"key": "config.modelScript", "part": name},
    )


def words(batch: Any) -> str:
    """A batch in a few words: ``a tensor (2, 3)``, ``a list of 3``."""
    if isinstance(batch, torch.Tensor):
        return f"tensors of {tuple(batch.shape[1:])}"
    if isinstance(batch, Mapping):
        return f"dicts of {', '.join(map(str, batch))}"
    if isinstance(batch, (list, tuple)):
        return f"{type(batch).__name__}s of {len(batch)}"
    return f"of type {type(batch).__name__}"


def without_targets() -> Target:
    """The target of a training whose data sets give inputs alone: the script's step knows it."""
    return Target(NUMBERS)
