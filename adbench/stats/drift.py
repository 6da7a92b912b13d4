"""Tests whether new scores still look like the good ones, with a false-alarm rate that holds.

Each window of new scores is tested twice:

- **The scores**: Kolmogorov and Smirnov's two-sample test with its exact p-value (Hodges, "The significance probability
  of the Smirnov two-sample test", Arkiv foer Matematik 1958). It sees any change of the distribution: its place, its
  width, its shape. A few defective images among many hardly move it.
  With ``higher_only`` it is one-sided.
- **The alarms**: whether there are more scores above the threshold than it promises (``conformal.chance``). It sees the
  few that the first test doesn't. It needs a threshold that promises something.

Holm's correction over all windows and both tests keeps the probability of any false alarm below the level. Both
p-values are exact for good images that are exchangeable with the stored ones and whose scores differ. Where scores tie,
both are too large, which is the safe side. The windows share the stored scores, which Holm's correction allows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..api.scores import Promise
from . import conformal
from .comparison import holm

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What the tests say of one window of new scores.

    Attributes:
        images: number of scores.
        median: of them.
        alarms: number above the threshold; None without a threshold.
        scores_p: corrected p-value of the scores.
        alarms_p: corrected p-value of the alarms; None where the threshold promises nothing.
        level: probability of a false alarm in all windows together.
    """

    images: int
    median: float
    alarms: int | None
    scores_p: float
    alarms_p: float | None
    level: float

    @property
    def scores_differ(self) -> bool:
        """Whether the scores are no longer like the good ones."""
        return self.scores_p <= self.level

    @property
    def too_many_alarms(self) -> bool:
        """Whether there are more alarms than promised."""
        return self.alarms_p is not None and self.alarms_p <= self.level

    @property
    def drifted(self) -> bool:
        """Whether either is so."""
        return self.scores_differ or self.too_many_alarms


def look(
    good: Floats,
    windows: Sequence[Floats],
    *,
    threshold: float | None,
    promise: Promise | None,
    level: float,
    higher_only: bool = False,
) -> list[Look]:
    """Test each window of new scores against the scores of good images.

    Args:
        good: (N,), the stored scores; at least one.
        windows: the new scores, (M,) each, at least one in each.
        threshold: the score above which an image is defective, if there is one.
        promise: of the threshold; the alarms are not tested without one, nor for a cross-validated one.
        level: probability of a false alarm in all windows together.
        higher_only: whether only higher scores count, as where the stored ones are known to be too high.
    """
    alarms = [None if threshold is None else int((window > threshold).sum()) for window in windows]
    scores_p: list[float | None] = [_scores_p_value(good, window, higher_only) for window in windows]
    alarms_p = [
        None if promise is None or count is None else conformal.chance(promise, count, len(window))
        for window, count in zip(windows, alarms, strict=True)
    ]
    every = [*scores_p, *alarms_p]
    corrected = holm(every, sum(p is not None for p in every))
    found = []
    for number, window in enumerate(windows):
        first, second = corrected[number], corrected[len(windows) + number]
        assert first is not None
        found.append(Look(len(window), float(np.median(window)), alarms[number], first, second, level))
    return found


def _scores_p_value(good: Floats, new: Floats, higher_only: bool) -> float:
    """The p-value of Kolmogorov and Smirnov's two-sample test; exact up to 10,000 scores in either."""
    from scipy.stats import ks_2samp

    sides = "greater" if higher_only else "two-sided"  # the distribution function of lower scores is the greater one

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where the exact one overflows, it takes the asymptotic one
        return float(ks_2samp(good, new, alternative=sides, method="auto").pvalue)


def windows_of(scores: Floats, size: int) -> list[Floats]:
    """Cut scores into windows in their order; the last one has from ``size`` to less than twice as many, if there are.

    Args:
        scores: (M,), at least one.
        size: scores of a window, at least 1.
    """
    count = max(1, len(scores) // size)
    return [scores[number * size : None if number == count - 1 else (number + 1) * size] for number in range(count)]
