"""Thresholds with a promise: conformal prediction from the scores of good images.

*Split conformal* (Papadopoulos et al., ECML 2002; Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random
World", 2005). Let n good images be scored by a model that was not trained on them, and let r be the whole number in
(n + 1) * target. The threshold is the r-th highest of their scores. A new good image that is exchangeable with them
scores above it with a probability of at most r / (n + 1), whatever the method and the distribution. Ties only lower
that probability, since only a score *above* the threshold counts as defective. The probability is a mean over draws of
the n images. The share for the very images at hand has a beta distribution (r, n + 1 - r), or is smaller (Vovk,
"Conditional validity of inductive conformal predictors", ACML 2012).

With fewer than 1 / target - 1 images r is 0, and no threshold keeps the target. Then it is the highest score, which
promises 1 / (n + 1).

*Cross-validation* scores each good image by a model that was trained on the other folds. Cross-conformal prediction
(Vovk, Annals of Mathematics and Artificial Intelligence 2015) compares a new image with each of these scores by that
score's own model, and calls it defective at no more than ``cross_bound`` (Barber, Candes, Ramdas and Tibshirani,
"Predictive inference with the jackknife+", Annals of Statistics 2021, theorem 4; Gasparin and Ramdas, "Improving the
statistical efficiency of cross-conformal prediction", 2025): about twice the target. That is the bound of the models of
the folds together. The stored model, which is trained on all images, has it as far as it scores new images as they do;
no distribution-free bound is known for it alone.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..api.scores import Promise

CERTAINTY = 0.95
"""Probability with which the share of false alarms of a threshold at hand stays below ``Promise.certain``."""

SIGNIFICANT = 0.05
"""Below this chance, more alarms on the test set than promised are no accident."""


def images_needed(target: float) -> int:
    """The fewest good images from which a share of false alarms can be promised: 99 for 1 %."""
    return math.ceil(1 / _exact(target)) - 1


def threshold(scores: NDArray[np.floating], target: float, *, folds: int | None = None) -> tuple[float, Promise]:
    """Find the threshold that keeps a share of false alarms, or the highest score where there are too few images.

    Args:
        scores: (N,) of good images that the scoring model was not trained on; at least one.
        target: share of good images that may be called defective, above 0 and below 1.
        folds: number of folds, if each image was scored by the model of the other folds.

    Returns:
        The threshold, above which an image is defective, and what it promises.

    Raises:
        ValueError: no score, or a target that is no such share.
    """
    if not 0 < target < 1:
        raise ValueError(f"target {target}, wanted a number above 0 and below 1")
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    count = len(ordered)
    if not count:
        raise ValueError("no score of a good image")
    rank = max(1, math.floor((count + 1) * _exact(target)))  # so many of the scores are at or above the threshold
    expected = rank / (count + 1)
    promise = Promise(
        target=target,
        images=count,
        expected=expected,
        bound=expected if folds is None else cross_bound(expected, count, folds),
        certain=_certain(rank, count) if folds is None else None,
        folds=folds,
    )
    return float(ordered[count - rank]), promise


def cross_bound(level: float, images: int, folds: int) -> float:
    """The largest share of false alarms of cross-conformal prediction.

    Args:
        level: share that the threshold aims at.
        images: number of good images.
        folds: number of folds, from 2 to ``images``.
    """
    smallest = images // folds
    excess = min(2 * (1 - level) * (1 - 1 / folds) / (smallest + 1), (1 - folds / images) / (folds + 1))
    return min(1.0, 2 * level + excess)


def chance(promise: Promise, alarms: int, images: int) -> float | None:
    """The probability of so many false alarms or more, if the images are like those that the threshold came from.

    The number of false alarms among new images has a beta-binomial distribution (Gumbel and von Schelling, "The
    distribution of the number of exceedances", Annals of Mathematical Statistics 1950), and ties only lower it.

    Args:
        promise: of the threshold.
        alarms: number of good images above it.
        images: number of good images that it was tried on.

    Returns:
        None for a cross-validated threshold, where it isn't known, and without images.
    """
    from scipy.stats import betabinom

    if promise.folds is not None or not images:
        return None
    rank = round(promise.expected * (promise.images + 1))
    return float(min(1.0, betabinom.sf(alarms - 1, images, rank, promise.images + 1 - rank)))


def _certain(rank: int, count: int) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(rank, count + 1 - rank, CERTAINTY))


def _exact(target: float) -> Fraction:
    """The number that was meant: 0.07 * 100 is then 7 and not 7.000000000000001, and a third needs 2 images, not 3."""
    typed = Fraction(repr(float(target)))
    simple = typed.limit_denominator(1_000_000)
    return simple if float(simple) == target else typed
