"""Goes on with an interrupted training, to the report that it would have had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_runner import calls, errors, frameworks, libraries, paths, validation
from ml_runner.process import child
from ml_runner.training import run_directory, runs

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.training.checkpoints import Checkpoint
    from ml_runner.training.runs import Run

_TOTALS = ("epochs", "numRounds", "maxTrials")


def run(job: Job) -> dict[str, Any]:
    """Finds the run and its last whole checkpoint, and trains on from there.

    Returns:
        The body of the training's own report, with ``metadata.resumedFrom``.

    Raises:
        JobNotFound, InvalidConfiguration, ModelLoadingError: there is nothing to go on with;
            ``nextCall`` is what to do instead.
        ExecutorError: as the training.
    """
    job.phase("loading")
    found = runs.find(job)
    total = next((job.config[key] for key in _TOTALS if job.config.get(key) is not None), None)
    if found.complete and total is None:
        raise _complete(job, found)
    checkpoint = _usable(job, found)
    _check_framework(job, checkpoint)
    if total is not None and total <= checkpoint.done and checkpoint.unit != "fold":
        raise _too_few(job, checkpoint, total, complete=found.complete)
    for problem in found.problems:
        job.warn(f"{problem}; gone on from {checkpoint.unit} {checkpoint.done}")
    for warning in checkpoint.warnings:
        job.warn(warning)
    _take_over(job, found, checkpoint, total)
    runs.note_continued(job, found)
    training = child.load_action(checkpoint.run["action"])
    body = training.run(job, checkpoint)
    body["metadata"]["resumedFrom"] = {
        **({"jobId": found.job_id} if found.job_id else {}),
        "path": job.show(checkpoint.path),
        "unit": checkpoint.unit,
        "done": checkpoint.done,
    }
    return body


def _take_over(job: Job, found: Run, checkpoint: Checkpoint, total: int | None) -> None:
    """Makes the job that of the call which the checkpoint is from."""
    then, sent = checkpoint.run, job.request
    request = {**then["request"]}
    for key in ("gpuEnabled", "pythonEnv", "timeout", "overwrite"):
        request.pop(key, None)
        if key in sent:
            request[key] = sent[key]
    base = Path(then["baseDir"])
    output = found.directory
    if sent.get("outputDir") is not None:
        output = job.output_dir
        request["outputDir"] = sent["outputDir"]
    elif request.get("outputDir") is not None:
        moved = paths.resolve(request["outputDir"], key="outputDir", base_dir=base, roots=None)
        if base != job.base_dir or moved != output:
            request["outputDir"] = str(output)
    elif job.config.get("jobId") is None:
        request["outputDir"] = str(output)
    # A new total stays: who resumes the resumed run goes on to the same end.
    job.new_total = total if total is not None else then.get("newTotal")
    threads = int(then["threads"])
    if threads != job.threads:
        child.limit_threads(threads)
    job.take_over(request, base, output, threads=threads)


# -- what is refused -------------------------------------------------------------------------------


def _complete(job: Job, found: Run) -> errors.ExecutorError:
    by = f" (by job {found.job_id})" if found.job_id else ""
    unit = found.checkpoint.unit if found.checkpoint else None
    key = {"round": "numRounds", "epoch": "epochs", "trial": "maxTrials"}.get(unit or "")
    more = f" To train on, send a larger config.{key}." if key else ""
    status = {"tool": "job-status", "arguments": {"jobId": found.job_id}} if found.job_id else None
    return errors.InvalidConfiguration(
        f"The run in '{found.directory}' is complete{by}: there is nothing to resume",
        solution=f"Use its model: modelPath '{found.directory}'.{more}",
        metadata={**_sent(job), "runDir": str(found.directory), "jobId": found.job_id},
        next_call=status,
    )


def _usable(job: Job, found: Run) -> Checkpoint:
    """The run's checkpoint, if there is one that may be loaded."""
    checkpoint = found.checkpoint
    if checkpoint is None:
        again = _same_call(job, found)
        if found.problems:
            raise errors.ModelLoadingError(
                "; ".join(found.problems),
                solution="None of the run's checkpoints is whole. Train anew: send nextCall.",
                metadata={**_sent(job), "runDir": str(found.directory)},
                next_call=again,
            )
        raise errors.InvalidConfiguration(
            f"The run in '{found.directory}' has no checkpoint to go on from: it ended before the"
            " first, or keeps none",
            solution=_who_can() + " Train anew: send nextCall.",
            metadata={**_sent(job), "runDir": str(found.directory)},
            next_call=again,
        )
    adapter = frameworks.get(checkpoint.run["framework"])
    brings_code = checkpoint.run["request"]["config"].get("modelScript") is not None
    parts = [checkpoint.path.with_name(f"part.{suffix}") for suffix in checkpoint.contents]
    harmless = not brings_code and all(adapter.is_safe(part) for part in parts)
    if not checkpoint.genuine and not harmless and not job.config.get("allowPickle"):
        raise errors.ModelLoadingError(
            f"The checkpoint '{checkpoint.path}' was not written by this executor, or has been"
            " changed since; loading it can run any code in it",
            solution="If you trust where it comes from, send config.allowPickle: true.",
            metadata={"key": "config.allowPickle", "path": str(checkpoint.path)},
            next_call=calls.repeat(job, {"allowPickle": True}),
        )
    return checkpoint


def _who_can() -> str:
    return " ".join(adapter.resumable for adapter in frameworks.all_adapters())


def _same_call(job: Job, found: Run) -> dict[str, Any] | None:
    """The run's own call, with the new total that was asked for."""
    if found.call is None:
        return None
    arguments = {key: value for key, value in found.call["request"].items() if key != "action"}
    if found.complete and arguments.get("outputDir") is not None:
        free = run_directory.free_name(found.directory, arguments["outputDir"])
        arguments["outputDir"] = free
    totals = {key: job.config[key] for key in _TOTALS if job.config.get(key) is not None}
    if totals:
        arguments["config"] = {**arguments["config"], **totals}
    return {"tool": found.call["action"], "arguments": arguments}


def _check_framework(job: Job, checkpoint: Checkpoint) -> None:
    """The run's framework may be named by the call, and must not be contradicted."""
    adapter = frameworks.get(checkpoint.run["framework"])
    sent = job.request.get("framework") or "auto"
    if sent != "auto" and frameworks.get(sent) is not adapter:
        raise errors.InvalidConfiguration(
            f"framework is '{sent}', and the run is one of {adapter.title}",
            solution="Send nextCall, or leave framework out.",
            metadata={"key": "framework", "sent": sent, "allowed": [adapter.name, "auto"]},
            next_call=calls.repeat(job, framework=adapter.name),
        )
    validation.check_framework(job.action, adapter.name, job.config)
    libraries.require_framework(adapter.name)


def _too_few(
    job: Job, checkpoint: Checkpoint, total: int, *, complete: bool
) -> errors.ExecutorError:
    key = next(key for key in _TOTALS if job.config.get(key) is not None)
    return errors.InvalidConfiguration(
        f"config.{key} is {total}, and {checkpoint.done} {checkpoint.unit}s are behind the"
        " checkpoint",
        solution=f"config.{key} is the new total: for {total} more send {checkpoint.done + total}.",
        metadata={"key": f"config.{key}", "sent": total, "allowed": f"> {checkpoint.done}"},
        # An unfinished run goes on to its own end without it.
        next_call=calls.repeat(job, {key: checkpoint.done + total if complete else None}),
    )


def _sent(job: Job) -> dict[str, Any]:
    key = next(key for key in ("jobId", "runDir", "checkpointPath") if job.config.get(key))
    return {"key": f"config.{key}", "sent": job.config[key]}
