"""What PyTorch says of shapes, types and gradients that do not fit, and what to change."""

from __future__ import annotations

import re
from typing import Any, NamedTuple


class _Known(NamedTuple):
    pattern: str  # of the message; its named groups become metadata
    solution: str  # with those filled in


# The first that matches holds. Wordings are those of PyTorch 2.4 to 2.13.
_KNOWN = (
    _Known(
        r"shapes cannot be multiplied \((?P<inputShape>\d+x(?P<inputFeatures>\d+)) and"
        r" (?P<weightShape>(?P<layerFeatures>\d+)x\d+)\)",
        "The layer takes {layerFeatures} features, and {inputFeatures} come in: set its in_features"
        " to {inputFeatures}, or mend what comes before it.",
    ),
    _Known(
        r"weight of size \[(?P<weightShape>[\d, ]+)\], expected input\[(?P<inputShape>[\d, ]+)\] to"
        r" have (?P<layerChannels>\d+) channels, but got (?P<inputChannels>\d+)",
        "The layer takes {layerChannels} channels, and {inputChannels} come in: set its in_channels"
        " to {inputChannels}.",
    ),
    _Known(
        r"input size per channel: \((?P<inputSize>[\dx ]+)\)\. Kernel size: \((?P<kernelSize>"
        r"[\dx ]+)\)\. Kernel size can't be greater",
        "Use larger inputs, a smaller kernel, or padding.",
    ),
    _Known(
        r"running_mean should contain (?P<inputFeatures>\d+) elements not (?P<layerFeatures>\d+)",
        "The normalisation takes {layerFeatures} features, and {inputFeatures} come in: set its"
        " num_features to {inputFeatures}.",
    ),
    _Known(
        r"normalized_shape=\[(?P<layerShape>[\d, ]+)\].*input of size"
        r"\s*\[(?P<inputShape>[\d, ]+)\]",
        "normalized_shape must be the last dimensions of what comes in.",
    ),
    _Known(
        r"Expected more than 1 value per channel when training, got input size torch\.Size\("
        r"\[(?P<inputShape>[\d, ]+)\]\)",
        "BatchNorm cannot train on a batch of one row: choose a batchSize that leaves no single row"
        " over.",
    ),
    _Known(
        r"input\.size\(-1\) must be equal to input_size\. Expected (?P<layerFeatures>\d+), got"
        r" (?P<inputFeatures>\d+)",
        "The layer takes {layerFeatures} features, and {inputFeatures} come in: set its input_size"
        " to {inputFeatures}.",
    ),
    _Known(
        r"size of tensor a \((?P<sizeA>\d+)\) must match the size of tensor b \((?P<sizeB>\d+)\) at"
        r" non-singleton dimension (?P<dimension>\d+)",
        "Let both tensors have the same size in dimension {dimension}: {sizeA} and {sizeB} meet.",
    ),
    _Known(
        r"shape '\[(?P<shape>[-\d, ]+)\]' is invalid for input of size (?P<inputSize>\d+)",
        "view or reshape asks for another number of values than the {inputSize} that there are.",
    ),
    _Known(
        r"Target (?P<targetIndex>-?\d+) is out of bounds",
        "Class indices go from 0 to the number of outputs less one: let the last layer give more"
        " outputs, or count the classes from 0.",
    ),
    _Known(
        r"^index out of range in self",
        "An index is beyond the embedding: raise its num_embeddings (vocab_size), or correct the"
        " indices.",
    ),
    _Known(
        r"must have the same dtype, but got (?P<inputType>\w+) and (?P<weightType>\w+)"
        r"|expected m1 and m2 to have the same dtype|[Ee]xpected scalar type"
        r"|to have one of the following scalar types",
        "Let inputs and weights have the types that the layer takes: inputs.float() or"
        " inputs.long() in forward, or in the data set.",
    ),
    _Known(
        r"does not require grad and does not have a grad_fn",
        "The loss does not depend on any parameter that is trained: look for detach(), no_grad(),"
        " argmax, .item(), or frozen layers.",
    ),
    _Known(
        r"backward through the graph a second time",
        "A tensor of an earlier batch is kept (a hidden state, say): detach() it.",
    ),
    _Known(
        r"modified by an inplace operation",
        "Replace the operation that changes a tensor in place (+=, relu_, inplace=True).",
    ),
    _Known(
        r"all elements of (?:input|target) should be between 0 and 1",
        "These are no probabilities: use lossFunction: bce_with_logits with targets of 0 and 1, or"
        " end the model with a sigmoid.",
    ),
    _Known(
        r"SparseAdam does not support dense gradients",
        "SparseAdam is for models of sparse embeddings alone (nn.Embedding(…, sparse=True)): use"
        " adam.",
    ),
    _Known(
        r"does not support sparse gradients|weight_decay option is not compatible with sparse",
        "The model has sparse embeddings: use optimizer: SparseAdam, or sgd without weightDecay, or"
        " leave sparse=True out.",
    ),
    _Known(
        r"Expected all tensors to be on the same device",
        "A tensor that forward makes is on another device than the inputs: make it with"
        " device=inputs.device, or register it as a buffer.",
    ),
    _Known(
        r"Attempting to deserialize object on a CUDA device",
        "Let the script load with torch.load(…, map_location='cpu').",
    ),
)
_COMPILED = tuple((re.compile(known.pattern), known.solution) for known in _KNOWN)


def recognise(said: str) -> tuple[str, dict[str, Any]] | None:
    """What to do about a message, and the shapes or sizes in it; None for an unknown one.

    Args:
        said: the message, its white space made single blanks.
    """
    for pattern, solution in _COMPILED:
        found = pattern.search(said)
        if found is not None:
            named = {name: text for name, text in found.groupdict().items() if text is not None}
            facts = {name: _value(text) for name, text in named.items()}
            return solution.format(**named), facts
    return None


def _value(text: str) -> Any:
    """``32x10`` and ``8, 3`` as lists of whole numbers, ``5`` as one, a word as it is."""
    numbers = [int(number) for number in re.findall(r"-?\d+", text)]
    if re.search(r"[^\d\sx,-]", text) or not numbers:
        return text
    return numbers[0] if re.fullmatch(r"-?\d+", text) else numbers
