"""Every hook that a plugin can implement. Both return lists, and each is called once."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from .data import Dataset
from .method import Method

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
