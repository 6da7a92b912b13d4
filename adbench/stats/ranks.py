"""Ranks of several methods over many data sets or classes: Friedman's test and Nemenyi's critical difference.

As recommended by Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006. Each data
set counts once, whatever its number of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..util.errors import TaskError

LEVEL = 0.05
"""Level of both tests."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """The ranks of K methods over N data sets; rank 1 is the best.

    Attributes:
        mean_ranks: (K,), in the order of the methods.
        p_value: of Friedman's test that all methods are equally good, in Iman and Davenport's form; 1 if no data set
            tells two methods apart.
        critical_difference: two mean ranks that differ by more differ significantly (Nemenyi).
        datasets: N.
    """

    mean_ranks: Floats
    p_value: float
    critical_difference: float
    datasets: int

    @property
    def cliques(self) -> list[tuple[int, ...]]:
        """Largest sets of methods that don't differ significantly: numbers of at least two methods, best first."""
        order = np.argsort(self.mean_ranks, kind="stable")
        ranks = self.mean_ranks[order]
        found: list[tuple[int, ...]] = []
        last = -1
        for start in range(len(order)):
            end = int(np.searchsorted(ranks, ranks[start] + self.critical_difference, side="right")) - 1
            if end > max(start, last):
                found.append(tuple(int(each) for each in order[start : end + 1]))
            last = max(last, end)
        return found


def rank(values: ArrayLike) -> Ranking:
    """Rank methods by a metric, higher is better; equal values share their mean rank.

    Args:
        values: (N, K), the value of each of K methods on each of N data sets.

    Raises:
        TaskError: fewer than two data sets or methods, or a value that is not finite.
    """
    from scipy.stats import rankdata

    table = np.asarray(values, np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise TaskError("values", found=f"shape {table.shape}", wanted="(N, K) with two of each at least")
    if not np.isfinite(table).all():
        raise TaskError("values", found="NaN or infinity", wanted="the value of each method on each data set")
    count, methods = table.shape
    ranks: Floats = rankdata(-table, axis=1)
    width = _quantile(methods) * (methods * (methods + 1) / (6 * count)) ** 0.5
    return Ranking(ranks.mean(axis=0), _friedman(ranks), width, count)


@lru_cache(maxsize=64)
def _quantile(methods: int) -> float:
    """Nemenyi's critical value: the studentized range over the root of 2."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - LEVEL, methods, np.inf)) / 2**0.5


def _friedman(ranks: Floats) -> float:
    """p-value of Friedman's test of ranks (N, K), with ties, in the form of Iman and Davenport (1980)."""
    from scipy.stats import f

    count, methods = ranks.shape
    spread = float((ranks**2).sum()) - count * methods * (methods + 1) ** 2 / 4
    if spread <= 1e-12:  # every data set ties all methods
        return 1.0
    between = float(((ranks.sum(axis=0) - count * (methods + 1) / 2) ** 2).sum()) / count
    chi = (methods - 1) * between / (spread / count)
    most = count * (methods - 1)
    if chi >= most * (1 - 1e-12):  # every data set gives the same order
        return 0.0
    return float(f.sf((count - 1) * chi / (most - chi), methods - 1, (methods - 1) * (count - 1)))
