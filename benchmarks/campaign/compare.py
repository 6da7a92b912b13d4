"""What two folders of results have in common: all that a run stores, but for times, places and the machine."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adbench.util import files
from adbench.util.integrity import of_payload

MOVING = ("timing", "command", "finished", "peak_memory_bytes", "environment", "data_root", "files", "passes", "digest")
"""Fields of a result that differ between two equal runs: times, places, and digests over times."""

Content = Mapping[str, str]


def content_of(results: Path) -> dict[str, str]:
    """A digest of each stored file below ``results``, by its path, without what may differ between equal runs.

    Locks are left out. What a killed process left is named as it is.
    """
    found = {}
    for path in sorted(results.rglob("*")):
        if path.is_file() and path.name != ".lock":
            found[path.relative_to(results).as_posix()] = _digest(path)
    return found


def differences(found: Content, wanted: Content) -> list[str]:
    """Name the files that are missing, too many, or different; none where both are equal."""
    lines = [f"{name} is missing" for name in wanted if name not in found]
    lines += [f"{name} is too many" for name in found if name not in wanted]
    return lines + [f"{name} differs" for name in found if name in wanted and found[name] != wanted[name]]


def left_over(folder: Path) -> list[str]:
    """Temporary files and states below a folder, which no finished run has."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path in files.temporaries(path.parent) or path.name == "state.pt"
    ]


def misfits(results: Path) -> list[str]:
    """Files beside a result that are not those of its digests."""
    found = []
    for path in results.rglob("result.json"):
        for name, digest in json.loads(path.read_text(encoding="utf-8"))["files"].items():
            beside = path.with_name(name)
            if not beside.is_file() or hashlib.sha256(beside.read_bytes()).hexdigest() not in digest.split():
                found.append(f"{beside.relative_to(results).as_posix()} doesn't fit its result")
    return found


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if path.name == "result.json":
        data = json.dumps(_steady(json.loads(data)), sort_keys=True).encode()
    elif path.name == "epochs.csv":
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8"))))
        data = json.dumps([{key: value for key, value in row.items() if key != "seconds"} for row in rows]).encode()
    elif path.suffix == ".npz":
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in sorted(stored.files)}
        facts = [(name, str(each.dtype), each.shape, each.tobytes()) for name, each in arrays.items()]
        data = repr(facts).encode()
    elif path.suffix == ".pt":
        return of_payload(_tensors(torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")))
    return hashlib.sha256(data).hexdigest()


def _steady(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in MOVING}


def _tensors(saved: Any) -> Any:
    """A checkpoint without its provenance, which names the command and the time."""
    return {name: value for name, value in saved.items() if name != "provenance"} if isinstance(saved, dict) else saved
