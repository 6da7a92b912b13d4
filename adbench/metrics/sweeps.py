"""Curves of metrics under many weightings of the images at once, from the counts in bins of scores.

A weighting says how often each image counts. Counts add up, so a curve is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .binning import Bins
from .image_rates import SHARE
from .metrics import AUPRO_05_LIMIT, AUPRO_LIMIT

Rows = NDArray[np.float64]

_CELLS = 1 << 17
"""Weightings times bins processed at once: 1 MB for each array, so that the arrays stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Counts as a threshold falls through K bins, under each of B weightings. An item is a pixel or an image.

    Attributes:
        tied: (K,) whether a bin holds a single score.
        added, gained: (B, K) good and defective items in each bin.
        alarms, hits: (B, K) the same in this bin and all higher ones.
        single: (B, K) weight of a defective item in the bin, as the mean over the weighted items.
        scores: (K,) the score of each bin, highest first, of images; empty for pixels.
    """

    tied: NDArray[np.bool_]
    added: Rows
    gained: Rows
    alarms: Rows
    hits: Rows
    single: Rows
    scores: Rows = field(default_factory=lambda: np.empty(0))

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


class Table(Protocol):
    """Counts of N images that can be swept under weightings, a few weightings at a time."""

    def weighted(self, weights: NDArray[Any]) -> Iterator[tuple[slice, Sweep]]:
        """Sweep under the weightings (B, N)."""

    def without_each(self) -> Iterator[tuple[slice, Sweep]]:
        """Sweep without each image in turn."""


def _swept(tied: NDArray[np.bool_], added: Rows, gained: Rows, single: Rows) -> Sweep:
    return Sweep(tied, added, gained, np.cumsum(added, axis=1), np.cumsum(gained, axis=1), single)


def _parts(count: int, cells: int) -> Iterator[slice]:
    """Slices of ``count`` rows of ``cells`` cells each."""
    size = max(1, _CELLS // max(cells, 1))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


class BinTable:
    """Bins of N images. Sums over images are matrix products."""

    def __init__(self, bins: Bins) -> None:
        self.bins = bins

    def weighted(self, weights: NDArray[Any]) -> Iterator[tuple[slice, Sweep]]:
        """Sweep under the weightings (B, N)."""
        for rows in _parts(len(weights), self.bins.good.shape[1]):
            once = weights[rows].astype(np.float64)
            counts = once * self.bins.unit
            added, gained = _product(once, self.bins.good), _product(counts, self.bins.found)
            yield rows, _swept(self.bins.tied, added, gained, _product(counts * once, self.bins.found) / gained)

    def without_each(self) -> Iterator[tuple[slice, Sweep]]:
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


class ImageTable:
    """Images as bins of single scores: nothing is lost, and each image lies in one bin, so no matrix is needed."""

    def __init__(self, labels: NDArray[np.bool_], scores: NDArray[np.floating]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ordered = scores[self.order]
        first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
        self.starts = np.flatnonzero(first)
        self.scores = ordered[self.starts].astype(np.float64)
        self.bin = np.cumsum(first) - 1  # (N,) of each image in this order
        self.bad = labels[self.order]
        self.tied = np.ones(len(self.starts), bool)

    def weighted(self, weights: NDArray[Any]) -> Iterator[tuple[slice, Sweep]]:
        """Sweep under the weightings (B, N)."""
        for rows in _parts(len(weights), len(self.order)):
            counts = weights[rows][:, self.order].astype(np.float64)
            bad = counts * self.bad
            gained = self._sums(bad)
            swept = _swept(self.tied, self._sums(counts - bad), gained, self._sums(bad * bad) / gained)
            yield rows, replace(swept, scores=self.scores)

    def without_each(self) -> Iterator[tuple[slice, Sweep]]:
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
            swept = _swept(self.tied, added, gained, np.where(gained > 0, 1.0, np.nan))
            yield rows, replace(swept, scores=self.scores)

    def _sums(self, counts: Rows) -> Rows:
        """Sums over the images of one score: (B, N) -> (B, K)."""
        if len(self.starts) == counts.shape[1]:
            return counts
        sums: Rows = np.add.reduceat(counts, self.starts, axis=1)
        return sums


def _auroc(swept: Sweep) -> Rows:
    beaten = swept.all_good - swept.alarms + 0.5 * swept.added  # a tie counts half
    area: Rows = np.einsum("bk,bk->b", swept.gained, beaten) / (swept.all_hits * swept.all_good)[:, 0]
    return area


def _f1_max(swept: Sweep) -> Rows:
    values: Rows = 2 * swept.hits / (swept.hits + swept.alarms + swept.all_hits)
    highest: Rows = values.max(axis=1)
    return highest


def _fpr_at_95(swept: Sweep) -> Rows:
    first = np.argmax(100 * swept.hits >= 95 * swept.all_hits, axis=1)[:, None]
    rates: Rows = np.take_along_axis(swept.alarms, first, axis=1)[:, 0] / swept.all_good[:, 0]
    return rates


def _presorted_good(swept: Sweep) -> Rows:
    """The share of good images scored below the ``SHARE`` quantile of the bad ones."""
    limit = _quantile(swept.scores, swept.hits, SHARE)
    below = np.searchsorted(-swept.scores, -limit, side="right")  # the first bin with a lower score
    higher = np.take_along_axis(np.append(np.zeros((len(limit), 1)), swept.alarms, axis=1), below[:, None], axis=1)
    return 1 - (higher / swept.all_good)[:, 0]


def _presorted_bad(swept: Sweep) -> Rows:
    """The share of bad images scored above the 1 - ``SHARE`` quantile of the good ones."""
    limit = _quantile(swept.scores, swept.alarms, 1 - SHARE)
    above = np.searchsorted(-swept.scores, -limit, side="left")  # the number of bins with a higher score
    higher = np.take_along_axis(np.append(np.zeros((len(limit), 1)), swept.hits, axis=1), above[:, None], axis=1)
    found: Rows = (higher / swept.all_hits)[:, 0]
    return found


def _quantile(scores: Rows, reached: Rows, share: float) -> Rows:
    """The linear quantile, as NumPy computes it, of items of which ``reached`` (B, K) have ``scores`` (K,) or more."""
    last = np.maximum(reached[:, -1] - 1, 0)
    place = last * share
    lower = np.floor(place)

    def item(number: Rows) -> Rows:
        """The score of the item with this number, ascending from 0."""
        found: Rows = scores[np.argmax(reached > (last - number)[:, None], axis=1)]
        return found

    low, high, part = item(lower), item(np.minimum(lower + 1, last)), place - lower
    return np.where(part < 0.5, low + (high - low) * part, high - (high - low) * (1 - part))


def _average_precision(swept: Sweep) -> Rows:
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


def overlap_area(limit: float) -> Callable[[Sweep], Rows]:
    """The measure of the area under the overlap up to a false-positive rate."""

    def area(swept: Sweep) -> Rows:
        """Area up to a false-positive rate of ``limit``, divided by ``limit``; the last line is cut there."""
        left = np.clip(limit * swept.all_good - (swept.alarms - swept.added), 0, swept.added)
        part = left / np.where(swept.added > 0, swept.added, 1)
        height = swept.hits - swept.gained * (1 - 0.5 * part)
        whole: Rows = limit * swept.all_good * swept.all_hits
        covered: Rows = np.einsum("bk,bk->b", left, height) / whole[:, 0]
        return covered

    return area


IMAGE_MEASURES = {
    "image_auroc": _auroc, "image_ap": _average_precision, "image_f1max": _f1_max, "image_fpr95": _fpr_at_95,
    "pg2": _presorted_good, "pb2": _presorted_bad,
}  # fmt: skip
PIXEL_MEASURES = {"pixel_auroc": _auroc, "pixel_ap": _average_precision, "pixel_f1max": _f1_max}
OVERLAP_MEASURES = {"aupro": overlap_area(AUPRO_LIMIT), "aupro_05": overlap_area(AUPRO_05_LIMIT)}
