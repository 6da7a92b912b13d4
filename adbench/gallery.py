"""The pictures worth looking at in a run: its worst misses and false alarms, and each type of defect.

They are chosen by the stored scores; only they are scored again, for their maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import overlay
from .overlay import Polygon, Scale
from .reopen import Reopener, Rescored, scores_differ
from .store import ImageScore, RunFolder
from .types import Result, Size

WORST = 4
"""Misses and false alarms shown, each."""

OF_EACH_TYPE = 2
"""Pictures shown of each type of defect."""


MISSES = "Worst misses: the defective pictures with the lowest scores"
FALSE_ALARMS = "Worst false alarms: the good pictures with the highest scores"
TYPES = "Each type of defect: the pictures in the middle of its scores"


@dataclass(frozen=True)
class Choice:
    """A picture to show, under which heading; ``beaten`` of ``others`` of the other kind score lower."""

    heading: str
    score: ImageScore
    beaten: int
    others: int


@dataclass(frozen=True)
class Entry:
    """A chosen picture as it is shown: encoded, with its map where the method has one.

    ``outline`` are polygons in pixels of ``size``.
    """

    choice: Choice
    picture: bytes
    heat: bytes | None
    outline: tuple[Polygon, ...]
    size: Size


@dataclass(frozen=True)
class Gallery:
    """What is shown of one run; ``left_out`` pictures were too many for the page."""

    entries: tuple[Entry, ...]
    scale: Scale | None
    left_out: int = 0
    remark: str = ""


# ---------------------------------------------------------------- chosen


def choose(scores: Sequence[ImageScore]) -> list[Choice]:
    """Choose pictures by their scores; none twice, and ties broken by path, so that a page comes out the same."""
    ordered = sorted(scores, key=lambda each: (each.score, each.path))
    bad = [each for each in ordered if each.label]
    good = [each for each in ordered if not each.label]
    chosen = [(MISSES, each) for each in bad[:WORST]]
    chosen += [(FALSE_ALARMS, each) for each in good[: -WORST - 1 : -1]]
    left = bad[WORST:]
    for defect in sorted({each.defect for each in left}):
        chosen += [(TYPES, each) for each in _middle([each for each in left if each.defect == defect])]
    return [
        Choice(heading, each, sum(other.score < each.score for other in others), len(others))
        for heading, each in chosen
        for others in [good if each.label else bad]
    ]


def _middle(ordered: Sequence[ImageScore]) -> Sequence[ImageScore]:
    start = max(0, (len(ordered) - OF_EACH_TYPE) // 2)
    return ordered[start : start + OF_EACH_TYPE]


# ---------------------------------------------------------------- drawn


def make(
    result: Result, folder: RunFolder, scores: Sequence[ImageScore], reopener: Reopener, *, side: int, limit: int
) -> Gallery:
    """Score the chosen pictures of a run and draw them.

    Args:
        result: the run.
        folder: where it is stored.
        scores: its stored scores.
        reopener: finds its pictures and its detector.
        side: pixels of a shown picture's longer side, at most.
        limit: bytes that all pictures together may take, at most; the last ones are left out.

    Raises:
        AdbenchError: the pictures or the checkpoint are gone or have changed, or scoring them broke off.
    """
    choices = choose(scores)
    samples = reopener.samples(result, [choice.score.path for choice in choices])
    rescored = reopener.score(result, folder, samples)
    scale = None if rescored.maps is None else Scale.of(rescored.maps)
    entries: list[Entry] = []
    taken = 0
    for row, choice in enumerate(choices):
        entry = _entry(choice, rescored, row, scale, side)
        taken += len(entry.picture) + len(entry.heat or b"")
        if taken > limit:
            break
        entries.append(entry)
    stored = np.array([choice.score.score for choice in choices])
    remark = scores_differ(stored, rescored.image, float(np.std([each.score for each in scores])))
    remark = f"{remark} Shown are the stored ones." if remark else ""
    return Gallery(tuple(entries), scale, len(choices) - len(entries), remark)


def _entry(choice: Choice, rescored: Rescored, row: int, scale: Scale | None, side: int) -> Entry:
    picture = rescored.store.pictures[row]
    masks = rescored.store.masks
    heat = None
    if scale is not None and rescored.maps is not None:
        heat = overlay.encode(overlay.heat(rescored.maps[row], scale), side)
    return Entry(
        choice=choice,
        picture=overlay.encode(picture, side),
        heat=heat,
        outline=() if masks is None else overlay.polygons(masks[row]),
        size=(picture.shape[0], picture.shape[1]),
    )
