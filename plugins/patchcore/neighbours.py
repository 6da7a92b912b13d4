"""Exact nearest neighbours among the rows of a bank, about as fast as one matrix product.

With the bank's mean as the origin, half of a squared distance is |q|^2/2 + (|x|^2/2 - q . x): a product ranks the rows
of the bank. Its rounding is that of float32 beside the *norms*, and may exceed the difference between two rows that are
both close to the query. So it only names candidates: distances are computed anew from differences, and queries whose
candidates the rounding may have confused are compared with all rows in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from adbench.api import devices

GROUP = 32
"""Rows whose smallest score is found first. A minimum without its place is several times as fast as one with it."""

SPARE = 7
"""Candidates beside the wanted ones in an exported file, which compares none of them with all rows in float64."""

SCRATCH = {"cpu": 2**24, "cuda": 2**28}
"""Most bytes of scores that are computed at once."""

ROUNDING = 4 * 2**-24
"""Error of a product of D numbers in float32, as a share of sqrt(D) |q| |x|: the probabilistic bound of Higham and Mary
(2019), four units in the last place. A worst case would have D in place of its root."""


@dataclass(frozen=True)
class Found:
    """The nearest rows of each query, nearest first: ``squares`` of distances, float32 (Q, k), and ``rows``, int64."""

    squares: Tensor
    rows: Tensor


class Neighbours:
    """Finds the nearest rows of a bank, exactly. It takes the bank's bytes once more, and ``SCRATCH``.

    Args:
        bank: float32 (M, D), M at least 1.
    """

    def __init__(self, bank: Tensor) -> None:
        self.bank = bank
        self.origin = bank.mean(0)
        padding = -len(bank) % GROUP
        self._rows = torch.cat((bank - self.origin, bank.new_zeros(padding, bank.shape[1])))
        self._halves = self._rows.square().sum(1) / 2
        self._longest = float((2 * self._halves.max()).sqrt())
        self._halves[len(bank) :] = float("inf")

    def find(self, queries: Tensor, count: int = 1) -> Found:
        """Find the ``count`` nearest rows, or all if there are fewer.

        Args:
            queries: float32 (Q, D).
            count: k.
        """
        count = min(count, len(self.bank))
        if devices.is_exporting():
            return self._ranked(queries, count)
        step = max(16, SCRATCH.get(queries.device.type, 2**24) // self._halves.nbytes)
        found = [self._candidates(part, count) for part in queries.split(step)]
        rows, is_sure = (torch.cat(parts) for parts in zip(*found, strict=True))
        unsure = (~is_sure).nonzero()[:, 0]
        for part in unsure.split(max(1, step // 2)) if len(unsure) else ():
            rows[part] = self._compared(queries[part], count)
        pairs = zip(queries.split(1024), rows.split(1024), strict=True)
        squares = torch.cat([(some[:, None] - self.bank[near]).square_().sum(2) for some, near in pairs])  # (Q, k)
        squares, order = squares.sort(dim=1)
        return Found(squares, rows.gather(1, order))

    def _ranked(self, queries: Tensor, count: int) -> Found:
        """The nearest rows by differences from a few candidates: the form for files, where no step depends on values.

        Where more rows than candidates are within rounding, it may take one of them for another.
        """
        size = len(self.bank)
        centred, rows = queries - self.origin, self._rows[:size]
        scores = torch.addmm(self._halves[:size], centred, rows.T, alpha=-1)  # (Q, M)
        near = scores.topk(min(count + SPARE, size), largest=False).indices
        squares = (centred[:, None] - rows[near]).square().sum(2)
        best = squares.topk(count, largest=False)
        return Found(best.values, near.gather(1, best.indices))

    def _candidates(self, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The rows with the best scores, int64 (q, k), and whether no other row can be nearer, bool (q,)."""
        centred = queries - self.origin
        scores = torch.addmm(self._halves, centred, self._rows.T, alpha=-1).unflatten(1, (-1, GROUP))  # (q, M/32, 32)
        wanted = min(count + 1, len(self.bank))
        groups = scores.amin(2).topk(min(wanted, scores.shape[1]), largest=False, sorted=False).indices
        inside = scores.gather(1, groups[..., None].expand(-1, -1, GROUP)).flatten(1)  # of the groups that matter
        best = inside.topk(wanted, largest=False)
        rows = groups.gather(1, best.indices // GROUP) * GROUP + best.indices % GROUP
        if wanted == count:
            return rows, rows.new_ones(len(rows), dtype=torch.bool)
        gap = best.values[:, count] - best.values[:, count - 1]
        lengths = torch.linalg.vector_norm(centred, dim=1)
        error = ROUNDING * self._longest * (sqrt(centred.shape[1]) * lengths + self._longest)
        return rows[:, :count], gap > 2 * error

    def _compared(self, queries: Tensor, count: int) -> Tensor:
        """The nearest rows by float64 products with all rows, int64 (q, k)."""
        where = "cpu" if queries.device.type == "mps" else queries.device  # MPS has no float64
        origin = self.origin.to(where).double()
        centred, scores = queries.to(where).double() - origin, []
        for part in self.bank.split(1024):
            rows = part.to(where).double() - origin
            scores.append(rows.square().sum(1) / 2 - centred @ rows.T)
        return torch.cat(scores, dim=1).topk(count, largest=False).indices.to(queries.device)
