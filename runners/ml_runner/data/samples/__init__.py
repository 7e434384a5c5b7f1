"""Samples for neural networks: read, split, ordered and encoded, for whatever framework."""

from ml_runner.data.samples.arrays import ArrayOptions, ArraySamples
from ml_runner.data.samples.base import Parts, Samples
from ml_runner.data.samples.images import ImageOptions, ImageSamples
from ml_runner.data.samples.order import batch_count, batch_seed, batches, epoch_order
from ml_runner.data.samples.reading import kind_of, read, read_anew, read_like, scaled
from ml_runner.data.samples.scaling import Scaling
from ml_runner.data.samples.split import hold_out
from ml_runner.data.samples.table import TableSamples
from ml_runner.data.samples.targets import MULTI_LABEL, Encoded, encode, truth

__all__ = [
    "MULTI_LABEL",
    "ArrayOptions",
    "ArraySamples",
    "Encoded",
    "ImageOptions",
    "ImageSamples",
    "Parts",
    "Samples",
    "Scaling",
    "TableSamples",
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
