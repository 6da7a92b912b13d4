"""AUPIMO: how much of each defect is found where next to no pixel of a normal image is called defective.

Of one defective image, the true-positive rate is the share of its defect pixels with at least a score; the
false-positive rate is the mean over the *normal* images (those with an empty mask) of the same share of their pixels.
AUPIMO is the mean of the first over the logarithm of the second, from 1e-5 to 1e-4. Source: Bertoldo et al., "AUPIMO:
Redefining Visual Anomaly Detection Benchmarks with High Speed and Low Tolerance", arXiv 2401.01984.

The area is a sum over defect pixels, since each adds to the true-positive rate at all rates from its own on. So every
score has a fixed value, which depends on the highest scores of the normal pixels alone; only these are kept and sorted.
There are two such values: the exact one, of all thresholds, and that of the authors' program, which takes 300,000 even
thresholds in float32 between the lowest and the highest score of normal pixels, and of these the two with the rates
next to the bounds. Published numbers are by that program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

from ..api.data import Size
from ..data.arrays import Integers, Scores
from .curves import Images

Floats = NDArray[np.float64]

BOUNDS = (1e-5, 1e-4)
"""False-positive rates between which AUPIMO is the mean."""

OFFICIAL_THRESHOLDS = 300_000

FEWEST_POINTS = 31
"""With fewer thresholds between the bounds the authors' program gives no number."""

_SLACK = 2.0
"""Scores are kept up to so many times the higher bound: the authors' program may need some beyond it."""

_MOST_ROWS = 1 << 16
"""Rows that are kept at first until they are thinned out."""


@dataclass(frozen=True, eq=False)
class Tail:
    """The highest scores of normal pixels.

    Attributes:
        levels: (J,) distinct scores, ascending.
        rates: (J,) false-positive rate at each: the mean over images of the share of pixels with this score or more.
        lowest, highest: of all scores of normal pixels.
    """

    levels: Floats
    rates: Floats
    lowest: float
    highest: float


def least_rate(sizes: Sequence[Size]) -> float:
    """The least false-positive rate that normal images of these sizes can have; infinity without images."""
    if not sizes:
        return math.inf
    return 1 / (len(sizes) * max(height * width for height, width in sizes))


def tail_of(images: Images, numbers: Sequence[int], sizes: Sequence[Size], upper: float = BOUNDS[1]) -> Tail:
    """Collect the highest scores of the normal images, down to a rate of at least ``upper``. Each map is read once.

    Args:
        images: scores by number.
        numbers: of the normal images; not empty.
        sizes: (H, W) of each image, by number.
        upper: the higher bound.
    """
    pixels = {number: math.prod(sizes[number]) for number in numbers}
    kept = _Kept(len(numbers), _SLACK * upper, even=len(set(pixels.values())) == 1)
    for number in numbers:
        kept.add(images[number], pixels[number])
    return kept.tail()


class _Kept:
    """The highest scores of the images read so far: (value, count, pixels of its image), a row each."""

    def __init__(self, images: int, share: float, *, even: bool) -> None:
        self.images, self.share, self.even = images, share, even
        self.rows: list[tuple[Floats, Integers, Integers]] = []
        self.count, self.most = 0, _MOST_ROWS
        self.floor = -math.inf
        self.lowest, self.highest = math.inf, -math.inf

    def add(self, scores: Scores, pixels: int) -> None:
        """Take the scores of one image that may be among the highest."""
        flat = scores.reshape(-1)
        self.lowest = min(self.lowest, float(flat.min()))
        self.highest = max(self.highest, float(flat.max()))
        enough = int(self.share * self.images * pixels) + 1
        if self.floor == -math.inf and enough < pixels:  # this image alone goes beyond the share there
            self.floor = _nth_highest(flat, enough)
        values, counts = np.unique(_at_least(flat, self.floor), return_counts=True)
        self.rows.append((values, counts, np.full(len(values), pixels)))
        self.count += len(values)
        if self.count > self.most:
            self._thin_out()
            self.most = max(_MOST_ROWS, 2 * self.count)

    def _thin_out(self) -> None:
        levels, rates, (values, counts, pixels) = self._summed()
        last = len(levels) - 1 - int(np.argmax(rates[::-1] > self.share))  # the highest level that goes beyond
        if rates[last] > self.share:
            self.floor = float(levels[last])
            part = values >= self.floor
            self.rows = [(values[part], counts[part], pixels[part])]
            self.count = int(part.sum())

    def _summed(self) -> tuple[Floats, Floats, tuple[Floats, Integers, Integers]]:
        """Distinct scores, ascending; the rate at each; and all rows in that order."""
        values, counts, pixels = (np.concatenate(each) for each in zip(*self.rows, strict=True))
        order = np.argsort(values, kind="stable")
        values, counts, pixels = values[order], counts[order], pixels[order]
        if self.even:  # whole numbers as long as possible
            reached = np.cumsum(counts[::-1])[::-1] / float(self.images * pixels[0])
        else:
            reached = np.cumsum((counts / (self.images * pixels))[::-1])[::-1]
        first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
        return values[first], reached[first], (values, counts, pixels)

    def tail(self) -> Tail:
        """The result; of levels beyond the share only the first is whole, as images were cut at different floors."""
        levels, rates, _ = self._summed()
        beyond = np.flatnonzero(rates > self.share)
        start = int(beyond[-1]) if len(beyond) else 0
        return Tail(levels[start:], rates[start:], self.lowest, self.highest)


def _nth_highest(flat: Scores, number: int) -> float:
    if isinstance(flat, np.ndarray):
        return float(np.partition(flat, flat.size - number)[flat.size - number])
    return float(_wide(flat).topk(number).values[-1])


def _at_least(flat: Scores, floor: float) -> Floats:
    chosen = flat if floor == -math.inf else flat[flat >= floor]
    found = chosen if isinstance(chosen, np.ndarray) else _wide(chosen).cpu().numpy()
    return cast(Floats, found.astype(np.float64))


def _wide(values: torch.Tensor) -> torch.Tensor:
    """Half precision as float32, which changes no value."""
    return values.float() if values.is_floating_point() and values.element_size() < 4 else values


# ---------------------------------------------------------------- values of scores


@dataclass(frozen=True, eq=False)
class Values:
    """What a defect pixel adds to the area, by its score; 1 for one above all normal pixels.

    Attributes:
        levels: (J,) ascending; the authors' thresholds repeat where float32 has no number between two.
        between: (J + 1,) for a score above the first j levels and below the others.
        tied: (J,) for a score that is equal to a level, the last one of those that are equal.
    """

    levels: NDArray[np.floating]
    between: Floats
    tied: Floats

    def of(self, scores: NDArray[Any]) -> Floats:
        """(P,) values of scores (P,)."""
        values = np.zeros(len(scores))
        high = np.flatnonzero(scores >= self.levels[0])  # the others add nothing
        some = scores[high].astype(np.float64)
        up_to = np.searchsorted(self.levels, some, side="right")  # 1 or more
        values[high] = np.where(self.levels[up_to - 1] == some, self.tied[up_to - 1], self.between[up_to])
        return values


def exact(tail: Tail, bounds: tuple[float, float] = BOUNDS) -> Values | None:
    """The values over all thresholds; None where the rate of the highest normal pixels is above the lower bound.

    From one level of normal pixels to the next lower one only their rate rises. Where defect pixels have the same score
    as a level, both rise together: along a straight line over the logarithm.
    """
    low, high = math.log(bounds[0]), math.log(bounds[1])
    if tail.rates[-1] > bounds[0]:
        return None
    ends = np.log(tail.rates)  # (J,) at each level, falling
    starts = np.append(ends[1:], -np.inf)  # (J,) just above each level
    left, right = np.clip(starts, low, high), np.clip(ends, low, high)
    with np.errstate(invalid="ignore"):
        line = (right - left) * ((left + right) / 2 - starts) / (ends - starts)
    tied = high - right + np.where(right > left, line, 0)
    between = np.append(high - right[0], high - left)
    return Values(tail.levels, between / (high - low), tied / (high - low))


def official(
    tail: Tail,
    images: Images,
    numbers: Sequence[int],
    bounds: tuple[float, float] = BOUNDS,
    count: int = OFFICIAL_THRESHOLDS,
    fewest: int = FEWEST_POINTS,
) -> Values | None:
    """The values at the authors' thresholds; None where their program refuses.

    Args:
        tail: of the normal images.
        images: scores by number; read again only where normal scores reach far beyond the others.
        numbers: of the normal images.
        bounds: false-positive rates.
        count: number of thresholds.
        fewest: number of thresholds between the bounds below which there is no value.
    """
    if tail.rates[-1] > bounds[0] or tail.lowest == tail.highest:
        return None
    grid = np.linspace(tail.lowest, tail.highest, count, dtype=np.float32).astype(np.float64)
    crossing = tail.levels[np.flatnonzero(tail.rates > bounds[1])[-1]]  # the highest level beyond the bound
    last = max(int(np.searchsorted(grid, crossing, side="right")) - 1, 0)  # the highest threshold that reaches it
    if grid[last] < tail.levels[0]:
        rate = _rate(images, numbers, float(grid[last]))
        tail = replace(tail, levels=np.insert(tail.levels, 0, grid[last]), rates=np.insert(tail.rates, 0, rate))
    first = int(np.searchsorted(grid, tail.levels[0]))
    grid = grid[first:]
    level = np.searchsorted(tail.levels, grid)
    grid, level = grid[level < len(tail.levels)], level[level < len(tail.levels)]  # rounding lifts some above all
    rates = tail.rates[level]
    start, end = (int(np.argmin(np.abs(rates - bound))) for bound in reversed(bounds))
    grid, rates = grid[start : end + 1], rates[start : end + 1]
    if len(grid) < max(fewest, 2):
        return None
    logs = np.log(rates)
    steps = (logs[:-1] - logs[1:]) / 2
    weights = np.append(steps, 0) + np.append(0, steps)  # of each threshold in the trapezoidal rule
    reached = np.append(0, np.cumsum(weights)) / math.log(bounds[1] / bounds[0])
    return Values(grid, reached, reached[1:])


def _rate(images: Images, numbers: Sequence[int], score: float) -> float:
    """The false-positive rate at a score."""
    shares = []
    for number in numbers:
        flat = images[number].reshape(-1)
        shares.append(len(_at_least(flat, score)) / math.prod(flat.shape))
    return math.fsum(shares) / len(numbers)


def per_image(values: Values, scores: NDArray[Any], image: Integers, count: int) -> Floats:
    """AUPIMO of each of ``count`` images, (count,); NaN for normal ones.

    Args:
        values: of scores.
        scores: (P,) of the defect pixels.
        image: (P,) the number of the image of each, ascending.
        count: number of images.
    """
    areas = np.bincount(image, minlength=count)
    sums = np.bincount(image, values.of(scores), minlength=count)
    with np.errstate(invalid="ignore"):
        return cast(Floats, np.clip(sums / areas, 0, 1))


class Aupimo:
    """AUPIMO of a test set, computed from the defects' scores while they are at hand.

    Args:
        images: scores by number, all of them finite.
        sizes: (H, W) of each.
        positions: (P,) of the pixels in regions, in the flattened images, one after the other; ascending.
        kept: (P,) of these, those that count for their regions alone; None if there are none. An image that has no
            others is not normal, and has no AUPIMO.
        spoiled: numbers of further images that are not normal.

    Attributes:
        exact, official: the means over the defective images; None where not defined, and before ``look``.
    """

    def __init__(
        self,
        images: Images,
        sizes: Sequence[Size],
        positions: Integers,
        kept: NDArray[np.bool_] | None = None,
        spoiled: Sequence[int] = (),
    ) -> None:
        self.exact: float | None = None
        self.official: float | None = None
        pixels = [height * width for height, width in sizes]
        if len(set(pixels)) == 1:
            self._image = positions // pixels[0]
        else:
            self._image = np.searchsorted(np.cumsum(pixels), positions, side="right")
        self._count = len(sizes)
        is_normal = np.bincount(self._image, minlength=len(sizes)) == 0
        is_normal[list(spoiled)] = False
        numbers = np.flatnonzero(is_normal).tolist()
        self._marked = None if kept is None else ~kept
        if self._marked is not None:
            self._image = self._image[self._marked]
        self._values: tuple[Values | None, Values | None] = (None, None)
        if len(self._image) and least_rate([sizes[number] for number in numbers]) <= BOUNDS[0]:
            tail = tail_of(images, numbers, sizes)
            self._values = exact(tail), official(tail, images, numbers)

    def look(self, defects: NDArray[Any]) -> None:
        """Compute the means from the scores of the pixels in regions (P,)."""
        marked = defects if self._marked is None else defects[self._marked]
        self.exact, self.official = (
            None if each is None else float(np.nanmean(per_image(each, marked, self._image, self._count)))
            for each in self._values
        )
