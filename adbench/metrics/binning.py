"""Sorts anomaly maps into bins of scores: how many good and defect pixels of each image fall into each bin.

The borders of bins lie close together where a metric moves: at the scores of defects, at those of regions (each
region weighs the same), and at the highest scores of good pixels. So a few hundred bins stand for all pixels. Metrics
from them come within about 1e-4 of those over all thresholds. A score that many pixels share has a bin of its own.
Where few pixels are defective, each of their scores has a bin of its own. Nothing is lost then, since every metric
changes at those scores only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import tensor_to_numpy
from ..data.ground_truth import GroundTruth
from .curves import workers

OVERLAP_STEPS = 65535
"""Steps in which the overlap of an image is counted, summed over its regions."""

_SAMPLE = 1 << 18
"""About so many good pixels, and as many defect pixels, are sampled to choose the borders."""

_GOOD_BORDERS = ((1.0, 70), (0.3, 120), (0.05, 150))
"""Evenly spaced borders up to a false-positive rate: (rate, number). AUPRO counts up to 0.3 and up to 0.05."""

_TAIL_BORDERS = 60
"""Borders in even ratios, from the highest scores of good pixels to a false-positive rate of 0.05."""

_DEFECT_BORDERS = 350
_REGION_BORDERS = 250

MOST_LEVELS = _TAIL_BORDERS + sum(count for _, count in _GOOD_BORDERS) + _DEFECT_BORDERS + _REGION_BORDERS
"""With at most so many different scores among the sampled pixels, each score has a bin of its own."""

FEW = 500
"""With at most so many different scores of defect pixels, each score has a bin of its own."""


class Maps(Protocol):
    """Anomaly maps by number, each (H, W): arrays, or tensors on any device. A map may be made when it is read."""

    def __getitem__(self, number: int, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Bins:
    """Good and defect pixels of each of N images in each of K bins of scores, highest bin first.

    Attributes:
        thresholds: (K,) lowest score of each bin.
        tied: (K,) bool, whether a bin holds a single score; in other bins the curve is taken to rise evenly.
        good: (N, K) good pixels.
        found: (N, K) defect pixels or their overlap, in units of ``unit``.
        unit: (N,) what 1 in ``found`` is worth.
    """

    thresholds: NDArray[np.floating]
    tied: NDArray[np.bool_]
    good: NDArray[np.unsignedinteger]
    found: NDArray[np.unsignedinteger]
    unit: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Defects:
    """The pixels in regions of one image: flat positions (P,), and what each adds to its region's overlap (P,).

    Those that are not ``marked`` (P,) count for their region alone.
    """

    positions: NDArray[np.int64]
    shares: NDArray[np.float64]
    marked: NDArray[np.bool_]


def bin_maps(
    ground_truth: GroundTruth, maps: Maps, *, pixels: bool = True, regions: bool = True
) -> tuple[Bins | None, Bins | None]:
    """Sort maps into bins. Each map is read twice.

    Args:
        ground_truth: with masks; where these have several sizes, the maps have the same ones, and where pixels are
            ignored, the maps are without them (``ignored.Counted``).
        maps: a map for each image; finite.
        pixels: whether to count defect pixels.
        regions: whether to sum up the overlap of regions.

    Returns:
        Bins of defect pixels and bins of overlap; None for those not asked for. Both share borders and good pixels,
        except for those that count for a region alone: they are good for metrics of pixels, and not for the overlap.
    """
    images = list(_defects(ground_truth))
    borders = _borders(images, maps, pixels=pixels, regions=regions)
    shape = (len(images), len(borders))
    good, found, overlap = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32), np.zeros(shape)
    kept = None if ground_truth.kept is None else np.zeros(shape, np.uint32)

    def count(number: int, scores: NDArray[np.floating]) -> None:
        defects = images[number]
        bins = np.searchsorted(borders, scores[defects.positions], side="right") - 1
        found[number] = np.bincount(bins[defects.marked], minlength=len(borders))
        overlap[number] = np.bincount(bins, defects.shares, minlength=len(borders))
        if kept is not None:
            kept[number] = np.bincount(bins[~defects.marked], minlength=len(borders))
        scores = np.sort(scores)  # faster than a search for the bin of every pixel
        below = np.append(np.searchsorted(scores, borders), len(scores))
        good[number] = np.diff(below) - found[number]

    with ThreadPoolExecutor(workers()) as pool:  # NumPy releases the GIL while it sorts
        counted: deque[Future[None]] = deque()
        for number in range(len(images)):
            # this thread reads the maps, since they may lie on a GPU; only a few wait to be counted
            counted.append(pool.submit(count, number, flat(maps[number])))
            if len(counted) > 2 * workers():
                counted.popleft().result()
        for each in counted:
            each.result()
    filled = np.flatnonzero(good.any(axis=0) | found.any(axis=0))[::-1]
    single = np.append(np.nextafter(borders[:-1], np.inf, dtype=borders.dtype) >= borders[1:], False)
    lowest, tied, within = borders[filled], single[filled], small(good[:, filled])
    outside = within if kept is None else small((good - kept)[:, filled])
    regions_of = regions_per_image(ground_truth)
    return (
        Bins(lowest, tied, within, small(found[:, filled]), np.ones(len(images))) if pixels else None,
        Bins(lowest, tied, outside, steps(overlap[:, filled]), overlap_unit(regions_of)) if regions else None,
    )


def regions_per_image(ground_truth: GroundTruth) -> NDArray[np.int64]:
    """Count the regions of each image, (N,)."""
    _, first = np.unique(ground_truth.regions, return_index=True)
    image = np.searchsorted(_ends(ground_truth), ground_truth.positions[first], side="right")
    return np.bincount(image, minlength=len(ground_truth.labels))


def overlap_unit(regions: NDArray[np.integer]) -> NDArray[np.float64]:
    """Overlap that one step is worth in images with ``regions`` regions, (N,)."""
    return regions / OVERLAP_STEPS


def steps(overlap: NDArray[np.float64]) -> NDArray[np.unsignedinteger]:
    """Write overlap (N, K) in steps of each image's own sum, so that cumulative sums are right to half a step."""
    reached = np.cumsum(overlap, axis=1)
    reached /= np.maximum(reached[:, -1:], 1e-300)
    return np.diff(np.rint(reached * OVERLAP_STEPS), axis=1, prepend=0).astype(np.uint16)


def small(counts: NDArray[Any]) -> NDArray[np.unsignedinteger]:
    """Counts as the smallest type that holds them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _ends(ground_truth: GroundTruth) -> NDArray[np.int64]:
    """End of each image in the flattened masks, (N,)."""
    if ground_truth.sizes is not None:
        return np.cumsum([height * width for height, width in ground_truth.sizes])
    assert ground_truth.shape is not None
    count, height, width = ground_truth.shape
    return np.arange(1, count + 1) * (height * width)


def _defects(ground_truth: GroundTruth) -> Iterator[_Defects]:
    ends = _ends(ground_truth)
    cuts = np.searchsorted(ground_truth.positions, ends)
    start = first = 0
    for end, last in zip(ends.tolist(), cuts.tolist(), strict=True):
        regions = ground_truth.regions[first:last]
        kept = np.zeros(last - first, bool) if ground_truth.kept is None else ground_truth.kept[first:last]
        yield _Defects(ground_truth.positions[first:last] - start, 1.0 / ground_truth.region_sizes[regions], ~kept)
        start, first = end, last


def flat(values: Any) -> NDArray[np.floating]:
    """Return a map as a flat array of float32 or float64 that keeps every digit."""
    if hasattr(values, "detach"):
        values = tensor_to_numpy(values)
    flat = np.asarray(values).reshape(-1)
    if flat.dtype in (np.float32, np.float64):
        return flat
    return flat.astype(np.float32 if flat.dtype == np.float16 else np.float64)


# ---------------------------------------------------------------- borders


def _borders(images: Sequence[_Defects], maps: Maps, *, pixels: bool, regions: bool) -> NDArray[np.floating]:
    """Choose the lowest scores of the bins, ascending from minus infinity."""
    good, defects, shares = _sample(images, maps)
    levels = np.unique(np.concatenate([good, defects]))
    if len(levels) <= MOST_LEVELS:
        chosen, shared = levels, levels
    elif len(few := np.unique(defects[np.isfinite(defects)])) <= FEW and len(few):
        chosen, shared = few, few
    else:
        lists = [good_borders(good)]
        order = np.argsort(defects)[::-1]
        if pixels:
            lists.append(_between(defects[order], _even(len(defects), _DEFECT_BORDERS)))
        if regions:
            lists.append(overlap_borders(defects, shares))
        chosen = np.unique(np.concatenate([*lists, defects.min(keepdims=True)]))
        shared = np.concatenate([each[1:][each[1:] == each[:-1]] for each in lists])
    above = np.nextafter(shared, np.inf, dtype=chosen.dtype)
    return np.unique(np.concatenate([np.array([-np.inf], chosen.dtype), chosen, above]))


def good_borders(good: NDArray[Any]) -> NDArray[Any]:
    """Borders at the scores of good pixels (P,), where AUPRO and AUPIMO count them."""
    return _between(np.sort(good)[::-1], _good_ranks(len(good)))


def overlap_borders(defects: NDArray[Any], shares: NDArray[np.float64]) -> NDArray[Any]:
    """Borders at even steps of the overlap, of which defect pixels with scores (P,) have ``shares`` (P,)."""
    order = np.argsort(defects)[::-1]
    reached = np.cumsum(shares[order])
    wanted = np.linspace(0, 1, _REGION_BORDERS) * (reached[-1] if len(reached) else 0)
    return _between(defects[order], np.unique(np.searchsorted(reached, wanted)))


def _sample(images: Sequence[_Defects], maps: Maps) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Sample scores of good pixels, of defect pixels (P,), and what each of the latter adds to the overlap (P,)."""
    every = _stride(sum(len(each.positions) for each in images))
    good, defects, shares, lowest = [], [], [], []
    for number, each in enumerate(images):
        scores = flat(maps[number])
        stride = _stride(len(scores) * len(images))
        wanted = np.ones(len(scores[::stride]), bool)
        wanted[each.positions[each.positions % stride == 0] // stride] = False
        good.append(scores[::stride][wanted])
        found = scores[each.positions]
        lowest.append(found.min(initial=np.inf))
        defects.append(found[::every])
        shares.append(each.shares[::every])
    row = int(np.argmin(lowest))
    defects[row], shares[row] = np.append(defects[row], lowest[row]), np.append(shares[row], 0.0)
    return np.concatenate(good), np.concatenate(defects), np.concatenate(shares)


def _stride(count: int) -> int:
    """A stride that keeps about ``_SAMPLE`` of ``count``; odd, so that it visits all columns of most images."""
    return 1 if count <= _SAMPLE else count // _SAMPLE | 1


def _good_ranks(count: int) -> NDArray[np.int64]:
    parts = [np.linspace(0, limit, borders) * count for limit, borders in _GOOD_BORDERS]
    tail = np.geomspace(1, max(_GOOD_BORDERS[-1][0] * count, 1), _TAIL_BORDERS)
    return np.unique(np.concatenate([*parts, tail]).astype(np.int64))


def _even(count: int, borders: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count, borders).astype(np.int64))


def _between(ordered: NDArray[Any], ranks: NDArray[np.int64]) -> NDArray[Any]:
    """Borders half way between each rank of descending scores and the next higher score.

    A border at a defect's own score would make that score the lowest of its bin: it would count as if half of the
    bin's good pixels had lower scores.
    """
    inner = ranks[(ranks > 0) & (ranks < len(ordered))]
    borders: NDArray[Any] = ordered[inner] + (ordered[inner - 1] - ordered[inner]) / 2
    return borders
