"""Trains a pretrained model further on new data, measures it and saves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_runner import calls, errors, frameworks, models, validation
from ml_runner.frameworks.base import FineTunes

if TYPE_CHECKING:
    from pathlib import Path

    from ml_runner.frameworks.base import Adapter
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint

_KEY = "config.pretrainedModel"


def run(job: Job, resumed: Checkpoint | None = None) -> dict[str, Any]:
    """Trains the model of ``pretrainedModel`` on the data of the call.

    Args:
        job: with the call.
        resumed: the checkpoint from which an interrupted fine-tuning of this call goes on.

    Returns:
        The report's body: that of a training, with what was taken over and what was frozen.

    Raises:
        ExecutorError: of the type that the contract names for what went wrong.
    """
    found, path = _find(job)
    adapter = _checked(job, found, path)
    validation.check_framework(job.action, adapter.name, job.config)
    job.phase("importing")
    from ml_runner.training.epochs import run as by_epochs  # other actions have no use for it

    resolved = None
    if (job.request.get("framework") or "auto") == "auto":
        resolved = f"the pretrained model is {adapter.title}'s"
    try:
        return by_epochs.run(
            job, adapter, lambda job: adapter.pretrained(job, path), resolved, resumed
        )
    except errors.InvalidConfiguration as error:
        _say_whose(job, error)
        raise


def _say_whose(job: Job, error: errors.InvalidConfiguration) -> None:
    """Tells of a value that is not the call's: what the pretrained model was trained with."""
    key = str(error.metadata.get("key")).removeprefix("config.")
    if key in job.config and key not in job.request["config"]:
        error.message += f"; the call leaves {key} out, and it is that of the pretrained model"
        error.solution = f"Send config.{key} for these data. {error.solution}"


def _find(job: Job) -> tuple[Adapter, Path]:
    """(the framework, the directory or file) of what ``pretrainedModel`` names.

    Raises:
        InvalidConfiguration: it is missing.
        ModelLoadingError: nothing there, or nothing that is a model.
    """
    sent = job.config.get("pretrainedModel")
    if sent is not None:
        directory = job.resolve(sent, key=_KEY)
        for adapter in _able():
            if directory.is_dir() and adapter.takes_directory(directory):
                return adapter, directory
    path = models.find(job, key=_KEY)
    return models.adapter_of(path), path


def _checked(job: Job, found: Adapter, path: Path) -> FineTunes:
    """The framework of the model. Raises ``InvalidConfiguration`` where it will not do."""
    if not isinstance(found, FineTunes):
        able = _able()
        names = ", ".join(each.title for each in able)
        raise errors.InvalidConfiguration(
            f"'{path}' is a model of {found.title}, which fine-tune cannot train further: it takes"
            f" models of {names}",
            solution=f"Name a model of {names}; or train {found.title}'s anew on all rows.",
            metadata={
                "key": _KEY,
                "sent": job.config["pretrainedModel"],
                "allowed": [each.name for each in able],
            },
        )
    framework = job.request.get("framework") or "auto"
    if framework != "auto" and frameworks.get(framework) is not found:
        raise errors.InvalidConfiguration(
            f"framework is '{framework}', and '{path}' is a model of {found.title}",
            solution="Send nextCall, or leave framework out.",
            metadata={"key": "framework", "sent": framework, "allowed": [found.name, "auto"]},
            next_call=calls.repeat(job, framework=found.name),
        )
    return found


def _able() -> list[FineTunes]:
    return [each for each in frameworks.all_adapters() if isinstance(each, FineTunes)]
