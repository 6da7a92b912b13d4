"""Galleries of a run: its worst misses and false alarms, and each type of defect.

The stored scores choose them; only the chosen ones are scored again, for their maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..api.data import Size
from ..results.image_scores import ImageScore
from ..results.records import Result
from ..results.run_files import folder_of, read_scores
from ..results.store import RunFolder
from ..results.variants import Names, boards
from ..util.errors import PLUGIN_ERRORS, AdbenchError, described
from . import overlay, own_shape
from .overlay import Polygon, Scale

if TYPE_CHECKING:
    from .reopen import Reopener, Rescored

WORST = 4
"""Number of misses and of false alarms."""

OF_EACH_TYPE = 2
"""Number of images of each type of defect."""

ALL_BYTES = 20_000_000
"""Bytes of all images of a report together; as text in a page they take a third more."""

SIDES = ((20, 256), (50, 208), (100, 160))
"""Up to this many galleries: the side in pixels of a square with as many pixels as their images have at most."""

SMALLEST_SIDE = 112

AWAY = 2
"""Pixels between a defect and the outline around it."""

MISSES = "Worst misses: the defective images with the lowest scores"
FALSE_ALARMS = "Worst false alarms: the good images with the highest scores"
TYPES = "Each type of defect: the images in the middle of its scores"

RunKey = tuple[str, str, str, str]
"""Data set, class, method and run, which identify a stored result."""


@dataclass(frozen=True)
class Choice:
    """An image to show, with its heading; ``beaten`` of ``others`` of the other kind score lower."""

    heading: str
    score: ImageScore
    beaten: int
    others: int


@dataclass(frozen=True)
class Entry:
    """A chosen image in its own shape, encoded, with its map if the method has one.

    ``outline`` are polygons around its defects, in pixels of ``size``.
    """

    choice: Choice
    image: bytes
    heat: bytes | None
    outline: tuple[Polygon, ...]
    size: Size


@dataclass(frozen=True)
class Gallery:
    """The images of one run; ``left_out`` images were too many for the page."""

    entries: tuple[Entry, ...]
    scale: Scale | None
    left_out: int = 0
    remark: str = ""

    @property
    def sections(self) -> list[tuple[str, list[Entry]]]:
        """The entries under their headings, in order."""
        return [(heading, list(some)) for heading, some in groupby(self.entries, lambda entry: entry.choice.heading)]


@dataclass(frozen=True)
class NoGallery:
    """The reason why a run has no gallery."""

    reason: str


def run_key(result: Result) -> RunKey:
    """The key that identifies a stored result."""
    return result.dataset, result.class_name, result.method, result.run


def of_results(
    results: Sequence[Result],
    stored: Path,
    reopener: Reopener,
    *,
    names: Names | None = None,
    watch: Callable[[str], None] | None = None,
) -> dict[RunKey, Gallery | NoGallery]:
    """Make the galleries of a report: one for each variant and class, of its first seed.

    Args:
        results: the reported results.
        stored: the folder of all results.
        reopener: finds their images and detectors.
        names: names of the variants; by default from these results alone.
        watch: called with the class and variant that are being scored.
    """
    shown = [
        (variant.label, runs[0])
        for board in boards(results, names=names) for variant in board.variants for runs in variant.runs.values()
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
        except PLUGIN_ERRORS as error:  # a plugin's detector may raise any error
            made[run_key(run)] = NoGallery(described(error))
    return made


# ---------------------------------------------------------------- chosen


def choose(scores: Sequence[ImageScore]) -> list[Choice]:
    """Choose images by their scores, none twice; ties are broken by path, so a page comes out the same."""
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
        folder: its folder.
        scores: its stored scores.
        reopener: finds its images and its detector.
        side: an image is shown with at most ``side * side`` pixels, in its own shape.
        limit: bytes of all images together, at most; the last ones are left out.

    Raises:
        AdbenchError: the images or the checkpoint are missing or have changed, or scoring failed.
    """
    from .reopen import scores_differ

    choices = choose(scores)
    samples = reopener.samples(result, [choice.score.path for choice in choices])
    rescored = reopener.score(result, folder, samples)
    scale = None if rescored.maps is None else Scale.of_all(rescored.maps)
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
    shown = rescored.own_shape(row, lambda own: own_shape.size_within(own, side * side))
    longest = max(shown.size)
    heat = None
    if scale is not None and shown.values is not None:
        heat = overlay.encode(overlay.heat(shown.values, scale), longest)
    return Entry(
        choice=choice,
        image=overlay.encode(shown.image, longest),
        heat=heat,
        outline=() if shown.mask is None else overlay.outline_around(shown.mask, AWAY),
        size=shown.size,
    )
