"""adbench: a benchmark suite for unsupervised industrial anomaly detection.

These names are what a plugin needs; importing them does not import torch.
"""

from .errors import AdbenchError, UsageError
from .hookspecs import hookimpl
from .types import BackboneOptions, Dataset, Detector, Epoch, Method, Options, Sample, Scores, Task

__all__ = [
    "AdbenchError",
    "BackboneOptions",
    "Dataset",
    "Detector",
    "Epoch",
    "Method",
    "Options",
    "Sample",
    "Scores",
    "Task",
    "UsageError",
    "hookimpl",
]
