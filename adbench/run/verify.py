"""Whether a checkpoint that was just written brings its detector back: a state that loses a part shows at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import inf, isnan
from pathlib import Path

import torch
from torch import Tensor

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
"""Share of the scores' spread by which two computations of the same may differ: that is rounding."""


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
    parts = ("image", "map", "region_map")
    return largest_difference((getattr(one, part), getattr(other, part)) for part in parts) <= ALIKE


def largest_difference(pairs: Iterable[tuple[Tensor | None, Tensor | None]]) -> float:
    """The largest difference within pairs of tensors, as a share of the spread of the first of each.

    Infinite where shapes differ or one of a pair is missing; NaN counts as infinite, too.
    """
    worst = 0.0
    for left, right in pairs:
        if left is None and right is None:
            continue
        if left is None or right is None or left.shape != right.shape:
            return inf
        left, right = left.cpu().double(), right.cpu().double()
        spread = float(left.max() - left.min()) or max(1.0, float(left.abs().max()))
        share = float((left - right).abs().max()) / spread
        worst = max(worst, inf if isnan(share) else share)
    return worst
