"""SegF1 and AUPIMO under many weightings of the images: both are made of sums over images.

SegF1 needs three numbers of each image, and is exact. Its threshold is fixed: no test image has moved it. AUPIMO's
curve comes from the bins of pixels. Between two borders of bins defects are taken to be found evenly, which moves it by
about 1e-3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .binning import Bins
from .pimo import BOUNDS

Rows = NDArray[np.float64]

Sums = Callable[[Rows, slice], Rows]
"""Sums of rows (N, K) over images, for a slice of the weightings: (B, K)."""

FEWEST_NORMAL = 8.0
"""Effective number of normal images with pixels at AUPIMO's higher rate below which a bootstrap is too sure.

Chosen by simulation: with 3 to 5, 70 to 80 % of its intervals hold the true value; from 9 on, more than 90 %.
"""

_CELLS = 1 << 20
"""Weightings times bins processed at once: 8 MB for each array."""


@dataclass(frozen=True)
class Weightings:
    """Weightings of N images, of which sums are taken."""

    count: int
    sums: Sums

    @classmethod
    def of(cls, counts: NDArray[Any]) -> Weightings:
        """Each image counts ``counts`` times, (B, N)."""
        return cls(len(counts), lambda rows, part: counts[part].astype(np.float64) @ rows)

    @classmethod
    def without_each(cls, images: int) -> Weightings:
        """Each image is left out in turn."""
        return cls(images, lambda rows, part: rows.sum(axis=0) - rows[part])

    def parts(self, cells: int) -> Iterator[slice]:
        """Slices of the weightings, of ``cells`` numbers each."""
        size = max(1, _CELLS // max(cells, 1))
        return (slice(start, min(start + size, self.count)) for start in range(0, self.count, size))


def seg_f1(found: NDArray[np.integer], weightings: Weightings) -> Rows:
    """SegF1 (B,) from ``segmentation.seg_counts`` (N, 3); NaN where no pixel is defective and none is found."""
    rows, values = found.astype(np.float64), np.full(weightings.count, np.nan)
    for part in weightings.parts(3):
        above, right, defects = weightings.sums(rows, part).T
        both = above + defects  # 2 TP + FP + FN
        np.divide(2 * right, both, out=values[part], where=both > 0)
    return values


def aupimo(bins: Bins, regions: NDArray[np.integer], weightings: Weightings) -> Rows:
    """AUPIMO (B,) from bins of pixels; NaN without normal or without defective images, or with too few normal pixels.

    Args:
        bins: of pixels.
        regions: (N,) regions of each image; those with regions but no defect pixel are neither normal nor defective.
        weightings: of the images.
    """
    defects, pixels = bins.found.sum(axis=1, dtype=np.int64), bins.good.sum(axis=1, dtype=np.int64)
    normal, bad = (defects == 0) & (regions == 0), defects > 0
    values = np.full(weightings.count, np.nan)
    if not bad.any() or pixels[normal].sum() * BOUNDS[0] < 1:
        return values
    rates = _shares(bins.good, pixels, normal)
    hits = _shares(bins.found, defects, bad)
    both = np.concatenate([rates, hits, normal[:, None], bad[:, None]], axis=1)
    count = rates.shape[1]
    for part in weightings.parts(both.shape[1]):
        sums = weightings.sums(both, part)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate, hit = sums[:, :count] / sums[:, [-2]], sums[:, count:-2] / sums[:, [-1]]
        values[part] = np.where((sums[:, -2:] > 0.5).all(axis=1), _area(rate, hit), np.nan)
    return values


def normal_images(bins: Bins, regions: NDArray[np.integer]) -> float:
    """The effective number of normal images that have the pixels at AUPIMO's higher rate: Kish's, (sum r)^2 / sum r^2.

    It is 1 where one image has them all, and their number where all have as many.
    """
    defects, pixels = bins.found.sum(axis=1, dtype=np.int64), bins.good.sum(axis=1, dtype=np.int64)
    normal = (defects == 0) & (regions == 0)
    if not normal.any():
        return 0.0
    rates = _shares(bins.good, pixels, normal)[normal]
    own = rates[:, int(np.argmax(rates.mean(axis=0) >= BOUNDS[1]))]
    return float(own.sum() ** 2 / np.square(own).sum())


def _shares(counts: NDArray[np.unsignedinteger], whole: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Rows:
    """The share of an image's pixels in each bin and all higher ones, (N, K); 0 in images that are not chosen."""
    shares: Rows = np.cumsum(counts, axis=1, dtype=np.float64) / np.maximum(whole, 1)[:, None]
    shares[~chosen] = 0
    return shares


def _area(rates: Rows, hits: Rows) -> Rows:
    """Mean of ``hits`` (B, K) over the logarithm of ``rates`` (B, K) between the bounds.

    Within a bin the one is a straight line over the other: h = a + b r, whose integral over log r is a log r + b r.
    """
    low, high = BOUNDS
    zeros = np.zeros((len(rates), 1))
    before, reached = np.append(zeros, rates[:, :-1], axis=1), np.append(zeros, hits[:, :-1], axis=1)
    left, right = np.clip(before, low, high), np.clip(rates, low, high)
    inside = right > left
    slope = np.divide(hits - reached, rates - before, out=np.zeros_like(rates), where=inside)
    start = reached - slope * before
    parts = np.where(inside, start * np.log(right / left) + slope * (right - left), 0.0)
    areas: Rows = np.clip(parts.sum(axis=1) / np.log(high / low), 0, 1)
    return areas
