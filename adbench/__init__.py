"""adbench: a benchmark suite for unsupervised industrial anomaly detection.

These names are what most plugins need; ``adbench.api`` has the rest. Importing them does not import torch.
"""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from .backbones import Backbone
    from .run.predict import load

__all__ = [
    "AdbenchError",
    "Auxiliary",
    "Backbone",
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
    "load",
]


def __getattr__(name: str) -> Any:
    if name == "Backbone":  # these two import torch
        from .backbones import Backbone

        return Backbone
    if name == "load":
        from .run.predict import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
