"""The pixel threshold of SegF1: the mean plus three standard deviations of all pixels of good images' anomaly maps.

This is the rule that MVTec AD 2's own tools advise, with the maps of its validation split. The standard deviation is
that of the pixels themselves (divided by their number), and sums are in float64: in float16 the mean and the deviation
would be wrong in the fourth digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DEVIATIONS = 3.0


class PixelMoments:
    """Mean and standard deviation of the pixels of maps that are added one by one.

    Blocks are merged as by Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979.
    """

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Add the pixels of a map of any shape and type."""
        pixels = np.asarray(values, np.float64)
        mean, number = float(pixels.mean()), pixels.size
        squares = float(np.square(pixels - mean).sum())
        gap, total = mean - self.mean, self.count + number
        self._squares += squares + gap * gap * self.count * number / total
        self.mean += gap * number / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Standard deviation of all pixels, divided by their number; 0 without pixels."""
        return float((self._squares / self.count) ** 0.5) if self.count else 0.0

    @property
    def threshold(self) -> float | None:
        """The mean plus three standard deviations; None without pixels."""
        return self.mean + DEVIATIONS * self.deviation if self.count else None
