"""What a check of the doctor found, and what the checks are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...api.registry import Registry
from ...util.errors import PluginError

Status = Literal["green", "yellow", "red"]
"""Green: as it should be. Yellow: adbench works, but something is missing or untested. Red: something fails."""


REPORT = "Report it, with the output of: adbench doctor --format json"
"""What to do about a fault of adbench itself."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was looked at.
        status: see ``Status``.
        found: what was found there.
        remedy: the line that mends it; empty if there is nothing to mend.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Asked:
    """What the checks look at besides the machine.

    Attributes:
        data_roots: folders of data sets.
        results: folder of the results.
        plugin_files: plugin files to load besides the installed plugins.
        device: the device whose memory presets must fit in: "auto", "cpu", "cuda", "cuda:N" or "mps".
        registry: all plugins that could be loaded.
        refused: the error of each plugin file that could not.
    """

    data_roots: tuple[Path, ...] = ()
    results: Path = Path("results")
    plugin_files: tuple[Path, ...] = ()
    device: str = "auto"
    registry: Registry = field(default_factory=lambda: Registry({}, {}))
    refused: tuple[PluginError, ...] = ()
