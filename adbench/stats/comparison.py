"""Compares methods on the same test images: paired tests, and which methods may be the best.

The tests are about test images: what could change with other images of the same kind. Every draw is seeded, so a
table comes out the same each time.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from ..util.errors import TaskError
from ..util.text import in_letters
from .intervals import SEED, Floats, Interval, Scored, drawn, percentile_interval, seed_mean


@dataclass(frozen=True)
class Difference:
    """How much higher ``b`` is than ``a``, the interval of that, and the p-value of no difference."""

    value: float
    interval: Interval
    p_value: float


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric on one test set: its value, and its value on each draw of the images, (B,)."""

    labels: NDArray[np.bool_]
    value: float
    draws: Floats


def resampled(seeds: Sequence[Scored], metric: str, name: str) -> Resampled:
    """Draw the images of one class many times, and compute a metric's mean over seeds on each draw.

    Args:
        seeds: the same images scored by each seed of a method.
        metric: one of ``METRIC_NAMES``.
        name: of the class. Every method gets the same draws for a class, and every class has its own draws.
    """
    labels = seeds[0].labels
    value = float(seed_mean(seeds, metric, np.ones((1, len(labels))))[0])
    seed = SEED + zlib.crc32(name.encode("utf-8", "surrogatepass"))
    return Resampled(labels, value, drawn(seeds, metric, labels, seed))


def _check(methods: Sequence[Sequence[Resampled]]) -> None:
    """Raise ``TaskError`` unless the methods have the same classes, with the same labels."""
    lengths = {len(each) for each in methods}
    if len(lengths) != 1 or 0 in lengths:
        found = " and ".join(map(str, sorted(lengths)))
        raise TaskError("a comparison", found=f"{found} classes", wanted="the same classes")
    for classes in zip(*methods, strict=True):
        if not all(np.array_equal(each.labels, classes[0].labels) for each in classes):
            raise TaskError("a comparison", found="other images", wanted="the same test images")


def compare(first: Sequence[Resampled], second: Sequence[Resampled]) -> Difference | None:
    """Test by how much the second method is higher, in the mean over classes, with a paired bootstrap.

    The p-value is two-sided: twice the share of draws on the other side of zero, each tail with one more for the
    measured value itself (Davison and Hinkley, "Bootstrap methods and their application", 1997). Where no draw lies
    on the other side, Student's t for the difference in standard deviations of the draws gives the p-value, if that
    is less. Otherwise no difference, however large, could be significant among a dozen methods, since each further
    pair makes the correction stricter.

    Args:
        first: one method on each class.
        second: the other, on the same images.

    Returns:
        None where the metric is not defined for both.

    Raises:
        TaskError: the classes or the labels differ.
    """
    _check([first, second])
    value = float(np.mean([b.value - a.value for a, b in zip(first, second, strict=True)]))
    draws = np.mean([b.draws - a.draws for a, b in zip(first, second, strict=True)], axis=0)
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or len(draws) == 0:
        return None
    limits = percentile_interval(draws)
    p_value = max(
        _two_sided(value, draws, sum(len(each.labels) for each in first)), _least_p([a.labels for a in first])
    )
    return Difference(value, Interval(min(limits.low, value), max(limits.high, value)), p_value)


def best_p_values(methods: Sequence[Sequence[Resampled]]) -> list[float | None]:
    """Return each method's p-value of "no other method is better"; a small one says that it is not the best.

    Hsu's multiple comparisons with the best ("Simultaneous confidence intervals for all distances from the best",
    Annals of Statistics 1981), with a paired bootstrap in place of normal tables. A method's statistic is the largest
    difference by which another method is higher, each divided by its standard deviation over the draws. Its p-value
    is the share of draws in which the same maximum, with every difference centred at 0, is as large. So the test
    includes the choice of the best by the same images, and needs no further correction for the number of methods: the
    level is the probability that the one method that is truly the best is wrongly rejected.

    Args:
        methods: each on the same classes and images; the mean over classes counts.

    Returns:
        From 0 to 1, in the order of ``methods``; None for all where the metric is not defined for one of them.

    Raises:
        TaskError: the classes or the labels differ.
    """
    if not methods:
        return []
    _check(methods)
    values = np.array([np.mean([each.value for each in classes]) for classes in methods])  # (K,)
    draws = np.stack([np.mean([each.draws for each in classes], axis=0) for classes in methods])  # (K, B)
    draws = draws[:, ~np.isnan(draws).any(axis=0)]
    if np.isnan(values).any() or draws.shape[1] == 0:
        return [None] * len(methods)
    least = _least_p([each.labels for each in methods[0]])
    return [max(_not_best(values, draws - values[:, None], each), least) for each in range(len(methods))]


def _not_best(values: Floats, centred: Floats, number: int) -> float:
    """The p-value of one of K methods, from their values (K,) and their draws minus these values (K, B)."""
    others = np.arange(len(values)) != number
    gaps, moved = values[others] - values[number], centred[others] - centred[number]  # (K - 1,), (K - 1, B)
    widths = moved.std(axis=1)
    alike = widths < 1e-6 * np.maximum(np.abs(gaps), 1e-6)  # no draw moves such a difference
    if (gaps[alike] > 0).any():
        return 1 / (len(moved[0]) + 1)
    if alike.all():
        return 1.0
    scale = widths[~alike, None]
    largest = (gaps[~alike, None] / scale).max()
    as_large = int(np.sum((moved[~alike] / scale).max(axis=0) >= largest))
    return (1 + as_large) / (len(moved[0]) + 1)


def _two_sided(value: float, draws: Floats, images: int) -> float:
    from scipy.stats import t

    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p_value = min(1.0, 2 * (tail + 1) / (len(draws) + 1))
    width = float(draws.std())
    if tail or width < 1e-6 * abs(value):  # draws that never move show nothing
        return p_value
    return min(p_value, 2 * float(t.sf(abs(value) / width, images - 2)))


def _least_p(test_sets: Sequence[NDArray[np.bool_]]) -> float:
    """The least p-value that these test sets allow: 2 divided by the number of different draws.

    n images have C(2n - 1, n) different draws. So with a few images no difference is significant.
    """
    draws = 1
    for labels in test_sets:
        for number in (int((~labels).sum()), int(labels.sum())):
            draws *= comb(2 * number - 1, number) if number else 1
    return min(1.0, 2 / draws)


def wilcoxon(first: Sequence[float], second: Sequence[float]) -> float | None:
    """p-value of Wilcoxon's signed-rank test over classes, two-sided; None where fewer than three differ.

    Demsar recommends it for two methods over several data sets ("Statistical comparisons of classifiers over multiple
    data sets", JMLR 2006).
    """
    from scipy.stats import wilcoxon as test

    differences = np.asarray(second) - np.asarray(first)
    differences = differences[~np.isnan(differences) & (differences != 0)]  # with zeros, old versions approximate
    if len(differences) < 3:
        return None
    return float(test(differences).pvalue)


def holm(p_values: Sequence[float | None], family: int | None = None) -> list[float | None]:
    """Holm's correction for several comparisons (Scandinavian Journal of Statistics 1979); None stays None.

    Args:
        p_values: of each comparison; None for one that could not be made.
        family: number of comparisons wanted; those that could not be made count, too.
    """
    family = len(p_values) if family is None else family
    known = sorted((p, number) for number, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, number) in enumerate(known):
        highest = max(highest, min(1.0, p * (family - rank)))
        adjusted[number] = highest
    return adjusted


def groups(count: int, different: set[tuple[int, int]]) -> list[str]:
    """Letters for ``count`` methods in the order of their rank; those that share one don't differ significantly.

    The compact letter display by Piepho, "An algorithm for a letter-based representation of all-pairwise
    comparisons", Journal of Computational and Graphical Statistics 2004: insert and absorb.

    Args:
        count: number of methods.
        different: pairs of numbers of methods that differ significantly, the lower number first.
    """
    columns = [set(range(count))]
    for first, second in sorted(different):
        split: list[set[int]] = []
        for column in columns:
            if first in column and second in column:
                split += [column - {first}, column - {second}]
            else:
                split.append(column)
        columns = [
            column
            for number, column in enumerate(split)
            if not any(column < other or (column == other and number > at) for at, other in enumerate(split))
        ]
    columns.sort(key=lambda column: sorted(column))
    return [
        "".join(in_letters(number) for number, column in enumerate(columns) if each in column) for each in range(count)
    ]
