"""The records under their old address, for plugins of adbench 0.1; new code imports from ``adbench.api``."""

from .api.data import GOOD, Dataset, EvalSize, Problem, Sample, Size, Task, relative_path, size_text
from .api.detector import Detector, Epoch
from .api.method import Method, Preset, Published
from .api.options import BackboneOptions, Count, Options, Positive, Range, Share, option_text
from .api.scores import MAIN_METRICS, METRIC_NAMES, Metrics, Scores

__all__ = [
    "GOOD",
    "MAIN_METRICS",
    "METRIC_NAMES",
    "BackboneOptions",
    "Count",
    "Dataset",
    "Detector",
    "Epoch",
    "EvalSize",
    "Method",
    "Metrics",
    "Options",
    "Positive",
    "Preset",
    "Problem",
    "Published",
    "Range",
    "Sample",
    "Scores",
    "Share",
    "Size",
    "Task",
    "option_text",
    "relative_path",
    "size_text",
]
