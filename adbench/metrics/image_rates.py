"""Metrics of image scores that ask how many images a person could stop looking at.

Sources: PG and PB of arXiv 2503.23451, with the linear quantile (of h = (N - 1) q, as NumPy has it).
The false-positive rate at a true-positive rate of 95 % is that of the ROC's steps, not of lines between them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .curves import Curve

SHARE = 0.02
"""The share of images that may be on the wrong side, in PG2 and PB2."""


def fpr_at_95(curve: Curve) -> float:
    """The lowest false-positive rate of a threshold that finds at least 95 % of the defects."""
    first = int(np.argmax(100 * curve.hits >= 95 * curve.hits[-1]))
    return float(curve.alarms[first] / curve.good)


def presorted_good(good: NDArray[Any], bad: NDArray[Any], share: float = SHARE) -> float | None:
    """The share of good images scored below the ``share`` quantile of the bad ones; None without either."""
    if not len(good) or not len(bad):
        return None
    return float(np.mean(good < np.quantile(bad.astype(np.float64), share)))


def presorted_bad(good: NDArray[Any], bad: NDArray[Any], share: float = SHARE) -> float | None:
    """The share of bad images scored above the 1 - ``share`` quantile of the good ones; None without either."""
    if not len(good) or not len(bad):
        return None
    return float(np.mean(bad > np.quantile(good.astype(np.float64), 1 - share)))
