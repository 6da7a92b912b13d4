"""adbench: a benchmark suite for unsupervised industrial anomaly detection.

These names are what a plugin needs; importing them does not import torch.
"""

from .api.backbone import BackboneEntry, Network
from .api.context import BuildContext
from .api.data import Dataset, Sample, Task
from .api.detector import Detector, Epoch, Step
from .api.hooks import hookimpl
from .api.method import Method, Preset, Published
from .api.options import BackboneOptions, Options
from .api.requirements import Auxiliary, Package, Requirements
from .api.scores import Scores
from .util.errors import AdbenchError, UsageError

__all__ = [
    "AdbenchError",
    "Auxiliary",
    "BackboneEntry",
    "BackboneOptions",
    "BuildContext",
    "Dataset",
    "Detector",
    "Epoch",
    "Method",
    "Network",
    "Options",
    "Package",
    "Preset",
    "Published",
    "Requirements",
    "Sample",
    "Scores",
    "Step",
    "Task",
    "UsageError",
    "hookimpl",
]
