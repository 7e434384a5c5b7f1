"""A model that train or fine-tune saved: its description brings script, classes and data."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ml_runner import calls, descriptors, errors
from ml_runner.data import samples
from ml_runner.data.samples import Scaling
from ml_runner.frameworks.pytorch import building, heads, losses, weights
from ml_runner.frameworks.pytorch.pretrained import transfer
from ml_runner.frameworks.pytorch.source import Asked
from ml_runner.frameworks.pytorch.targets import Target

if TYPE_CHECKING:
    from ml_runner.job import Job
    from ml_runner.scripts import Script

_WORDS = {"table": "a table", "images": "images", "arrays": "arrays"}
_SENT_ALONE = ("modelScript", "modelClass", "modelArgs")
# How an earlier training read its data; a call that says otherwise of one is heeded.
_READING = {
    "table": ("featureColumns", "targetColumn", "featureScaling"),
    "images": ("imageSize", "colorMode", "normalize"),
    "arrays": ("inputDtype", "normalize"),
}


class OurModel:
    """See ``Source``. Data are read as in its own training, where the call does not say otherwise.

    Args:
        job: the call's; gets the keys that the description fills in.
        path: of the model's file.
        data: its content.
        descriptor: which stands beside it, genuine.

    Raises:
        InvalidConfiguration: the call brings a script too, or data of another kind.
        ModelLoadingError: its script is not there, or has changed.
    """

    def __init__(self, job: Job, path: Path, data: bytes, descriptor: Mapping[str, Any]) -> None:
        _refuse_script(job, path)
        self._job, self._path, self._data = job, path, data
        self._description: dict[str, Any] = descriptor["model"]
        self.script: Script = descriptors.import_script(path, descriptor["script"])
        self.name: str = descriptor["algorithm"]
        self.making: dict[str, Any] = {}
        if self._description["loss"] in losses.KINDS:
            job.fill_in("lossFunction", self._description["loss"])
        # A script that builds its data sets may read them in the call.
        if descriptor["parameters"].get("modelArgs"):
            job.fill_in("modelArgs", descriptor["parameters"]["modelArgs"])
        self._spec: Mapping[str, Any] = descriptor.get("samples") or {}
        self.scaling: Scaling | None = self._read_alike()
        self._seed = int(job.config.get("seed") or 0)
        self._taken = transfer.Taken([])

    def _read_alike(self) -> Scaling | None:
        """Fills in how data are read; the scaling that was learned, where the call names none."""
        job, spec = self._job, self._spec
        if not spec or job.config.get("dataPath") is None:
            return None
        path = job.resolve(job.config["dataPath"], key="config.dataPath")
        kind = samples.kind_of(path, {**_filled(spec, "table"), **job.config})
        if spec["kind"] != kind and "images" in (spec["kind"], kind):
            raise errors.InvalidConfiguration(
                f"'{path}' is read as {_WORDS[kind]}, and '{self._path}' was trained on"
                f" {_WORDS[spec['kind']]}",
                solution=f"Name {_WORDS[spec['kind']]}.",
                metadata={
                    "key": "config.dataPath",
                    "sent": job.config["dataPath"],
                    "found": kind,
                    "expected": spec["kind"],
                },
            )
        if spec["kind"] != kind:
            return None
        scaling = spec.get("scaling") if job.config.get("featureScaling") is None else None
        columns = spec["schema"]["features"] if kind == "table" else None
        if scaling is not None and job.config.get("featureColumns") not in (None, columns):
            job.warn(
                "featureColumns names other columns than the pretrained model was trained on: they"
                " are scaled as those were, in their order"
            )
        for key, value in _filled(spec, kind).items():
            told = f"the {len(value)} of the pretrained model" if key == "featureColumns" else None
            job.fill_in(key, value, told=told)
        return None if scaling is None else Scaling.from_json(scaling)

    def build(self, asked: Asked) -> nn.Module:
        """The module with its weights; see ``Source.build``.

        For another number of outputs it is made anew with that ``num_classes``, where it was made
        with one, and else its last layer is replaced.
        """
        making = {
            key: self._description[key]
            for key in ("maker", "arguments", "head")
            if key in self._description
        }
        state = weights.load_file(self._path, self._data).state
        model = self._made(making)
        self._taken = transfer.take_over(model, state, self._path, None)
        width = transfer.width_of(model, asked)
        if width is not None and asked.outputs not in (None, width):
            model = self._with_outputs(model, making, state, asked, width)
        self._compare_classes(asked.target)
        self.making = making
        return model

    def _made(self, making: Mapping[str, Any]) -> nn.Module:
        config = {"modelClass": making["maker"], "modelArgs": making["arguments"]}
        model = building.build(self.script, config, {}, self._seed)
        if "head" in making:
            heads.replace(model, **making["head"])
        return model

    def _with_outputs(
        self,
        model: nn.Module,
        making: dict[str, Any],
        state: Mapping[str, Any],
        asked: Asked,
        width: int,
    ) -> nn.Module:
        """The model with a new output layer; notes in ``making`` how it is made."""
        arguments = making["arguments"]
        if "num_classes" in arguments and "head" not in making:
            making["arguments"] = {**arguments, "num_classes": asked.outputs}
            fresh = self._made(making)
            with contextlib.suppress(errors.ModelLoadingError):  # more depends on it: replace then
                taken = transfer.take_over(fresh, state, self._path, asked.outputs)
                if taken.new:
                    self._taken = taken
                    return fresh
            making["arguments"] = arguments
        making["head"] = transfer.renew_head(
            model, asked, self._taken, width=width, seed=self._seed
        )
        return model

    def _compare_classes(self, target: Target | None) -> None:
        """Warns of labels that are not those that the model knows."""
        then = self._description["classes"]
        now = None if target is None or target.classes is None else list(target.classes)
        if then is None or now is None or list(map(str, then)) == list(map(str, now)):
            return
        words = [", ".join(map(str, some[:10])) + ("…" if len(some) > 10 else "")
                 for some in (now, then)]  # fmt: skip
        end = "its output layer is new" if self._taken.new else "its output layer learns them anew"
        self._job.warn(
            f"The data have the labels {words[0]}, and the pretrained model knows {words[1]}: {end}"
        )

    def facts(self) -> dict[str, Any]:
        """``pretrained``: where it came from, what was taken over, what is new."""
        return {
            "pretrained": {
                "path": self._job.config["pretrainedModel"],
                "algorithm": self.name,
                **({} if self._description["classes"] is None
                   else {"classes": len(self._description["classes"])}),
                **({} if self.scaling is None else {"featureScaling": "as it was trained with"}),
                **self._taken.facts(),
            }
        }  # fmt: skip

    def origins(self) -> dict[str, dict[str, Any]]:
        """Its file."""
        return transfer.origin(self._path)


def _filled(spec: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Config key → how data of a kind were read; nothing of data of another kind."""
    if spec["kind"] != kind:
        return {}
    said = dict(spec)
    if kind == "table":
        schema, scaling = spec["schema"], spec["scaling"]
        said = {
            "featureColumns": list(schema["features"]),
            "targetColumn": schema["target"],
            "featureScaling": None if scaling is None else scaling["method"],
        }
    return {key: said[key] for key in _READING[kind] if said.get(key) is not None}


def _refuse_script(job: Job, path: Path) -> None:
    sent = [key for key in _SENT_ALONE if job.config.get(key) is not None]
    if sent:
        raise errors.InvalidConfiguration(
            f"{sent[0]} is sent, and '{path}' was saved with a script of its own",
            solution="Send nextCall: pretrainedModel says it all.",
            metadata={"key": f"config.{sent[0]}", "sent": job.config[sent[0]]},
            next_call=calls.repeat(job, dict.fromkeys(sent)),
        )
