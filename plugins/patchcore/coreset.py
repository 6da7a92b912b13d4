"""The coreset: rows chosen by greedy k-centre, each the one farthest from all rows chosen before (algorithm 1).

The plain loop reads all rows for each pick. Here picks come in blocks, and they are the same ones:

1. Take the B rows with the largest distance to their nearest pick. All other rows are at most at the ``limit``.
2. Pick within these B rows, whose distances to each other are one matrix product. A pick is the farthest row of all as
   long as its distance is above the limit: rows outside of the block can only come nearer.
3. One more product brings the distances of all rows up to date with all picks of the block.

So most of the work is matrix products, and rows are read once for hundreds of picks. Products are float64, with the
rows' mean as the origin: their rounding is far below the gaps between rows, even where these are close together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

EQUAL = 1e-12
"""Relative difference of squared distances that is rounding: such rows tie, and the lowest one is picked."""

ZERO = 5e-16
"""Squared distance that is rounding, as a share of D times the largest squared norm."""

TIE = 2e-6
"""Relative difference of squared distances within which float32, as in plain loops, may pick another row."""

BLOCK = 1024
"""Most rows of a block; a 128th of few rows, so that memory stays small beside them."""

SCRATCH = {"cpu": 2**22, "cuda": 2**28}
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
    """Picks rows by greedy k-centre.

    ``nearest`` (N,), float64, is the squared distance of each row from its nearest pick, or a smaller bound that holds
    from the start. Besides the rows it takes 16 bytes a row, and less than a quarter of the rows' bytes in all.

    Args:
        rows: float32 (N, D); they are not copied.
        nearest: the bounds at the start: see ``mean_distances``, ``matrix_norms`` and ``from_row``.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows
        self.origin = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
        self.origin = torch.stack([part.sum(0) for _, part in self._parts()]).sum(0) / len(rows)
        self.norms = torch.cat([part.square_().sum(1) for _, part in self._parts()])  # (N,)
        self.nearest = torch.full_like(self.norms, float("inf"))
        self.block = min(max(len(rows) // 128, 32), BLOCK)
        self._zero = ZERO * rows.shape[1] * float(self.norms.max())
        self._has_picks = False

    def from_row(self, row: int) -> None:
        """Start with a row as the first pick, which ``picks`` does not yield."""
        self._add(torch.tensor([row]))

    def from_means(self, rows: Tensor) -> None:
        """Start as the approximate greedy sampler: bounds are the mean distances to some rows, (m,) int64.

        These rows are not picked as such, and the bounds stay.
        """
        for where, squares in self._less_own_norms(rows):
            squares += self.norms[where, None]
            self.nearest[where] = squares.clamp_(min=0).sqrt_().mean(1).square_()

    def from_all(self) -> None:
        """Start as the exact greedy sampler: bounds are the norms of the rows of the N x N matrix of distances.

        They exceed all distances, so they only choose the first pick. The sum of squared distances from all rows needs
        no matrix: about the rows' mean it is N |x|^2 + sum |x_j|^2. The first pick is the row farthest from the mean.
        """
        self.nearest = len(self.rows) * self.norms + self.norms.sum()

    def picks(self, count: int) -> Iterator[Picks]:
        """Pick ``count`` rows, and yield them block by block.

        It ends early if each row equals a picked one: another pick would repeat one.
        """
        while count > 0:
            found = self._picks_of_a_block(count)
            if not len(found.rows):
                if self._has_picks:
                    return
                found = Picks(torch.tensor([0]), torch.zeros(1, dtype=torch.float64), 1)  # all rows are equal
            self._add(found.rows)
            count -= len(found.rows)
            yield found

    def _picks_of_a_block(self, count: int) -> Picks:
        """The next picks, at most ``count``; none if every row equals a picked one."""
        top = self.nearest.topk(min(self.block + 1, len(self.nearest)))
        block, limit = top.indices, 0.0
        if len(block) > self.block:
            block, limit = block[:-1], float(top.values[-1])
        block = block.sort().values  # so that the first of equal rows is the lowest
        nearest, between = self.nearest[block].cpu().numpy(), self._between(block).cpu().numpy()
        lowest = max(limit / (1 - EQUAL), self._zero)
        picked, radii, ties = [], [], 0
        while len(picked) < count and (farthest := nearest.max()) > lowest:
            row = int(np.argmax(nearest >= farthest * (1 - EQUAL)))
            picked.append(row)
            radii.append(farthest)
            nearest[row] = 0
            ties += max(nearest.max(), limit) >= farthest * (1 - TIE)
            np.minimum(nearest, between[row], out=nearest)
        rows = block.cpu()[picked]
        if not picked and float(top.values[0]) > self._zero:  # more rows tie than a block has
            rows = (self.nearest >= top.values[0] * (1 - EQUAL)).nonzero()[0].cpu()
            radii, ties = [float(top.values[0])], 1
        return Picks(rows, torch.tensor(radii, dtype=torch.float64).sqrt_(), int(ties))

    def _add(self, picked: Tensor) -> None:
        """Bring the distances of all rows up to date with some picks, (m,)."""
        picked = picked.to(self.rows.device)
        for where, squares in self._less_own_norms(picked):
            found = squares.amin(1).add_(self.norms[where]).clamp_(min=0)
            torch.minimum(self.nearest[where], found, out=self.nearest[where])
        self.nearest[picked] = 0
        self._has_picks = True

    def _between(self, rows: Tensor) -> Tensor:
        """Squared distances between some rows, float64 (B, B)."""
        chosen, norms = self._centred(self.rows[rows]), self.norms[rows]
        return torch.addmm(norms, chosen, chosen.T, alpha=-2).add_(norms[:, None])

    def _less_own_norms(self, centres: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Squared distances of all rows from some centres, without the rows' own squared norms.

        Args:
            centres: numbers of rows, int64 (m,).

        Yields:
            A part of the rows, and float64 (n, m), which the next part overwrites.
        """
        centres = centres.to(self.rows.device)
        chosen, norms, squares = self._centred(self.rows[centres]), self.norms[centres], self.norms.new_empty(0)
        for where, part in self._parts(len(centres)):
            squares = squares if len(squares) >= len(part) else part.new_empty(len(part), len(centres))
            yield where, torch.addmm(norms, part, chosen.T, alpha=-2, out=squares[: len(part)])

    def _parts(self, more: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """The rows about their origin, float64 (n, D), part by part, with memory for ``more`` numbers a row."""
        scratch = min(SCRATCH.get(self.rows.device.type, 2**22), self.rows.nbytes // 10)
        step = max(64, scratch // (8 * (self.rows.shape[1] + more)))
        for start in range(0, len(self.rows), step):
            where = slice(start, start + step)
            yield where, self._centred(self.rows[where])

    def _centred(self, rows: Tensor) -> Tensor:
        return rows.double().sub_(self.origin)
