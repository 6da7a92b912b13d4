"""The errors under their old address, for plugins of adbench 0.1; new code imports from ``adbench.api``."""

from .util.errors import (
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
)

__all__ = [
    "AdbenchError",
    "CheckpointError",
    "DataError",
    "OptionError",
    "PluginError",
    "ResultError",
    "SizeError",
    "TaskError",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
]
