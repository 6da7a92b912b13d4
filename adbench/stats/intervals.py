"""Intervals: how far a metric could move with other test images of the same kind.

Every draw is seeded, so a table comes out the same each time. ``comparison`` compares methods.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
SEED = 1979

CELLS = 1 << 23
"""Draws times images that are in memory at once."""

KEPT_CELLS = 1 << 20
"""Draws times images up to which the draws are kept for the next method: 2 MB."""

BELIEF = 4.5
"""Mistakes with which a measured variance weighs as much as the expected one; chosen by simulation."""

Floats = NDArray[np.float64]
Counts = NDArray[np.integer]


class Scored(Protocol):
    """One method's scores on one test set, which can be weighted anew; see ``metrics.histograms.ScoreHistograms``."""

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(N,), True for a defective image."""

    @property
    def image_scores(self) -> NDArray[np.floating]:
        """(N,), higher is more anomalous."""

    def metrics(self, weights: Floats | Counts, names: Collection[str]) -> Mapping[str, Floats]:
        """Compute metrics (B,) with image i counted ``weights[b, i]`` times (B, N); NaN where undefined."""

    def without_each(self, names: Collection[str]) -> Mapping[str, Floats]:
        """Compute metrics (N,) without each image in turn; NaN where undefined."""

    def why_not(self, metric: str) -> str:
        """The reason why draws of the images say too little of a metric; empty if there is none."""


@dataclass(frozen=True)
class Interval:
    """The 95 % confidence interval of a metric."""

    low: float
    high: float


def resample(labels: NDArray[np.bool_], count: int = RESAMPLES, seed: int = SEED) -> Iterator[Counts]:
    """Draw how often each image counts, (B, N) uint16: a bootstrap within the good and within the defective images.

    The same labels give the same draws, so all methods are compared on the same draws. The ``count`` draws come in
    parts that stay small: for 100,000 images, all of them at once would take 400 MB, and several times that as floats.
    """
    cells = count * len(labels)
    if cells <= KEPT_CELLS:
        yield _kept(labels.astype(bool).tobytes(), count, seed)
    else:
        yield from _draw(labels, count, seed)


@lru_cache(maxsize=32)
def _kept(labels: bytes, count: int, seed: int) -> Counts:
    """The draws of a small test set, kept since every method and metric of a table needs them."""
    (counts,) = _draw(np.frombuffer(labels, np.bool_), count, seed)
    counts.setflags(write=False)
    return counts


def _draw(labels: NDArray[np.bool_], count: int, seed: int) -> Iterator[Counts]:
    draw = np.random.default_rng(seed)
    most = max(1, CELLS // max(len(labels), 1))
    for start in range(0, count, most):
        counts = np.zeros((min(most, count - start), len(labels)), np.uint16)
        for kind in (False, True):
            members = np.flatnonzero(labels == kind)
            if len(members):
                even = np.full(len(members), 1 / len(members))
                counts[:, members] = draw.multinomial(len(members), even, size=len(counts))
        yield counts


def interval(seeds: Sequence[Scored], metric: str) -> Interval | None:
    """95 % interval of a metric, or of its mean over several seeds; None where it is undefined, or can't be known.

    Image AUROC has a score interval, which holds near 1. A bootstrap doesn't hold there: it never draws a mistake that
    the test set doesn't have. All other metrics have the bias-corrected and accelerated bootstrap (Efron, "Better
    bootstrap confidence intervals", JASA 1987).

    Args:
        seeds: the same images scored by each seed.
        metric: one of ``METRIC_NAMES``.
    """
    labels = seeds[0].labels
    value = seed_mean(seeds, metric, np.ones((1, len(labels))))[0]
    if np.isnan(value) or any(each.why_not(metric) for each in seeds):
        return None
    if metric == "image_auroc":
        excess = float(np.mean([variance_ratio(labels, each.image_scores) for each in seeds]))
        return score_interval(float(value), int((~labels).sum()), int(labels.sum()), excess)
    draws = drawn(seeds, metric, labels)
    without_each: Floats = np.mean([each.without_each([metric])[metric] for each in seeds], axis=0)
    return _bca(float(value), draws, without_each, labels)


def drawn(seeds: Sequence[Scored], metric: str, labels: NDArray[np.bool_], seed: int = SEED) -> Floats:
    """The metric on each draw of the images, as the mean over seeds: (RESAMPLES,)."""
    return np.concatenate([seed_mean(seeds, metric, counts) for counts in resample(labels, seed=seed)])


def score_interval(auroc: float, good: int, bad: int, ratio: float = 1.0) -> Interval:
    """The score interval of an AUROC from ``good`` and ``bad`` images: all t with (auroc - t)^2 <= z^2 V(t).

    V is the variance by Hanley and McNeil ("The meaning and use of the area under a ROC curve", Radiology 1982), times
    ``ratio``. It is taken at t, not at the measured value: that keeps the interval open at 1 (as in Newcombe,
    "Confidence intervals for an effect size measure based on the Mann-Whitney statistic", Statistics in Medicine
    2006).
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z2 = float(norm.ppf(0.5 + LEVEL / 2)) ** 2 * ratio

    def beyond(t: float) -> float:
        return (auroc - t) ** 2 - z2 * _hanley_mcneil(t, good, bad)

    # the variance is 0 at 0 and at 1: these are solutions only for an AUROC of exactly that
    low = float(brentq(beyond, 0.0, auroc - 1e-9)) if auroc > 1e-6 else 0.0
    high = float(brentq(beyond, auroc + 1e-9, 1.0)) if auroc < 1 - 1e-6 else 1.0
    return Interval(min(low, auroc), max(high, auroc))


def variance_ratio(labels: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Variance of these scores' AUROC, divided by Hanley and McNeil's, which assumes exponential scores.

    DeLong's variance (DeLong, DeLong and Clarke-Pearson, Biometrics 1988) measures it as far as there are mistakes to
    measure it from. With d images on the wrong side of any other, the measured ratio weighs d and a ratio of 1 weighs
    ``BELIEF``. Without this ratio the interval is too wide for normal scores near 1.
    """
    bad, good = scores[labels], scores[~labels]
    of_bad, of_good = _beaten(bad, good), 1 - _beaten(good, bad)
    if min(len(bad), len(good)) < 2:
        return 1.0
    expected = _hanley_mcneil(float(of_bad.mean()), len(good), len(bad))
    if expected <= 1e-12:
        return 1.0
    measured = of_bad.var(ddof=1) / len(bad) + of_good.var(ddof=1) / len(good)
    mistakes = int((of_bad < 1).sum() + (of_good < 1).sum())
    return float((BELIEF + mistakes * measured / expected) / (BELIEF + mistakes))


def _beaten(scores: NDArray[np.floating], others: NDArray[np.floating]) -> Floats:
    """The share of ``others`` below each score, a tie counting half."""
    ordered = np.sort(others)
    below, up_to = np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")
    share: Floats = (below + up_to) / (2 * len(others))
    return share


def _hanley_mcneil(t: float, good: int, bad: int) -> float:
    both_bad, both_good = t / (2 - t), 2 * t * t / (1 + t)
    return (t * (1 - t) + (bad - 1) * (both_bad - t * t) + (good - 1) * (both_good - t * t)) / (good * bad)


def mean_interval(values: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """The interval of the mean of independent values from their own intervals.

    MOVER (Zou and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 2008)
    keeps their asymmetry.
    """
    centre, number = float(np.mean(values)), len(values)
    below = sum((value - each.low) ** 2 for value, each in zip(values, intervals, strict=True)) ** 0.5 / number
    above = sum((each.high - value) ** 2 for value, each in zip(values, intervals, strict=True)) ** 0.5 / number
    return Interval(max(0.0, centre - below), min(1.0, centre + above))


def percentile_interval(draws: Floats) -> Interval:
    """The plain percentile bootstrap interval."""
    found = draws[~np.isnan(draws)]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation, such as over seeds; None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def seed_mean(seeds: Sequence[Scored], metric: str, weights: Floats | Counts) -> Floats:
    """The metric under each weighting (B, N) of the images, as the mean over seeds: (B,)."""
    mean: Floats = np.mean([each.metrics(weights, [metric])[metric] for each in seeds], axis=0)
    return mean


def _bca(value: float, draws: Floats, without_each: Floats, labels: NDArray[np.bool_]) -> Interval:
    from scipy.stats import norm

    draws = np.sort(draws[~np.isnan(draws)])
    if len(draws) == 0 or draws[0] == draws[-1]:
        return Interval(value, value)
    share = (np.sum(draws < value) + 0.5 * np.sum(draws == value)) / len(draws)
    bias = float(norm.ppf(np.clip(share, 0.5 / len(draws), 1 - 0.5 / len(draws))))
    influence = np.zeros(len(labels))
    for kind in (False, True):  # good and defective images are drawn separately: measure each among its own kind
        members = (labels == kind) & ~np.isnan(without_each)
        if members.any():
            influence[members] = without_each[members].mean() - without_each[members]
    size = float((influence**2).sum()) ** 1.5
    acceleration = float((influence**3).sum()) / (6 * size) if size else 0.0
    limits = []
    for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        at = bias + float(norm.ppf(tail))
        limits.append(float(norm.cdf(bias + at / (1 - acceleration * at))))
    low, high = np.quantile(draws, limits)
    return Interval(float(min(low, value)), float(max(high, value)))
