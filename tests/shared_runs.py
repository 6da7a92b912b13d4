"""Small stored runs, for the tests of everything that shares results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from made_results import make_result

from adbench.api.scores import Metrics
from adbench.results.image_scores import ImageScore
from adbench.results.records import EpochRecord, Result
from adbench.results.run_files import folder_of

JOINT: dict[str, Any] = {"setting": "multi-class", "classes": ("bolts", "nuts")}

SCORES = [ImageScore("bolts/test/good/ä.png", 0, "good", 0.125), ImageScore("bolts/test/cut/2.png", 1, "cut", 1 / 3)]


def store(results: Path, method: str = "a", class_name: str = "bolts", run: str = "r1", **changes: Any) -> Path:
    """Store a made run, and return its folder."""
    own = {name: changes.pop(name) for name in ("label", "finished", "timing", "command") if name in changes}
    result = replace(make_result(method, class_name, **changes), run=run, **own)
    return put(results, result)


def put(results: Path, result: Result) -> Path:
    """Store a result with two scores and an epoch."""
    folder = folder_of(results, result)
    folder.write_result(result, SCORES, [EpochRecord(4, 4, 0.5, 1e-4, 1.5, Metrics(image_auroc=0.9))])
    return folder.path


def store_joint(results: Path, run: str = "j1", **changes: Any) -> list[Path]:
    """Store a run of one model of two classes with its checkpoint, which both share, and return its folders."""
    places = [store(results, "joint", name, run, **JOINT, **changes) for name in JOINT["classes"]]
    save_checkpoint(places[0] / "last.pt")
    (places[1] / "last.pt").hardlink_to(places[0] / "last.pt")
    return places


def save_checkpoint(path: Path) -> None:
    """Save a small checkpoint."""
    import torch

    torch.save({"weight": torch.arange(6.0)}, path)


def contents(results: Path) -> dict[str, bytes]:
    """All files in a folder, by their paths."""
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in results.rglob("*") if path.is_file()}
