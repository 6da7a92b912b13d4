"""adbench: a benchmark suite for unsupervised industrial anomaly detection.

These names are what a plugin needs; importing them does not import torch.
"""

from .api.data import Dataset, Sample, Task
from .api.detector import Detector, Epoch
from .api.hooks import hookimpl
from .api.method import Method
from .api.options import BackboneOptions, Options
from .api.scores import Scores
from .util.errors import AdbenchError, UsageError

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
