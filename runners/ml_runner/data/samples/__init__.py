"""Samples for neural networks: read, split, ordered and encoded, for whatever framework."""

from ml_runner.data.samples.arrays import ArrayOptions, ArraySamples
from ml_runner.data.samples.base import Inputs, Parts, Samples
from ml_runner.data.samples.images import ImageOptions, ImageSamples
from ml_runner.data.samples.order import batch_count, batch_seed, batches, epoch_order
from ml_runner.data.samples.reading import kind_of, read, read_anew, read_like, scaled
from ml_runner.data.samples.scaling import Scaling
from ml_runner.data.samples.split import hold_out
from ml_runner.data.samples.table import TableSamples
from ml_runner.data.samples.targets import MULTI_LABEL, Encoded, encode, truth
from ml_runner.data.samples.text import TextSamples
from ml_runner.data.samples.tokens import Tokenizer, Tokens

__all__ = [
    "MULTI_LABEL",
    "ArrayOptions",
    "ArraySamples",
    "Encoded",
    "ImageOptions",
    "ImageSamples",
    "Inputs",
    "Parts",
    "Samples",
    "Scaling",
    "TableSamples",
    "TextSamples",
    "Tokenizer",
    "Tokens",
    "batch_count",
    "batch_seed",
    "batches",
    "encode",
    "epoch_order",
    "hold_out",
    "kind_of",
    "read",
    "read_anew",
    "read_like",
    "scaled",
    "truth",
]
