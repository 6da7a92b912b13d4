"""What every picture of a test set adds to each threshold, small enough to be stored beside a result.

From it the metrics of *any weighting* of the pictures follow by adding counts up, with no score sorted again: so
thousands of bootstrap resamples cost a second. Metrics over pictures are exact; those over pixels come from bins
(see ``binning``), within about 1e-4 of ``metrics.evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .binning import Bins, Maps, bin_maps, overlap_unit, regions_per_picture
from .errors import TaskError
from .metrics import AUPRO_05_LIMIT, AUPRO_LIMIT, Truth
from .types import METRIC_NAMES

Point = tuple[float, float]
Rows = NDArray[np.float64]

FORMAT = 1
"""Of the stored arrays; a higher one was written by a newer adbench."""

_CELLS = 1 << 17
"""Weightings times bins that are worked on at once: a megabyte for each array, so that they stay in the cache."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What thresholds find in each of N pictures.

    Attributes:
        paths: of the pictures, as in ``scores.csv``.
        labels: (N,) bool, True for a defective picture.
        image_scores: (N,) a score for each picture.
        regions: (N,) how many regions each picture has.
        pixels: defect pixels, each counting 1; None without maps or masks.
        overlap: overlap summed over a picture's regions, from the map that AUPRO is taken from; None without
            maps or masks.
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
        truth: Truth,
        paths: Sequence[str],
        image_scores: ArrayLike,
        maps: Maps | None = None,
        region_maps: Maps | None = None,
    ) -> Evidence:
        """Sum up what was compared with ``truth``; arguments as those of ``metrics.evaluate_truth``.

        Maps are looked at one after the other, so those of several sizes may be made when they are asked for.
        """
        scores = np.asarray(image_scores)
        scores = scores if scores.dtype in (np.float32, np.float64) else scores.astype(np.float64)
        if maps is None or (truth.shape is None and truth.sizes is None):
            return cls(tuple(paths), truth.labels, scores, np.zeros(len(scores), np.uint16), None, None)
        pixels, overlap = bin_maps(truth, maps, regions=region_maps is None)
        if region_maps is not None:
            _, overlap = bin_maps(truth, region_maps, pixels=False)
        regions = regions_per_picture(truth)
        return cls(tuple(paths), truth.labels, scores, regions, pixels, overlap)

    # -- metrics

    def metrics(self, weights: ArrayLike, names: Collection[str] = METRIC_NAMES) -> dict[str, Rows]:
        """Compute metrics of the test set with pictures counted several times, or not at all.

        Args:
            weights: (B, N) how often each picture counts, 0 or more.
            names: the metrics wanted.

        Returns:
            (B,) fractions for each name; NaN where not defined.

        Raises:
            TaskError: weights of another shape.
        """
        counts = np.asarray(weights, dtype=np.float64)
        if counts.ndim != 2 or counts.shape[1] != len(self.labels):
            raise TaskError("weights", found=f"shape {counts.shape}", wanted=f"(B, {len(self.labels)})")
        values = {name: np.full(len(counts), np.nan) for name in names}
        for bins, measures in (
            (self._images(), _IMAGE_MEASURES),
            (self.pixels, _PIXEL_MEASURES),
            (self.overlap, _OVERLAP_MEASURES),
        ):
            wanted = [name for name in measures if name in values]
            if bins is None or not wanted:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                for rows, swept in _sweeps(bins, counts):
                    for name in wanted:
                        values[name][rows] = np.where(swept.defined, measures[name](swept), np.nan)
        return values

    def _images(self) -> Bins:
        """Pictures as bins of single scores: nothing is lost."""
        levels, bins = np.unique(self.image_scores, return_inverse=True)
        bins = len(levels) - 1 - bins.reshape(-1)
        good, found = np.zeros((2, len(bins), len(levels)), np.uint8)
        good[np.arange(len(bins)), bins] = ~self.labels
        found[np.arange(len(bins)), bins] = self.labels
        return Bins(levels[::-1], np.ones(len(levels), bool), good, found, np.ones(len(bins)))

    # -- curves over pixels, each picture counted once

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
        """Everything as arrays of numbers and texts, small ones, for ``np.savez_compressed``."""
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
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Evidence:
        """Take back what ``arrays`` gave.

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
    """What thresholds falling through K bins find under each of B weightings.

    Attributes:
        tied: (K,) whether a bin holds a single score.
        added, gained: (B, K) good and defect ones in each bin.
        alarms, hits: (B, K) the same in this bin and all higher ones.
        single: (B, K) how often a defect one in the bin counts, on average over what counts.
    """

    tied: NDArray[np.bool_]
    added: Rows
    gained: Rows
    alarms: Rows
    hits: Rows
    single: Rows

    @property
    def all_good(self) -> Rows:
        """(B, 1)."""
        return self.alarms[:, -1:]

    @property
    def all_hits(self) -> Rows:
        """(B, 1)."""
        return self.hits[:, -1:]

    @property
    def defined(self) -> NDArray[np.bool_]:
        """(B,) whether there are both good and defect ones."""
        return (self.all_good[:, 0] > 0) & (self.all_hits[:, 0] > 0)


def _sweeps(bins: Bins, weights: Rows) -> Iterator[tuple[slice, _Sweep]]:
    """Sweep through the bins for a few weightings (B, N) at a time."""
    good, found = bins.good.astype(np.float64), bins.found.astype(np.float64)
    size = max(1, _CELLS // max(good.shape[1], 1))
    for start in range(0, len(weights), size):
        rows = slice(start, start + size)
        counts = weights[rows] * bins.unit
        added, gained = weights[rows] @ good, counts @ found
        single = (counts * weights[rows]) @ found / gained
        yield rows, _Sweep(bins.tied, added, gained, np.cumsum(added, axis=1), np.cumsum(gained, axis=1), single)


def _once(bins: Bins | None) -> _Sweep | None:
    if bins is None:
        return None
    with np.errstate(invalid="ignore"):
        _, swept = next(_sweeps(bins, np.ones((1, len(bins.unit)))))
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


def _average_precision(swept: _Sweep) -> Rows:
    """Precision times gain in recall; within a bin of many scores, integrated along a straight line."""
    precision = swept.hits / (swept.hits + swept.alarms)
    even = ~swept.tied
    if even.any():
        parts = swept.added, swept.gained, swept.alarms, swept.hits, swept.single
        precision[:, even] = _mean_precision(*(part[:, even] for part in parts))
    found: Rows = np.where(swept.gained > 0, swept.gained * precision, 0).sum(axis=1)
    return found / swept.all_hits[:, 0]


def _mean_precision(added: Rows, gained: Rows, alarms: Rows, hits: Rows, single: Rows) -> Rows:
    """The mean over a bin of (h + t g) / (n + t m), t from 0 to 1: g of m in it, h of n above it are defects.

    Precision at a defect counts the defect itself, so half a ``single`` one more than the line has.
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
        """The area up to a false-positive rate of ``limit``, divided by it; the last line is cut there."""
        room = np.clip(limit * swept.all_good - (swept.alarms - swept.added), 0, swept.added)
        part = room / np.where(swept.added > 0, swept.added, 1)
        height = swept.hits - swept.gained * (1 - 0.5 * part)
        whole: Rows = limit * swept.all_good * swept.all_hits
        covered: Rows = np.einsum("bk,bk->b", room, height) / whole[:, 0]
        return covered

    return area


_IMAGE_MEASURES = {"image_auroc": _auroc, "image_ap": _average_precision, "image_f1max": _f1_max}
_PIXEL_MEASURES = {"pixel_auroc": _auroc, "pixel_ap": _average_precision, "pixel_f1max": _f1_max}
_OVERLAP_MEASURES = {"aupro": _overlap_area(AUPRO_LIMIT), "aupro_05": _overlap_area(AUPRO_05_LIMIT)}
