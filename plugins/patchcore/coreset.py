"""Greedy k-centre: rows chosen one by one, each the one farthest from all rows chosen before (algorithm 1).

The plain loop compares all rows with each pick. Here picks come in blocks, and they are the same ones:

1. The distance of a row from its nearest pick can only fall, so a distance from some of the picks is an upper bound.
   Take the rows with the largest bounds, and compare only these with the picks that their bounds don't count yet. All
   other rows are at most at the ``limit``.
2. Pick within the block of the farthest of them, whose distances to each other are one matrix product. A pick is the
   farthest row of all as long as its distance is above the limit.

So most rows are never compared with most picks, and the rest are matrix products instead of passes over memory. The
products are float64, with a point among the rows as the origin: their rounding is far below the gaps between rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TIE = 2e-6
"""Relative difference of squared distances within which float32, as in plain loops, may pick another row."""

ROUNDING = 5e-16
"""Error of a squared distance in float64, as a share of D + 3 times the largest squared norm. Rows that differ by less
tie, and the lowest one is picked, as in a plain loop over equal ones."""

SCRATCH = {"cpu": 2**21, "cuda": 2**28}
"""Most bytes of distances that are computed at once: what a processor's cache holds, or enough for a GPU."""


@dataclass(frozen=True)
class Picks:
    """Rows that were picked one after the other.

    Attributes:
        rows: their numbers, int64 (m,), on the CPU.
        radii: distance of each from its nearest pick, when it was picked, float64 (m,).
        ties: picks for which another row was as far, to float32's rounding.
    """

    rows: Tensor
    radii: Tensor
    ties: int


class KCentre:
    """Picks rows by greedy k-centre. It takes less than a quarter of the rows' memory in addition.

    Args:
        rows: float32 (N, D); they are not copied.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows
        self.origin = rows[:: max(1, len(rows) // 1024)].double().mean(0)
        self.norms = torch.cat([part.square_().sum(1) for part in map(self._centred, self._parts())])  # (N,)
        self.bounds = torch.full_like(self.norms, float("inf"))  # of squared distances from the nearest pick
        self.counted = torch.zeros(len(rows), dtype=torch.int32, device=rows.device)  # picks that the bounds count
        self.picked = torch.empty(0, dtype=torch.int64, device=rows.device)
        self.block = min(max(len(rows) // 128, 32), 512)
        """Rows of a block."""
        self.compared = 16 * self.block
        """Rows that are compared with picks for a block."""
        self._rounding = ROUNDING * (rows.shape[1] + 3) * float(self.norms.max())

    def from_row(self, row: int) -> None:
        """Start with a row as the first pick, which ``picks`` does not yield."""
        self.picked = torch.tensor([row], device=self.rows.device)
        self._compare(torch.arange(len(self.rows), device=self.rows.device))
        self.bounds[row] = 0

    def from_means(self, rows: Tensor) -> None:
        """Start as the approximate greedy sampler: bounds are the mean distances to some rows, (m,) int64.

        These rows are not picked as such, and the bounds stay.
        """
        centres, norms = self._chosen(rows.to(self.rows.device)), self.norms[rows]
        means = [self._squares(part, centres, norms).sqrt_().mean(1) for part in map(self._centred, self._parts())]
        self.bounds = torch.cat(means).square_()

    def from_all(self) -> None:
        """Start as the exact greedy sampler: bounds are the norms of the rows of the N x N matrix of distances.

        They exceed all distances, so they only choose the first pick. The sum of squared distances from all rows needs
        no matrix: about the rows' mean it is N |x|^2 + sum |x_j|^2. The first pick is the row farthest from the mean.
        """
        mean = torch.stack([part.sum(0) for part in map(self._centred, self._parts())]).sum(0) / len(self.rows)
        about_mean = [(part - mean).square_().sum(1) for part in map(self._centred, self._parts())]
        squares = torch.cat(about_mean)
        self.bounds = len(self.rows) * squares + squares.sum()

    def picks(self, count: int) -> Iterator[Picks]:
        """Pick ``count`` rows, and yield them block by block.

        It ends early if each row equals a picked one: another pick would repeat one.
        """
        compared = self.compared
        while count > 0:
            rows, limit = self._farthest(compared)
            has_fallen = self._compare(rows)
            farthest = float(self.bounds[rows].max())
            if limit > self._rounding and farthest <= limit / (1 - TIE):
                compared *= 1 if has_fallen else 2  # twice, if as many rows as were compared tie
                continue
            if farthest <= self._rounding and len(self.picked):
                return
            found = self._picks_among(rows, limit, count)
            compared, count = self.compared, count - len(found.rows)
            yield found

    def distances(self) -> Tensor:
        """Distance of each row from its nearest pick, float64 (N,)."""
        self._compare(torch.arange(len(self.rows), device=self.rows.device))
        return self.bounds.sqrt()

    def _farthest(self, count: int, among: Tensor | None = None) -> tuple[Tensor, float]:
        """The rows with the largest bounds in ascending order, and the largest bound of the others."""
        bounds = self.bounds if among is None else self.bounds[among]
        rows, limit = torch.arange(len(bounds), device=bounds.device), 0.0
        if count < len(bounds):
            top = bounds.topk(count + 1)
            rows, limit = top.indices[:-1].sort().values, float(top.values[-1])
        return (rows if among is None else among[rows]), limit

    def _picks_among(self, rows: Tensor, limit: float, count: int) -> Picks:
        """At most ``count`` picks among some rows, in ascending order, while all others are at most at the limit."""
        block, own_limit = self._farthest(self.block, rows)
        bounds = self.bounds[block].cpu().numpy()
        between = self._squares(self._chosen(block), self._chosen(block), self.norms[block])
        squares = between.cpu().numpy()
        lowest = max(limit, own_limit) / (1 - TIE) + self._rounding
        picked, radii, ties = [], [], 0
        while len(picked) < count and (farthest := bounds.max()) > lowest:
            row = int(np.argmax(bounds >= farthest - self._rounding))  # the lowest of equal ones
            picked.append(row)
            radii.append(farthest)
            bounds[row] = 0
            ties += bool(bounds.max() >= farthest * (1 - TIE))
            np.minimum(bounds, squares[row], out=bounds)
        if not picked:  # more rows tie than a block has, or all rows are equal
            farthest = self.bounds[rows].max()
            first = rows[self.bounds[rows] >= farthest - self._rounding][:1]
            self._add(first)
            return Picks(first.cpu(), farthest.sqrt().cpu()[None], 1)
        self.bounds[block] = torch.from_numpy(bounds).to(block.device)
        self._add(block[picked])
        self.counted[block] = len(self.picked)
        return Picks(block.cpu()[picked], torch.tensor(radii, dtype=torch.float64).sqrt_(), ties)

    def _add(self, rows: Tensor) -> None:
        self.picked = torch.cat((self.picked, rows))
        self.bounds[rows] = 0

    def _compare(self, rows: Tensor) -> bool:
        """Bring the bounds of some rows up to date with all picks, and return whether any had not been."""
        counted, order = self.counted[rows].sort()
        rows, last = rows[order], len(self.picked)
        first = int(counted[0])
        step = max(64, self._scratch // (8 * self.rows.shape[1]))
        for start in range(first, last, step):
            stop = min(start + step, last)
            centres, norms = self._chosen(self.picked[start:stop]), self.norms[self.picked[start:stop]]
            since, sizes = counted.clamp(min=start)[counted < stop].unique_consecutive(return_counts=True)
            groups = rows[: int(sizes.sum())].split(sizes.tolist())
            for skipped, some in zip((since - start).tolist(), groups, strict=True):
                self._lower(some, centres[skipped:], norms[skipped:])
        self.counted[rows] = last
        return first < last

    def _lower(self, rows: Tensor, centres: Tensor, norms: Tensor) -> None:
        """Lower the bounds of some rows to their squared distances from some centres, (m, D)."""
        for part in rows.split(max(64, self._scratch // (8 * sum(centres.shape)))):
            squares = torch.addmm(norms, self._chosen(part), centres.T, alpha=-2)
            nearest = squares.amin(1).add_(self.norms[part]).clamp_(min=0)
            self.bounds[part] = torch.minimum(self.bounds[part], nearest)

    def _squares(self, rows: Tensor, centres: Tensor, norms: Tensor) -> Tensor:
        """Squared distances of rows (n, D) from centres (m, D) about the origin, float64 (n, m)."""
        squares = torch.addmm(norms, rows, centres.T, alpha=-2)
        return squares.add_(rows.square().sum(1, keepdim=True)).clamp_(min=0)

    @property
    def _scratch(self) -> int:
        return min(SCRATCH.get(self.rows.device.type, 2**21), self.rows.nbytes // 16)

    def _parts(self) -> Iterator[Tensor]:
        """The rows, in parts that float64 copies of may be made."""
        return iter(self.rows.split(max(64, self._scratch // (16 * self.rows.shape[1]))))

    def _chosen(self, rows: Tensor) -> Tensor:
        """Rows by their numbers (n,) about the origin, float64 (n, D)."""
        return self._centred(self.rows.index_select(0, rows))  # several times as fast as self.rows[rows]

    def _centred(self, rows: Tensor) -> Tensor:
        return rows.double().sub_(self.origin)
