"""The images worth looking at in a run: its worst misses and false alarms, and each type of defect.

They are chosen by the stored scores; only they are scored again, for their maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..api.data import Size
from ..results.records import Result
from ..results.run_files import folder_of, read_scores
from ..results.store import ImageScore, RunFolder
from ..results.variants import boards
from ..util.errors import PLUGIN_ERRORS, AdbenchError, described
from . import overlay
from .overlay import Polygon, Scale

if TYPE_CHECKING:
    from .reopen import Reopener, Rescored

WORST = 4
"""Misses and false alarms shown, each."""

OF_EACH_TYPE = 2
"""Images shown of each type of defect."""

ALL_BYTES = 20_000_000
"""All images of a report together; as text in a page they take a third more."""

SIDES = ((20, 256), (50, 208), (100, 160))
"""Up to so many galleries, images have that many pixels a side, at most."""

SMALLEST_SIDE = 112

MISSES = "Worst misses: the defective images with the lowest scores"
FALSE_ALARMS = "Worst false alarms: the good images with the highest scores"
TYPES = "Each type of defect: the images in the middle of its scores"

RunKey = tuple[str, str, str, str]
"""Data set, class, method and run: what tells stored results from each other."""


@dataclass(frozen=True)
class Choice:
    """An image to show, under which heading; ``beaten`` of ``others`` of the other kind score lower."""

    heading: str
    score: ImageScore
    beaten: int
    others: int


@dataclass(frozen=True)
class Entry:
    """A chosen image as it is shown: encoded, with its map where the method has one.

    ``outline`` are polygons in pixels of ``size``.
    """

    choice: Choice
    image: bytes
    heat: bytes | None
    outline: tuple[Polygon, ...]
    size: Size


@dataclass(frozen=True)
class Gallery:
    """What is shown of one run; ``left_out`` images were too many for the page."""

    entries: tuple[Entry, ...]
    scale: Scale | None
    left_out: int = 0
    remark: str = ""

    @property
    def sections(self) -> list[tuple[str, list[Entry]]]:
        """The entries under their headings, in their order."""
        return [(heading, list(some)) for heading, some in groupby(self.entries, lambda entry: entry.choice.heading)]


@dataclass(frozen=True)
class NoGallery:
    """Why a run has no gallery."""

    reason: str


def run_key(result: Result) -> RunKey:
    """What tells a stored result from all others."""
    return result.dataset, result.class_name, result.method, result.run


def of_results(
    results: Sequence[Result], stored: Path, reopener: Reopener, *, watch: Callable[[str], None] | None = None
) -> dict[RunKey, Gallery | NoGallery]:
    """Make the galleries of a report: of each variant and class one, of its first seed.

    Args:
        results: what is reported.
        stored: the folder of all results.
        reopener: finds their images and detectors.
        watch: hears whose images are being scored.
    """
    shown = [
        (variant.label, runs[0])
        for board in boards(results) for variant in board.variants for runs in variant.runs.values()
    ]  # fmt: skip
    side = next((side for limit, side in SIDES if len(shown) <= limit), SMALLEST_SIDE)
    limit = ALL_BYTES // max(len(shown), 1)
    made: dict[RunKey, Gallery | NoGallery] = {}
    for label, run in shown:
        if watch:
            watch(f"{run.dataset}/{run.class_name}: images of {label}")
        folder = folder_of(stored, run)
        try:
            made[run_key(run)] = make(run, folder, read_scores(folder, run), reopener, side=side, limit=limit)
        except AdbenchError as error:  # a report without these images is better than none
            made[run_key(run)] = NoGallery(str(error))
        except PLUGIN_ERRORS as error:  # whatever a plugin's detector raises
            made[run_key(run)] = NoGallery(described(error))
    return made


# ---------------------------------------------------------------- chosen


def choose(scores: Sequence[ImageScore]) -> list[Choice]:
    """Choose images by their scores; none twice, and ties broken by path, so that a page comes out the same."""
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
    """Score the chosen images of a run and draw them.

    Args:
        result: the run.
        folder: where it is stored.
        scores: its stored scores.
        reopener: finds its images and its detector.
        side: pixels of a shown image's longer side, at most.
        limit: bytes that all images together may take, at most; the last ones are left out.

    Raises:
        AdbenchError: the images or the checkpoint are gone or have changed, or scoring them broke off.
    """
    from .reopen import scores_differ

    choices = choose(scores)
    samples = reopener.samples(result, [choice.score.path for choice in choices])
    rescored = reopener.score(result, folder, samples)
    scale = None if rescored.maps is None else Scale.of(rescored.maps)
    entries: list[Entry] = []
    taken = 0
    for row, choice in enumerate(choices):
        entry = _entry(choice, rescored, row, scale, side)
        taken += len(entry.image) + len(entry.heat or b"")
        if taken > limit:
            break
        entries.append(entry)
    stored = np.array([choice.score.score for choice in choices])
    remark = scores_differ(stored, rescored.image, float(np.std([each.score for each in scores])))
    remark = f"{remark} Shown are the stored ones." if remark else ""
    return Gallery(tuple(entries), scale, len(choices) - len(entries), remark)


def _entry(choice: Choice, rescored: Rescored, row: int, scale: Scale | None, side: int) -> Entry:
    image = rescored.store.images[row]
    masks = rescored.store.masks
    heat = None
    if scale is not None and rescored.maps is not None:
        heat = overlay.encode(overlay.heat(rescored.maps[row], scale), side)
    return Entry(
        choice=choice,
        image=overlay.encode(image, side),
        heat=heat,
        outline=() if masks is None else overlay.polygons(masks[row]),
        size=(image.shape[0], image.shape[1]),
    )
