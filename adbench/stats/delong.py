"""DeLong's test: whether the image AUROCs of two methods differ, on the same test images.

DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
curves: a nonparametric approach", Biometrics 1988; by ranks as in Sun and Xu, "Fast implementation of DeLong's
algorithm", IEEE Signal Processing Letters 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..util.errors import TaskError

Floats = NDArray[np.float64]

FEWEST = 2
"""Images of each kind from which a variance can be estimated."""


class Scored(Protocol):
    """Image scores on one test set."""

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(N,), True for a defective image."""

    @property
    def image_scores(self) -> NDArray[np.floating]:
        """(N,), higher is more anomalous."""


@dataclass(frozen=True, eq=False)
class Areas:
    """AUROCs of S score vectors on one test set: ``values`` (S,), and their ``covariance`` (S, S)."""

    values: Floats
    covariance: Floats


def areas(labels: ArrayLike, scores: ArrayLike) -> Areas:
    """AUROCs of several score vectors, and DeLong's covariance of them.

    Args:
        labels: (N,), 1 or True for a defective image.
        scores: (S, N), higher is more anomalous; equal scores count a half.

    Raises:
        TaskError: shapes that don't fit, or fewer than two images of a kind.
    """
    is_defective, values = np.asarray(labels).astype(bool), np.asarray(scores, np.float64)
    if values.ndim != 2 or values.shape[1] != len(is_defective):
        raise TaskError("scores", found=f"shape {values.shape}", wanted=f"(S, {len(is_defective)})")
    bad, good = values[:, is_defective], values[:, ~is_defective]
    counts = bad.shape[1], good.shape[1]
    if min(counts) < FEWEST:
        raise TaskError("DeLong's test", found=f"{counts[1]} good and {counts[0]} defective", wanted="two of each")
    whole = _midranks(values)
    # the share of good images below each defective one, and of defective images above each good one
    over_good = (whole[:, is_defective] - _midranks(bad)) / counts[1]
    under_bad = 1 - (whole[:, ~is_defective] - _midranks(good)) / counts[0]
    covariance = _covariance(over_good) / counts[0] + _covariance(under_bad) / counts[1]
    return Areas(over_good.mean(axis=1), covariance)


def _midranks(values: Floats) -> Floats:
    """Rank each row (S, N) from 1; equal values share the middle of their ranks."""
    ranks = np.empty(values.shape)
    for row, ranked in zip(values, ranks, strict=True):
        _, number, counts = np.unique(row, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranked[:] = (last - (counts - 1) / 2)[number]
    return ranks


def _covariance(values: Floats) -> Floats:
    return np.atleast_2d(np.cov(values))


def p_value(first: Sequence[Sequence[Scored]], second: Sequence[Sequence[Scored]]) -> float | None:
    """Two-sided p-value of no difference in image AUROC, in the mean over seeds and classes.

    The seeds of a class share its images, so that their covariances count; classes have images of their own.

    Args:
        first: one method's seeds, for each class.
        second: the other method's, on the same images.

    Returns:
        None where the variance is not known: a class has fewer than two images of a kind, or no image is misplaced.

    Raises:
        TaskError: other classes or other images.
    """
    if len(first) != len(second) or not first:
        raise TaskError("a comparison", found=f"{len(first)} and {len(second)} classes", wanted="the same classes")
    difference = variance = 0.0
    for ours, theirs in zip(first, second, strict=True):
        labels = ours[0].labels
        if not all(np.array_equal(each.labels, labels) for each in (*ours, *theirs)):
            raise TaskError("a comparison", found="other images", wanted="the same test images")
        if min(int(labels.sum()), int((~labels).sum())) < FEWEST:
            return None
        found = areas(labels, np.stack([each.image_scores for each in (*ours, *theirs)]))
        contrast = np.r_[np.full(len(ours), -1 / len(ours)), np.full(len(theirs), 1 / len(theirs))]
        difference += float(contrast @ found.values)
        variance += float(contrast @ found.covariance @ contrast)
    if variance <= 1e-18 * len(first):
        return 1.0 if abs(difference) < 1e-9 else None
    return erfc(abs(difference) / sqrt(2 * variance))
