"""``tracking.json`` beside a run: what each tracker made of it, so that it goes on there after a break."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ..api.tracker import TrackerRun
from ..results.store import RunFolder
from ..util import files

FILE = "tracking.json"


def read(folder: RunFolder) -> dict[str, TrackerRun]:
    """The runs of trackers, by the tracker's name; none if the file is missing or damaged."""
    try:
        stored = json.loads((folder.path / FILE).read_text(encoding="utf-8"))
        return {str(name): TrackerRun(str(each["id"]), str(each["place"])) for name, each in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write(folder: RunFolder, runs: Mapping[str, TrackerRun]) -> Path:
    """Store the runs of trackers, and return the file. Raises ``OSError``."""
    text = json.dumps({name: asdict(run) for name, run in sorted(runs.items())}, indent=2, ensure_ascii=False) + "\n"
    path = folder.path / FILE
    files.write(path, lambda stream: stream.write(text.encode("utf-8", "backslashreplace")))
    return path
