"""Bins of saturated overlap, image by image, from which AU-sPRO of any weighting of the images comes.

As for AUPRO (``binning``), but a region's pixels add to its overlap only until it is saturated, in the order of their
scores. Of a kind of regions only the images that have some count, and the good images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..api.data import Size
from ..data.saturated import Regions
from .binning import FEW, MOST_LEVELS, OVERLAP_STEPS, Bins, Maps, flat, good_borders, overlap_borders, small, steps
from .curves import workers
from .saturated import LOGICAL, STRUCTURAL, gains_of, kind_of, union_of

Kinds = dict[str, Bins]


def bins_of_kinds(maps: Maps, sizes: Sequence[Size], labels: NDArray[np.bool_], regions: Regions) -> Kinds:
    """Bins of logical and of structural regions; where there are not both, of all regions, under an empty name."""
    kinds = {kind_of(each) for each in regions.kinds}
    names = (LOGICAL, STRUCTURAL) if {LOGICAL, STRUCTURAL} <= kinds else ("",)
    found = {name: _bins(maps, sizes, labels, regions, name) for name in names}
    return {name: each for name, each in found.items() if each is not None}


def _bins(
    maps: Maps, sizes: Sequence[Size], labels: NDArray[np.bool_], regions: Regions, kind: str
) -> Bins | None:  # fmt: skip
    """Bins of one kind; None without regions of it. Each map is read twice."""
    chosen = [number for number, name in enumerate(regions.kinds) if kind in ("", kind_of(name))]
    having = sorted({regions.images[number] for number in chosen})
    good = [number for number in np.flatnonzero(~labels).tolist() if number not in regions.images]
    numbers = sorted([*having, *good])
    if not chosen:
        return None
    unions = {image: union_of(regions, image) for image in having}
    parts: dict[int, tuple[NDArray[Any], NDArray[np.float64]]] = {}
    samples = []
    stride = max(1, sum(height * width for height, width in (sizes[number] for number in numbers)) >> 18) | 1
    for image in numbers:
        scores = flat(maps[image])
        outside = np.ones(len(scores), bool)
        if image in unions:
            outside[unions[image]] = False
            own = [number for number in chosen if regions.images[number] == image]
            gains = [gains_of(len(regions.positions[number]), regions.saturations[number]) for number in own]
            highest = [
                np.sort(scores[regions.positions[number]])[::-1][: len(gain)]
                for number, gain in zip(own, gains, strict=True)
            ]
            parts[image] = np.concatenate(highest), np.concatenate(gains)
        samples.append(scores[::stride][outside[::stride]])
    values, shares = (np.concatenate(each) for each in zip(*parts.values(), strict=True))
    borders = _borders(np.concatenate(samples), values, shares)
    shape = (len(labels), len(borders))
    alarms, overlap = np.zeros(shape, np.uint32), np.zeros(shape)

    def count_pixels(image: int, every: NDArray[Any]) -> None:
        scores = np.sort(every)
        alarms[image] = np.diff(np.append(np.searchsorted(scores, borders), len(scores)))
        if image in unions:
            inside = np.bincount(_bin(borders, every[unions[image]]), minlength=len(borders))
            alarms[image] -= inside.astype(np.uint32)
            overlap[image] = np.bincount(_bin(borders, parts[image][0]), parts[image][1], minlength=len(borders))

    with ThreadPoolExecutor(workers()) as pool:  # NumPy releases the GIL while it sorts
        counted: deque[Future[None]] = deque()
        for image in numbers:
            counted.append(pool.submit(count_pixels, image, flat(maps[image])))
            if len(counted) > 2 * workers():
                counted.popleft().result()
        for each in counted:
            each.result()
    filled = np.flatnonzero(alarms.any(axis=0) | overlap.any(axis=0))[::-1]
    single = np.append(np.nextafter(borders[:-1], np.inf, dtype=borders.dtype) >= borders[1:], False)
    count = np.bincount([regions.images[number] for number in chosen], minlength=len(labels))
    return Bins(
        borders[filled], single[filled], small(alarms[:, filled]), steps(overlap[:, filled]), count / OVERLAP_STEPS
    )


def _bin(borders: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.int64]:
    return np.searchsorted(borders, scores, side="right") - 1


def _borders(good: NDArray[Any], values: NDArray[Any], gains: NDArray[np.float64]) -> NDArray[Any]:
    """The lowest scores of the bins, ascending from minus infinity."""
    lists = [good_borders(good), overlap_borders(values, gains)]
    levels = np.unique(np.concatenate([good, values]))
    if len(levels) <= MOST_LEVELS:
        chosen = shared = levels
    elif len(few := np.unique(values)) <= FEW:
        chosen = shared = few
    else:
        chosen = np.unique(np.concatenate([*lists, values.min(keepdims=True)]))
        shared = np.concatenate([each[1:][each[1:] == each[:-1]] for each in lists])
    above = np.nextafter(shared, np.inf, dtype=chosen.dtype)
    return np.unique(np.concatenate([np.array([-np.inf], chosen.dtype), chosen, above]))
