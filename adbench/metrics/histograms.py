"""Histograms of a test set's scores, image by image, small enough to be stored beside a result.

They give the metrics of *any weighting* of the images: counts add up, and no score is sorted again. Thousands of
bootstrap resamples take about a second. Metrics over images are exact. Metrics over pixels come from bins (see
``binning``) and are within about 1e-4 of ``metrics.evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..api.scores import METRIC_NAMES
from ..data.ground_truth import GroundTruth
from ..util.errors import TaskError
from .binning import Bins, Maps, bin_maps, overlap_unit, regions_per_image
from .metrics import AUPRO_05_LIMIT, AUPRO_LIMIT

Point = tuple[float, float]
Rows = NDArray[np.float64]

FORMAT = 1
"""Version of the stored arrays. A higher one comes from a newer adbench."""

_CELLS = 1 << 17
"""Weightings times bins processed at once: 1 MB for each array, so that the arrays stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class ScoreHistograms:
    """What each of N images adds to the counts of every threshold.

    Attributes:
        paths: of the images, as in ``scores.csv``.
        labels: (N,) bool, True for a defective image.
        image_scores: (N,) one score for each image.
        regions: (N,) number of regions in each image.
        pixels: bins of defect pixels, each counting 1; None without maps or masks.
        overlap: bins of overlap, summed over each image's regions, from the map that AUPRO is taken from; None
            without maps or masks.
    """

    paths: tuple[str, ...]
    labels: NDArray[np.bool_]
    image_scores: NDArray[np.floating]
    regions: NDArray[np.integer]
    pixels: Bins | None
    overlap: Bins | None

    @classmethod
    def of(
        cls,
        ground_truth: GroundTruth,
        paths: Sequence[str],
        image_scores: ArrayLike,
        maps: Maps | None = None,
        region_maps: Maps | None = None,
    ) -> ScoreHistograms:
        """Build the histograms of a test set; arguments as in ``metrics.evaluate_ground_truth``.

        Maps are read one after the other. Those of several sizes may be made when they are read.
        """
        scores = np.asarray(image_scores)
        scores = scores if scores.dtype in (np.float32, np.float64) else scores.astype(np.float64)
        if maps is None or (ground_truth.shape is None and ground_truth.sizes is None):
            return cls(tuple(paths), ground_truth.labels, scores, np.zeros(len(scores), np.uint16), None, None)
        pixels, overlap = bin_maps(ground_truth, maps, regions=region_maps is None)
        if region_maps is not None:
            _, overlap = bin_maps(ground_truth, region_maps, pixels=False)
        regions = regions_per_image(ground_truth)
        return cls(tuple(paths), ground_truth.labels, scores, regions, pixels, overlap)

    # -- metrics

    def metrics(self, weights: ArrayLike, names: Collection[str] = METRIC_NAMES) -> dict[str, Rows]:
        """Compute metrics of the test set with each image counted any number of times.

        Args:
            weights: (B, N) how often each image counts, 0 or more.
            names: the metrics wanted.

        Returns:
            (B,) fractions for each name; NaN where not defined.

        Raises:
            TaskError: weights of another shape.
        """
        counts = np.asarray(weights)
        if counts.ndim != 2 or counts.shape[1] != len(self.labels):
            raise TaskError("weights", found=f"shape {counts.shape}", wanted=f"(B, {len(self.labels)})")
        return self._measured(names, len(counts), lambda table: table.weighted(counts))

    def without_each(self, names: Collection[str]) -> dict[str, Rows]:
        """Compute metrics of the test set without each image in turn: (N,) for each name, as in ``metrics``.

        Equals weights of 1 with 0 on the diagonal, but needs no (N, N) array.
        """
        return self._measured(names, len(self.labels), lambda table: table.without_each())

    def _measured(
        self, names: Collection[str], count: int, sweeps: Callable[[_Table], Iterator[tuple[slice, _Sweep]]]
    ) -> dict[str, Rows]:
        values = {name: np.full(count, np.nan) for name in names}
        tables: list[tuple[_Table, Mapping[str, Callable[[_Sweep], Rows]]]]
        tables = [(_ImageTable(self.labels, self.image_scores), _IMAGE_MEASURES)]
        tables += [(_BinTable(self.pixels), _PIXEL_MEASURES)] if self.pixels else []
        tables += [(_BinTable(self.overlap), _OVERLAP_MEASURES)] if self.overlap else []
        for table, measures in tables:
            wanted = [name for name in measures if name in values]
            if not wanted:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                for rows, swept in sweeps(table):
                    for name in wanted:
                        values[name][rows] = np.where(swept.defined, measures[name](swept), np.nan)
        return values

    # -- curves over pixels, each image counted once

    def roc(self) -> list[Point]:
        """False-positive rate and true-positive rate of pixels, left to right; empty where not defined."""
        return _rates(_once(self.pixels))

    def pro(self) -> list[Point]:
        """False-positive rate and mean overlap of regions, left to right; empty where not defined."""
        return _rates(_once(self.overlap))

    def precision_recall(self) -> list[Point]:
        """Recall and precision of pixels, left to right; empty where not defined."""
        swept = _once(self.pixels)
        if swept is None:
            return []
        points = _points(swept.hits / swept.all_hits, swept.hits / (swept.hits + swept.alarms))[1:]
        return [(0.0, points[0][1]), *points]

    # -- on disk

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as small arrays of numbers and texts, for ``np.savez_compressed``."""
        own_good = self.overlap is not None and (self.pixels is None or self.overlap.good is not self.pixels.good)
        return {
            "format": np.uint16(FORMAT)[None],
            "paths": np.array([path.encode("utf-8", "backslashreplace").decode() for path in self.paths]),
            "labels": self.labels,
            "image_scores": self.image_scores,
            "regions": self.regions.astype(np.uint32),
            **(_stored("pixel", self.pixels) if self.pixels else {}),
            **(_stored("region", self.overlap, own_good=own_good) if self.overlap else {}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ScoreHistograms:
        """Build histograms from what ``arrays`` returned.

        Raises:
            KeyError: an array is missing.
            ValueError: a newer adbench wrote them, or they do not fit together.
        """
        written = int(arrays["format"][0])
        if written > FORMAT:
            raise ValueError(f"format {written}, written by a newer adbench")
        paths, labels, scores = tuple(arrays["paths"].tolist()), arrays["labels"].astype(bool), arrays["image_scores"]
        regions = arrays["regions"]
        if not len(paths) == len(labels) == len(scores) == len(regions):
            raise ValueError("arrays of different length")
        pixels = _loaded("pixel", arrays, "pixel", np.ones(len(labels))) if "pixel_found" in arrays else None
        good = "region" if "region_good" in arrays else "pixel"
        overlap = _loaded("region", arrays, good, overlap_unit(regions)) if "region_found" in arrays else None
        return cls(paths, labels, scores, regions, pixels, overlap)


def _stored(name: str, bins: Bins, *, own_good: bool = True) -> dict[str, NDArray[Any]]:
    good = {"thresholds": bins.thresholds, "tied": bins.tied, "good": bins.good} if own_good else {}
    return {f"{name}_{key}": value for key, value in {**good, "found": bins.found}.items()}


def _loaded(name: str, arrays: Mapping[str, NDArray[Any]], good: str, unit: Rows) -> Bins:
    thresholds, tied, counts = (arrays[f"{good}_{key}"] for key in ("thresholds", "tied", "good"))
    bins = Bins(thresholds, tied, counts, arrays[f"{name}_found"], unit)
    shape = (len(unit), len(bins.thresholds))
    if not (bins.good.shape == bins.found.shape == shape and bins.tied.shape == shape[1:]):
        raise ValueError(f"{name} counts of shapes {bins.good.shape} and {bins.found.shape}, not {shape}")
    return bins


# ---------------------------------------------------------------- curves of several weightings at once


@dataclass(frozen=True, eq=False)
class _Sweep:
    """Counts as a threshold falls through K bins, under each of B weightings. An item is a pixel or an image.

    Attributes:
        tied: (K,) whether a bin holds a single score.
        added, gained: (B, K) good and defective items in each bin.
        alarms, hits: (B, K) the same in this bin and all higher ones.
        single: (B, K) weight of a defective item in the bin, as the mean over the weighted items.
    """

    tied: NDArray[np.bool_]
    added: Rows
    gained: Rows
    alarms: Rows
    hits: Rows
    single: Rows

    @property
    def all_good(self) -> Rows:
        """(B, 1) good items in all bins."""
        return self.alarms[:, -1:]

    @property
    def all_hits(self) -> Rows:
        """(B, 1) defective items in all bins."""
        return self.hits[:, -1:]

    @property
    def defined(self) -> NDArray[np.bool_]:
        """(B,) whether there are both good and defective items."""
        return (self.all_good[:, 0] > 0) & (self.all_hits[:, 0] > 0)


class _Table(Protocol):
    """Counts of N images that can be swept under weightings, a few weightings at a time."""

    def weighted(self, weights: NDArray[Any]) -> Iterator[tuple[slice, _Sweep]]:
        """Sweep under the weightings (B, N)."""

    def without_each(self) -> Iterator[tuple[slice, _Sweep]]:
        """Sweep without each image in turn."""


def _swept(tied: NDArray[np.bool_], added: Rows, gained: Rows, single: Rows) -> _Sweep:
    return _Sweep(tied, added, gained, np.cumsum(added, axis=1), np.cumsum(gained, axis=1), single)


def _parts(count: int, cells: int) -> Iterator[slice]:
    """Slices of ``count`` rows of ``cells`` cells each."""
    size = max(1, _CELLS // max(cells, 1))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


class _BinTable:
    """Bins of N images. Sums over images are matrix products."""

    def __init__(self, bins: Bins) -> None:
        self.bins = bins

    def weighted(self, weights: NDArray[Any]) -> Iterator[tuple[slice, _Sweep]]:
        """Sweep under the weightings (B, N)."""
        for rows in _parts(len(weights), self.bins.good.shape[1]):
            once = weights[rows].astype(np.float64)
            counts = once * self.bins.unit
            added, gained = _product(once, self.bins.good), _product(counts, self.bins.found)
            yield rows, _swept(self.bins.tied, added, gained, _product(counts * once, self.bins.found) / gained)

    def without_each(self) -> Iterator[tuple[slice, _Sweep]]:
        """Sweep without each image in turn."""
        bins, all_of_them = self.bins, np.ones((1, len(self.bins.unit)))
        added, gained = _product(all_of_them, bins.good), _product(all_of_them * bins.unit, bins.found)
        for rows in _parts(len(bins.unit), bins.good.shape[1]):
            left = gained - bins.found[rows] * bins.unit[rows, None]
            left[left < 1e-9 * gained] = 0  # what rounding leaves of a bin that only this image filled
            yield rows, _swept(bins.tied, added - bins.good[rows], left, np.where(left > 0, 1.0, np.nan))


def _product(weights: Rows, counts: NDArray[np.unsignedinteger]) -> Rows:
    """``weights @ counts``, (B, N) and (N, K), with only a part of the counts as float64 at a time."""
    total = np.zeros((len(weights), counts.shape[1]))
    for part in _parts(len(counts), counts.shape[1] // 16):
        total += weights[:, part] @ counts[part].astype(np.float64)
    return total


class _ImageTable:
    """Images as bins of single scores: nothing is lost, and each image lies in one bin, so no matrix is needed."""

    def __init__(self, labels: NDArray[np.bool_], scores: NDArray[np.floating]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ordered = scores[self.order]
        first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
        self.starts = np.flatnonzero(first)
        self.bin = np.cumsum(first) - 1  # (N,) of each image in this order
        self.bad = labels[self.order]
        self.tied = np.ones(len(self.starts), bool)

    def weighted(self, weights: NDArray[Any]) -> Iterator[tuple[slice, _Sweep]]:
        """Sweep under the weightings (B, N)."""
        for rows in _parts(len(weights), len(self.order)):
            counts = weights[rows][:, self.order].astype(np.float64)
            bad = counts * self.bad
            gained = self._sums(bad)
            yield rows, _swept(self.tied, self._sums(counts - bad), gained, self._sums(bad * bad) / gained)

    def without_each(self) -> Iterator[tuple[slice, _Sweep]]:
        """Sweep without each image in turn."""
        bad = self._sums(self.bad[None].astype(np.float64))
        good = self._sums((~self.bad)[None].astype(np.float64))
        place = np.empty(len(self.order), np.int64)
        place[self.order] = np.arange(len(self.order))
        for rows in _parts(len(place), len(self.starts)):
            places = place[rows]
            added, gained = np.repeat(good, len(places), axis=0), np.repeat(bad, len(places), axis=0)
            each = np.arange(len(places)), self.bin[places]
            added[each] -= ~self.bad[places]
            gained[each] -= self.bad[places]
            yield rows, _swept(self.tied, added, gained, np.where(gained > 0, 1.0, np.nan))

    def _sums(self, counts: Rows) -> Rows:
        """Sums over the images of one score: (B, N) -> (B, K)."""
        if len(self.starts) == counts.shape[1]:
            return counts
        sums: Rows = np.add.reduceat(counts, self.starts, axis=1)
        return sums


def _once(bins: Bins | None) -> _Sweep | None:
    if bins is None:
        return None
    with np.errstate(invalid="ignore"):
        _, swept = next(_BinTable(bins).weighted(np.ones((1, len(bins.unit)))))
    return swept if swept.defined[0] else None


def _rates(swept: _Sweep | None) -> list[Point]:
    return [] if swept is None else _points(swept.alarms / swept.all_good, swept.hits / swept.all_hits)


def _points(across: Rows, up: Rows) -> list[Point]:
    return [(0.0, 0.0), *zip(across[0].tolist(), up[0].tolist(), strict=True)]


def _auroc(swept: _Sweep) -> Rows:
    beaten = swept.all_good - swept.alarms + 0.5 * swept.added  # a tie counts half
    area: Rows = np.einsum("bk,bk->b", swept.gained, beaten) / (swept.all_hits * swept.all_good)[:, 0]
    return area


def _f1_max(swept: _Sweep) -> Rows:
    values: Rows = 2 * swept.hits / (swept.hits + swept.alarms + swept.all_hits)
    highest: Rows = values.max(axis=1)
    return highest


def _fpr_at_95(swept: _Sweep) -> Rows:
    first = np.argmax(100 * swept.hits >= 95 * swept.all_hits, axis=1)[:, None]
    rates: Rows = np.take_along_axis(swept.alarms, first, axis=1)[:, 0] / swept.all_good[:, 0]
    return rates


def _average_precision(swept: _Sweep) -> Rows:
    """Sum of precision times gain in recall; within a bin of many scores, integrated along a straight line."""
    precision = swept.hits / (swept.hits + swept.alarms)
    even = ~swept.tied
    if even.any():
        parts = swept.added, swept.gained, swept.alarms, swept.hits, swept.single
        precision[:, even] = _mean_precision(*(part[:, even] for part in parts))
    found: Rows = np.where(swept.gained > 0, swept.gained * precision, 0).sum(axis=1)
    return found / swept.all_hits[:, 0]


def _mean_precision(added: Rows, gained: Rows, alarms: Rows, hits: Rows, single: Rows) -> Rows:
    """Mean over a bin of (h + t g) / (n + t m), t from 0 to 1: of m items in the bin g are defects, of n above it h.

    Precision at a defect counts the defect itself: half a ``single`` more than the line has.
    """
    inside = added + gained
    above = hits - gained + 0.5 * single
    before = hits + alarms - inside + 0.5 * single
    growth = inside / before
    kept = np.log1p(growth) / growth
    ratio = gained / inside
    return ratio + (above / before - ratio) * kept


def _overlap_area(limit: float) -> Callable[[_Sweep], Rows]:
    def area(swept: _Sweep) -> Rows:
        """Area up to a false-positive rate of ``limit``, divided by ``limit``; the last line is cut there."""
        left = np.clip(limit * swept.all_good - (swept.alarms - swept.added), 0, swept.added)
        part = left / np.where(swept.added > 0, swept.added, 1)
        height = swept.hits - swept.gained * (1 - 0.5 * part)
        whole: Rows = limit * swept.all_good * swept.all_hits
        covered: Rows = np.einsum("bk,bk->b", left, height) / whole[:, 0]
        return covered

    return area


_IMAGE_MEASURES = {
    "image_auroc": _auroc, "image_ap": _average_precision, "image_f1max": _f1_max, "image_fpr95": _fpr_at_95,
}  # fmt: skip
_PIXEL_MEASURES = {"pixel_auroc": _auroc, "pixel_ap": _average_precision, "pixel_f1max": _f1_max}
_OVERLAP_MEASURES = {"aupro": _overlap_area(AUPRO_LIMIT), "aupro_05": _overlap_area(AUPRO_05_LIMIT)}

MEASURED = (*_IMAGE_MEASURES, *_PIXEL_MEASURES, *_OVERLAP_MEASURES)
"""The metrics that histograms give; the others are NaN."""
