"""Whether a checkpoint that was just written brings its detector back: a state that loses a part shows at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..api.detector import Detector
from ..api.scores import Scores
from ..data.images import Batch
from ..util.errors import PLUGIN_ERRORS, AdbenchError, described
from ..util.memory import is_out_of_memory
from . import checkpoint
from .saving import FREE_SECONDS, TIME_SHARE
from .session import kept_random_state

LARGEST = 10**9
"""Bytes of a checkpoint that is read back; a larger one would take too long, and memory for a second detector."""

ALIKE = 1e-3
"""Part of the scores' spread by which they may differ: that is rounding."""


def is_worth_it(path: Path, *, began: float, building: float) -> bool:
    """Whether reading a checkpoint back takes little of the task's time.

    Args:
        path: the checkpoint.
        began: when the task began, on ``time.monotonic``'s clock.
        building: seconds that building the detector took.
    """
    allowed = TIME_SHARE * (time.monotonic() - began) + FREE_SECONDS
    return building <= allowed and path.stat().st_size <= LARGEST


def problem(path: Path, detector: Detector, build: Callable[[checkpoint.AnyCheckpoint], Detector], batch: Batch) -> str:
    """Say what is wrong with a checkpoint; "" where it scores as its detector does, or where that can't be known.

    Args:
        path: the checkpoint.
        detector: what it was written of.
        build: makes a detector from a checkpoint.
        batch: a few images to score.
    """
    try:
        with kept_random_state(detector.device), torch.no_grad():
            again = build(checkpoint.read(path)).score(batch)
            wanted = detector.score(batch)
            if _alike(wanted, again) or not _alike(wanted, detector.score(batch)):
                return ""
    except PLUGIN_ERRORS as error:
        if is_out_of_memory(error):
            return ""
        return str(error) if isinstance(error, AdbenchError) else f"loading it breaks off with {described(error)}."
    return "the detector that is built from it gives other scores."


def _alike(one: Scores, other: Scores) -> bool:
    for part in ("image", "map", "region_map"):
        left, right = getattr(one, part), getattr(other, part)
        if left is None or right is None:
            if left is not right:
                return False
            continue
        left, right = left.double().cpu(), right.double().cpu()
        spread = float(left.max() - left.min()) or max(1.0, float(left.abs().max()))
        if left.shape != right.shape or not float((left - right).abs().max()) <= ALIKE * spread:
            return False
    return True
