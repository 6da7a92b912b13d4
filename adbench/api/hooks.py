"""Every hook that a plugin can implement. Each returns a list, and is called once."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from .backbone import BackboneEntry
from .data import Dataset
from .executor import ExecutorEntry
from .method import Method
from .tracker import TrackerEntry

hookspec = pluggy.HookspecMarker("adbench")
hookimpl = pluggy.HookimplMarker("adbench")


@hookspec
def adbench_methods() -> Sequence[Method]:
    """Return the methods of this plugin."""
    raise NotImplementedError


@hookspec
def adbench_datasets() -> Sequence[Dataset]:
    """Return the data sets that this plugin reads."""
    raise NotImplementedError


@hookspec
def adbench_backbones() -> Sequence[BackboneEntry]:
    """Return the backbones of this plugin."""
    raise NotImplementedError


@hookspec
def adbench_trackers() -> Sequence[TrackerEntry]:
    """Return the trackers of this plugin."""
    raise NotImplementedError


@hookspec
def adbench_executors() -> Sequence[ExecutorEntry]:
    """Return the executors of this plugin."""
    raise NotImplementedError
