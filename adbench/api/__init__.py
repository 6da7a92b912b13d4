"""The API for plugins: all that a method, a data set, a backbone or a tracker may import, under one address.

``from adbench.api import ...`` finds methods, options, detectors, scores, data sets, trackers, executors and hooks,
all errors, and four modules of helpers: ``maps`` (upsampling, smoothing, image scores), ``devices`` (precision),
``memory`` (running out of memory) and ``files`` (atomic writes). Importing it does not import torch: ``maps``,
``devices`` and ``memory``, which need it, are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..util import files
from ..util.errors import (
    AdbenchError,
    CheckpointError,
    DataError,
    OptionError,
    PluginError,
    ResultError,
    SizeError,
    TaskError,
    UnknownNameError,
    UsageError,
    WeightsError,
    first_line,
    reason,
)
from .backbone import AnyBackbone, BackboneEntry, Build, Network
from .context import BuildContext
from .data import (
    GOOD,
    IMAGE_SUFFIXES,
    UNLABELLED,
    DataOptions,
    Dataset,
    EvalSize,
    Problem,
    RegionRules,
    Sample,
    Saturation,
    Setting,
    Size,
    Task,
    relative_path,
    size_text,
)
from .detector import Detector, Epoch, Step
from .executor import Executor, ExecutorEnd, ExecutorEntry, ExecutorRequest, ExecutorTask, Hear, Send
from .facts import Archive, Counts, Facts, Submission
from .hooks import hookimpl
from .images import Batch, Images, Transform
from .masks import marked
from .method import Method, Policy, Preset, Published
from .names import MASK_FOLDERS, Beside, by_stem, image_stem, is_visible, masks_beside, name_key, nfc
from .options import BackboneOptions, Count, Interpolation, Options, Positive, Range, Resize, Share, option_text
from .requirements import Auxiliary, Package, Requirements
from .scores import Metrics, Region, Scores
from .tracker import (
    Fact,
    FrontierPoint,
    TrackedClass,
    TrackedEpoch,
    TrackedFailure,
    TrackedImage,
    TrackedResult,
    TrackedRun,
    TrackedTable,
    Tracker,
    TrackerEntry,
    TrackerRun,
)

if TYPE_CHECKING:
    from ..util import devices, memory
    from . import maps

__all__ = [
    "GOOD",
    "IMAGE_SUFFIXES",
    "MASK_FOLDERS",
    "UNLABELLED",
    "AdbenchError",
    "AnyBackbone",
    "Archive",
    "Auxiliary",
    "BackboneEntry",
    "BackboneOptions",
    "Batch",
    "Beside",
    "Build",
    "BuildContext",
    "CheckpointError",
    "Count",
    "Counts",
    "DataError",
    "DataOptions",
    "Dataset",
    "Detector",
    "Epoch",
    "EvalSize",
    "Executor",
    "ExecutorEnd",
    "ExecutorEntry",
    "ExecutorRequest",
    "ExecutorTask",
    "Fact",
    "Facts",
    "FrontierPoint",
    "Hear",
    "Images",
    "Interpolation",
    "Method",
    "Metrics",
    "Network",
    "OptionError",
    "Options",
    "Package",
    "PluginError",
    "Policy",
    "Positive",
    "Preset",
    "Problem",
    "Published",
    "Range",
    "Region",
    "RegionRules",
    "Requirements",
    "Resize",
    "ResultError",
    "Sample",
    "Saturation",
    "Scores",
    "Send",
    "Setting",
    "Share",
    "Size",
    "SizeError",
    "Step",
    "Submission",
    "Task",
    "TaskError",
    "TrackedClass",
    "TrackedEpoch",
    "TrackedFailure",
    "TrackedImage",
    "TrackedResult",
    "TrackedRun",
    "TrackedTable",
    "Tracker",
    "TrackerEntry",
    "TrackerRun",
    "Transform",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "by_stem",
    "devices",
    "files",
    "first_line",
    "hookimpl",
    "image_stem",
    "is_visible",
    "maps",
    "marked",
    "masks_beside",
    "memory",
    "name_key",
    "nfc",
    "option_text",
    "reason",
    "relative_path",
    "size_text",
]

_WITH_TORCH = {"devices": "..util.devices", "maps": ".maps", "memory": "..util.memory"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(_WITH_TORCH[name], __name__)
