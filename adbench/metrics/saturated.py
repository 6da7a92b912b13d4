"""AU-sPRO: the area under the saturated per-region overlap, for defects that a method need not find as a whole.

A region has a saturation: so many of its pixels found count as all of it. The curve is the mean over regions of
min(found / saturation, 1) against the false-positive rate of the pixels that are in no region of their image, over all
thresholds. Each region weighs the same, and may overlap others. The area goes up to a false-positive rate and is
divided by it. Source: Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly
Detection and Localization", IJCV 2022. The authors' program takes some of the thresholds, and differs by up to 4e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..api.data import Size
from ..data.saturated import Regions
from .curves import Curve, Images, count_images, take

LOGICAL, STRUCTURAL = "logical", "structural"
"""Kinds of regions that have values of their own where there are both."""

SPRO_LIMIT = 0.05
SPRO_03_LIMIT = 0.3


@dataclass(frozen=True)
class SaturatedOverlap:
    """AU-sPRO up to both limits; None where not defined. The parts are up to ``SPRO_LIMIT``."""

    area: float | None = None
    area_03: float | None = None
    logical: float | None = None
    structural: float | None = None


def saturated_overlap(
    images: Images, sizes: Sequence[Size], labels: NDArray[np.bool_], regions: Regions
) -> SaturatedOverlap:
    """Compute AU-sPRO; with logical and structural regions, as the mean of both.

    Args:
        images: scores by number, finite.
        sizes: (H, W) of each.
        labels: (N,) True for a defective image.
        regions: of the size of their images.
    """
    if not {LOGICAL, STRUCTURAL} <= {kind_of(each) for each in regions.kinds}:
        return SaturatedOverlap(*_areas(spro_curve(images, sizes, labels, regions)))
    logical = _areas(spro_curve(images, sizes, labels, regions, LOGICAL))
    structural = _areas(spro_curve(images, sizes, labels, regions, STRUCTURAL))
    area, area_03 = (_half(*pair) for pair in zip(logical, structural, strict=True))
    return SaturatedOverlap(area, area_03, logical[0], structural[0])


def _half(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else (one + other) / 2


def _areas(curve: Curve | None) -> list[float | None]:
    return [curve.overlap_area(limit) if curve else None for limit in (SPRO_LIMIT, SPRO_03_LIMIT)]


def kind_of(name: str) -> str:
    """A kind of regions; folders are named as in "logical_anomalies"."""
    return name.removesuffix("_anomalies")


def spro_curve(
    images: Images, sizes: Sequence[Size], labels: NDArray[np.bool_], regions: Regions, kind: str | None = None
) -> Curve | None:
    """The saturated overlap at each threshold, over the images with regions of a kind and the good images.

    None without such regions, or without a pixel outside of regions. ``Curve.hits`` counts pixels of several regions
    once. Images are read one by one, those with regions twice.

    Args:
        images: scores by number.
        sizes: (H, W) of each.
        labels: (N,) True for a defective image.
        regions: of the size of their images.
        kind: "logical" or "structural"; None for all.
    """
    chosen = [number for number, name in enumerate(regions.kinds) if kind in (None, kind_of(name))]
    having = {regions.images[number] for number in chosen}
    marked = {number: union_of(regions, number) for number in sorted(having)}
    good = [number for number in np.flatnonzero(~labels).tolist() if number not in regions.images]
    numbers = sorted([*marked, *good])
    outside = sum(sizes[number][0] * sizes[number][1] for number in numbers) - sum(map(len, marked.values()))
    if not chosen or not outside:
        return None
    gained, covered = [], []
    scores: list[NDArray[Any]] = []  # of the pixels in regions, each once
    for image, union in marked.items():
        found = take(images[image], union)
        scores.append(found)
        for number in chosen:
            if regions.images[number] == image:
                own = np.sort(found[np.searchsorted(union, regions.positions[number])])[::-1]
                gains = gains_of(len(own), regions.saturations[number])
                gained.append(own[: len(gains)])
                covered.append(gains / len(chosen))
    values, gains = np.concatenate(gained), np.concatenate(covered)
    keys, which = np.unique(values, return_inverse=True)
    overlap = np.cumsum(np.bincount(which.reshape(-1), gains, minlength=len(keys))[::-1])
    ordered = np.sort(np.concatenate(scores))
    hits = len(ordered) - np.searchsorted(ordered, keys)
    over = len(ordered) - np.searchsorted(ordered, keys, side="right")
    higher, level_or_higher = count_images(images, numbers, sizes, keys)
    return Curve(
        hits=hits[::-1], above=(higher - over)[::-1], alarms=(level_or_higher - hits)[::-1],
        overlap=overlap / overlap[-1], good=outside,
    )  # fmt: skip


def union_of(regions: Regions, image: int) -> NDArray[np.int64]:
    """The pixels of all regions of an image, of any kind, ascending."""
    return np.unique(np.concatenate([
        positions for number, positions in zip(regions.images, regions.positions, strict=True) if number == image
    ]))  # fmt: skip


def gains_of(area: int, saturation: float) -> NDArray[np.float64]:
    """What each pixel of a region adds to its overlap, in the order in which they are found, until it is whole."""
    gains = np.clip(1 - np.arange(area) / saturation, 0, 1 / saturation)
    return gains[gains > 0]
