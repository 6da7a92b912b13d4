"""Test images of one class beside the maps that several runs make of them: what a figure of maps shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..results.image_scores import ImageScore
from ..results.records import Result
from ..results.run_files import folder_of, read_scores
from ..util.errors import ResultError, UsageError
from . import overlay
from .overlay import Bytes, Scale
from .own_shape import size_within

if TYPE_CHECKING:
    from .reopen import Reopener, Rescored

PIXELS = 384 * 384
"""Of a shown image, at most."""

COUNT = 4
"""Images that are shown unless some are asked for."""

MOST_RUNS = 8
"""Columns of maps for which a page has room."""


@dataclass(frozen=True, eq=False)
class Row:
    """One test image, (H, W, 3), its ground truth (H, W) of 0 and 1, and its overlays (H, W, 3), one for each run."""

    path: str
    defect: str
    image: Bytes
    mask: Bytes | None
    overlays: tuple[Bytes, ...]


@dataclass(frozen=True)
class Montage:
    """Rows of images with the labels of the runs, in the order of the overlays."""

    labels: tuple[str, ...]
    rows: tuple[Row, ...]


def make(
    runs: Sequence[tuple[str, Result]],
    results: Path,
    reopener: Reopener,
    *,
    images: Sequence[str] = (),
    count: int = COUNT,
    watch: Callable[[str], None] | None = None,
) -> Montage:
    """Score images with each run again and draw the maps over them.

    Args:
        runs: labels and runs, all on the same images.
        results: the folder of all results.
        reopener: finds their images and detectors.
        images: parts of the paths in ``scores.csv``, each of which only one image has; by default images are chosen.
        count: how many images are chosen.
        watch: called with a text about the present work.

    Raises:
        UsageError: no run, too many, or runs on different images; or no image or several have a part.
        ResultError: a method makes no maps.
        AdbenchError: the images or a checkpoint are missing or have changed, or scoring failed.
    """
    _require_same_images(runs)
    first = runs[0][1]
    scores = read_scores(folder_of(results, first), first)
    chosen = [_meant(scores, part) for part in images] if images else choose(scores, count)
    rescored = []
    for label, run in runs:
        if watch:
            watch(f"{run.dataset}/{run.class_name}: maps of {label}")
        found = reopener.score(run, folder_of(results, run), reopener.samples(run, [each.path for each in chosen]))
        if found.maps is None:
            raise ResultError(f"maps of {label}", found="a method that makes none")
        rescored.append(found)
    rows = tuple(_row(each, number, rescored) for number, each in enumerate(chosen))
    return Montage(tuple(label for label, _ in runs), rows)


def _require_same_images(runs: Sequence[tuple[str, Result]]) -> None:
    if not runs:
        raise UsageError("maps", found="no run", wanted="one or more")
    if len(runs) > MOST_RUNS:
        raise UsageError("maps", found=f"{len(runs)} runs", wanted=f"at most {MOST_RUNS}", hint="Name some of them")
    tested = list(dict.fromkeys(f"{run.dataset}/{run.class_name}" for _, run in runs))
    if len(tested) > 1:
        raise UsageError(
            "maps", found=f"runs on {', '.join(tested)}", wanted="runs on one class", hint="Choose with -c"
        )
    if len({run.fingerprint for _, run in runs}) > 1:
        raise UsageError("maps", found=f"runs on different images of {tested[0]}", wanted="runs on the same ones")


def _meant(scores: Sequence[ImageScore], part: str) -> ImageScore:
    found = [each for each in scores if each.path == part] or [each for each in scores if part in each.path]
    if len(found) != 1:
        some = ", ".join(each.path for each in found[:3])
        what = f"{len(found)} images: {some}{', ...' if len(found) > 3 else ''}" if found else "no such test image"
        raise UsageError(f"image '{part}'", found=what, wanted="a part of the path of one, as in scores.csv")
    return found[0]


def choose(scores: Sequence[ImageScore], count: int) -> list[ImageScore]:
    """Choose defective images: of each type in turn those nearest to the middle of its scores, sorted by type.

    Without any defective image, good ones are chosen. The choice depends on nothing but the scores.
    """
    bad = [each for each in scores if each.label] or list(scores)
    by_type: dict[str, list[ImageScore]] = {}
    for each in sorted(bad, key=lambda one: (one.defect, one.score, one.path)):
        by_type.setdefault(each.defect, []).append(each)
    from_middle = [_from_middle(some) for some in by_type.values()]
    rounds = max(map(len, from_middle), default=0)
    in_turn = [some[number] for number in range(rounds) for some in from_middle if number < len(some)]
    return sorted(in_turn[:count], key=lambda one: (one.defect, one.path))


def _from_middle(ordered: Sequence[ImageScore]) -> list[ImageScore]:
    middle = (len(ordered) - 1) / 2
    return [ordered[place] for place in sorted(range(len(ordered)), key=lambda place: (abs(place - middle), place))]


def _row(chosen: ImageScore, number: int, rescored: Sequence[Rescored]) -> Row:
    shown = [each.own_shape(number, lambda own: size_within(own, PIXELS)) for each in rescored]
    overlays = []
    for each, one in zip(rescored, shown, strict=True):
        assert each.maps is not None
        assert one.values is not None
        scale = Scale(*each.map_scale) if each.map_scale else Scale.of_all(each.maps)
        overlays.append(overlay.overlay(one.image, one.values, None, scale))
    return Row(chosen.path, chosen.defect, shown[0].image, shown[0].mask, tuple(overlays))
