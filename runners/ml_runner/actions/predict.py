"""Runs a trained model on new rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_runner import errors, files, models, report
from ml_runner.frameworks.base import CLASSIFICATION, REGRESSION, TakesSamples
from ml_runner.training import inference

if TYPE_CHECKING:
    from ml_runner.job import Job

_SAMPLES = 5
_NAMES = 2


def run(job: Job) -> dict[str, Any]:
    """Predicts every row of ``inputData``.

    Returns:
        The report's body: framework, metadata, predictions, artifacts.

    Raises:
        ExecutorError: of the type that the contract names for what went wrong.
    """
    job.phase("loading")
    loaded = models.load(job)
    model = loaded.model
    data = None
    if isinstance(model, TakesSamples):  # some learn only of the data what they are for
        data = inference.rows_for(job, loaded, "inputData", with_target=False)
    wanted = job.config.get("outputFormat")
    if wanted is None and model.task != REGRESSION:
        wanted = job.option("outputFormat", "classes")
    _refuse_format(wanted, loaded)
    top = job.config.get("topK")
    _refuse_top(top, loaded)
    if data is None:
        data = inference.rows_for(job, loaded, "inputData", with_target=False)

    job.phase("predicting")
    outputs, seconds, batch = inference.predict(job, loaded, data.X, probabilities=True)
    rows = len(data)

    job.phase("saving")
    directory = job.output_dir
    with_scores = wanted == "probabilities"
    scores = outputs.probabilities if with_scores else None

    def records(stop: int | None = None) -> Any:
        return inference.records(
            outputs, model.classes, probabilities=with_scores, stop=stop, top=top
        )

    as_csv = directory / "predictions.csv"
    as_json = directory / "predictions.json"
    durable = not job.light
    carried = data.carried
    as_text = inference.to_csv(records(), model.classes, carried)
    files.write_atomic(as_csv, as_text.encode(), durable=durable)
    files.write_atomic(as_json, inference.to_json(records()).encode(), durable=durable)
    return {
        "framework": loaded.adapter.name,
        "metadata": {
            "algorithm": model.algorithm,
            **loaded.resolution(job),
            "samplesProcessed": rows,
            "batchSize": batch,
            **model.metadata,
            "inferenceTime": report.duration_words(seconds),
            "inferenceSeconds": round(seconds, 6),
            "avgInferenceTimePerSample": report.duration_words(seconds / rows),
        },
        "predictions": {
            "format": wanted or "values",
            "shape": list((scores if scores is not None else outputs.predictions).shape),
            **({"classes": model.classes} if with_scores and model.classes is not None else {}),
            "outputFile": job.show(as_csv),
            "samplePredictions": [_named(sample, carried) for sample in records(_SAMPLES)],
        },
        "artifacts": {"predictionsCSV": job.show(as_csv), "predictionsJSON": job.show(as_json)},
        "packages": loaded.adapter.versions(),
    }


def _named(sample: dict[str, Any], carried: Mapping[str, list[Any]]) -> dict[str, Any]:
    """A sample with what a person knows its row by."""
    row = sample["sample_id"]
    names = list(carried)[:_NAMES]
    return {"sample_id": row, **{name: carried[name][row] for name in names}, **sample}


def _refuse_top(top: int | None, loaded: models.Loaded) -> None:
    model = loaded.model
    if top is None or (model.task == CLASSIFICATION and model.has_probabilities):
        return
    what = "gives no probabilities" if model.task == CLASSIFICATION else "does not tell classes"
    raise errors.InvalidConfiguration(
        f"topK is {top}, and {model.algorithm} {what}",
        solution="Leave topK out.",
        metadata={"key": "config.topK", "sent": top},
    )


def _refuse_format(wanted: str | None, loaded: models.Loaded) -> None:
    model = loaded.model
    if wanted is None:
        return
    if model.task == REGRESSION:
        raise errors.InvalidConfiguration(
            f"outputFormat is '{wanted}', and {model.algorithm} predicts numbers",
            solution="Leave outputFormat out.",
            metadata={"key": "config.outputFormat", "sent": wanted},
        )
    if wanted == "probabilities" and not model.has_probabilities:
        raise errors.InvalidConfiguration(
            f"{model.algorithm} gives no probabilities with the parameters of its training",
            solution="Send outputFormat: classes, or train a model that gives them.",
            metadata={"key": "config.outputFormat", "sent": wanted, "allowed": ["classes"]},
        )
