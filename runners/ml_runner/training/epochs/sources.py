"""The data of a training by epochs: read, split, scaled, their targets encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ml_runner import errors
from ml_runner.data import samples
from ml_runner.data.samples import Encoded, Parts, Samples
from ml_runner.training.run_record import fingerprint

if TYPE_CHECKING:
    from ml_runner.frameworks.base import Network
    from ml_runner.job import Job


@dataclass
class Part:
    """Samples with their targets as a loss takes them.

    Attributes:
        samples: the inputs.
        encoded: the targets.
    """

    samples: Samples
    encoded: Encoded

    def __len__(self) -> int:
        return len(self.samples)


class TrainingData(Protocol):
    """What a training learns from and is measured on: ``Sources``, or what a script brings itself.

    Attributes:
        train: what is learned from.
        validation: what is only measured after each epoch, or None.
        test: what the final model is measured on, or None.
    """

    @property
    def train(self) -> Any: ...  # noqa: D102
    @property
    def validation(self) -> Any: ...  # noqa: D102
    @property
    def test(self) -> Any: ...  # noqa: D102

    def facts(self) -> dict[str, Any]:
        """What a report says of them."""
        ...

    def description(self) -> dict[str, Any]:
        """For the descriptor: how further data are read in the same way, where that is known."""
        ...

    def names(self) -> list[str]:
        """What the inputs are called; for those without names, their shape."""
        ...

    def origins(self, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Config key → which data it named, for whoever goes on with the run."""
        ...

    def origin(self) -> dict[str, Any]:
        """Which data the training saw: so that evaluate can say that it measures on them."""
        ...


@dataclass
class Sources:
    """Data at the call's paths: what a training learns from and is measured on.

    Attributes:
        train: what is learned from.
        validation: what is only measured after each epoch, or None.
        test: what the final model is measured on, or None.
    """

    train: Part
    validation: Part | None
    test: Part | None

    def facts(self) -> dict[str, Any]:
        """What a report says of them."""
        facts: dict[str, Any] = {"samplesProcessed": len(self.train)}
        if self.validation is not None:
            facts["validationSamples"] = len(self.validation)
        if self.test is not None:
            facts["testSamples"] = len(self.test)
        facts |= self.train.samples.facts()
        if self.train.encoded.classes is not None:
            facts["classes"] = len(self.train.encoded.classes)
        scaling = self.train.samples.spec.get("scaling")
        if scaling is not None:
            facts["featureScaling"] = scaling["method"]
        target = _target_of(self.train.samples.spec)
        return facts if target is None else {**facts, "targetColumn": target}

    def description(self) -> dict[str, Any]:
        """For the descriptor: how further data are read in the same way."""
        spec = self.train.samples.spec
        schema = spec.get("schema")
        shape = list(self.train.samples.inputs_shape)
        inputs: list[dict[str, Any]] = [{"name": "inputs", "shape": shape}]
        if spec["kind"] == samples.TextSamples.kind:
            inputs = [{"name": spec["textColumn"] or "text", "type": "text"}]
        if schema is not None:
            inputs = [
                {"name": name, "type": schema["dtypes"].get(name)} for name in schema["features"]
            ]
        output = _target_of(spec) or "class"
        return {
            "schema": schema,
            "samples": spec,
            "signature": {"inputs": inputs, "output": output},
        }

    def names(self) -> list[str]:
        """What the inputs are called; for those without names, their shape."""
        schema = self.train.samples.spec.get("schema")
        if schema is not None:
            return [str(name) for name in schema["features"]]
        return ["×".join(map(str, self.train.samples.inputs_shape))]

    def origins(self, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Config key → which data it named, for whoever goes on with the run."""
        parts = {
            "dataPath": self.train,
            "validationData": self.validation,
            "testData": self.test,
        }
        return {
            key: _origin(part)
            for key, part in parts.items()
            if part is not None and config.get(key) is not None
        }

    def origin(self) -> dict[str, Any]:
        """Which data the training saw: so that evaluate can say that it measures on them."""
        return _origin(self.train)


def load(job: Job, network: Network) -> TrainingData:
    """Reads and checks the data of the call, or takes the script's own; splits where it says so.

    Raises:
        InvalidConfiguration, DataLoadingError: a key is missing, or the data do not hold.
    """
    own = network.own_data()
    if own is not None:
        return own
    config = job.config
    path = _path(job, "dataPath")
    if path is None:
        raise errors.InvalidConfiguration(
            "config.dataPath is missing",
            solution="Send config.dataPath: a table, a folder of images, an array file; or give the"
            " script a build_datasets(config).",
            metadata={"key": "config.dataPath"},
        )
    parts = samples.read(
        path,
        config,
        channels_first=network.channels_first,
        roots=job.roots,
        warn=job.warn,
        default=job.default,
        target_path=_path(job, "targetData"),
        tokenizer=network.tokenizer,
    )
    if parts.train.targets is None:
        raise errors.InvalidConfiguration(
            f"config.targetColumn is missing: '{path}' does not say what is to be learned",
            solution="Send config.targetColumn: it is never guessed.",
            metadata={"key": "config.targetColumn"},
        )
    parts = samples.scaled(_split(job, parts), config.get("featureScaling"), network.scaling)
    train = Part(parts.train, _encode(job, network, parts.train, str(path)))
    validation = _further(job, network, "validationData", train, parts.validation)
    test = _further(job, network, "testData", train, parts.test)
    return Sources(train, validation, test)


def _target_of(spec: Mapping[str, Any]) -> str | None:
    """The target's column, where the samples come from a table."""
    schema = spec.get("schema") or {}
    return schema.get("target") or spec.get("targetColumn")


def _origin(part: Part) -> dict[str, Any]:
    source = part.samples.source
    return {"path": str(source), "rows": len(part), "fingerprint": fingerprint(source)}


def _path(job: Job, key: str) -> Path | None:
    sent = job.config.get(key)
    return None if sent is None else job.resolve(sent, key=f"config.{key}")


def _split(job: Job, parts: Parts) -> Parts:
    share = job.config.get("validationSplit")
    if share is None:
        return parts
    if parts.validation is not None:
        job.warn(
            f"validationSplit {share} is held out of the training part, as asked; the data's own"
            f" validation part ({len(parts.validation)} samples) is not used"
        )
    seed = job.config.get("seed")
    targets = parts.train.targets if job.config.get("stratify") else None
    rows, held = samples.hold_out(len(parts.train), share, seed or 0, labels=targets)
    return Parts(parts.train.take(rows), parts.train.take(held), parts.test)


def _encode(job: Job, network: Network, train: Samples, path: str) -> Encoded:
    assert train.targets is not None
    column = job.config.get("targetColumn") or "target"
    task = network.task_for(train.targets)
    return samples.encode(train.targets, task=task, where=f"'{path}'", warn=job.warn, column=column)


def _further(
    job: Job, network: Network, key: str, train: Part, beside: Samples | None
) -> Part | None:
    path = _path(job, key)
    found = beside
    if path is not None:
        found = samples.read_like(
            path,
            train.samples.spec,
            job.config,
            with_targets=True,
            roots=job.roots,
            warn=job.warn,
            tokenizer=network.tokenizer,
        )
    if found is None:
        return None
    assert found.targets is not None
    encoded = samples.encode(
        found.targets,
        task=train.encoded.task,
        where=f"'{path or found.source}'",
        warn=job.warn,
        classes=train.encoded.classes,
        column=job.config.get("targetColumn") or "target",
    )
    return Part(found, encoded)


def counts_of(encoded: Encoded) -> list[int] | None:
    """Rows of each class (or with each label) in encoded targets; None for numbers."""
    if encoded.classes is not None:
        values = encoded.values
        if values.dtype == object:  # a label for each word of a text
            values = np.concatenate(values)
        return np.bincount(values, minlength=len(encoded.classes)).tolist()
    if encoded.task == samples.MULTI_LABEL:
        return np.atleast_1d(encoded.values.sum(axis=0)).astype(int).tolist()
    return None
