"""Principal components of very many vectors, from sums that grow batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to the variances by which the Mahalanobis distance divides, as in the authors' program."""


@dataclass(frozen=True)
class Components:
    """The first K principal components of vectors of C dimensions, all float32.

    ``mean`` is (C,), ``basis`` has the directions as its orthonormal columns, (C, K), the largest variance first, and
    ``variance`` is (K,).
    """

    mean: Tensor
    basis: Tensor
    variance: Tensor

    def residual(self, vectors: Tensor, drop: int = 0) -> Tensor:
        """Squared length of what the components leave out, those after the first ``drop``: (N, C) -> (N,)."""
        away, basis = vectors - self.mean, self.basis[:, drop:]
        return (away - (away @ basis) @ basis.T).square().sum(1)

    def mahalanobis(self, vectors: Tensor, drop: int = 0) -> Tensor:
        """Squared distance from the mean along the components, in units of their variances: (N, C) -> (N,)."""
        along = (vectors - self.mean) @ self.basis[:, drop:]
        return (along.square() / (self.variance[drop:] + EPSILON)).sum(1)

    def cosine(self, vectors: Tensor, drop: int = 0) -> Tensor:
        """One minus the cosine between a vector and what mean and components keep of it: (N, C) -> (N,)."""
        basis = self.basis[:, drop:]
        kept = self.mean + ((vectors - self.mean) @ basis) @ basis.T
        return 1 - torch.nn.functional.cosine_similarity(vectors, kept, dim=1)


class Moments:
    """Sums over vectors and over their products, in float64, from which the components come.

    The mean of the first batch is the origin, so that nothing cancels where the mean is large beside the spread.
    """

    def __init__(self) -> None:
        self.count = 0
        self.origin = self.total = self.products = torch.empty(0)

    def add(self, vectors: Tensor) -> None:
        """Count vectors (N, C) of any floating type."""
        exact = (vectors.cpu() if vectors.device.type == "mps" else vectors).double()  # MPS has no float64
        if not self.count:
            self.origin = exact.mean(0)
            self.total, self.products = torch.zeros_like(self.origin), exact.new_zeros(exact.shape[1], exact.shape[1])
        exact = exact - self.origin
        self.count += len(exact)
        self.total += exact.sum(0)
        self.products.addmm_(exact.T, exact)

    def components(self, share: float, count: int = 0) -> Components:
        """Find the first components.

        Directions without variance are left out: there are fewer components than vectors.

        Args:
            share: of the variance that the components reach, in (0, 1].
            count: their number in place of the share; 0 for the share.
        """
        mean = self.total / self.count
        covariance = (self.products - self.count * mean[:, None] * mean) / max(self.count - 1, 1)
        variance, directions = torch.linalg.eigh(covariance)  # ascending
        variance, directions = variance.flip(0).clamp(min=0), directions.flip(1)
        real = int((variance > variance[0] * 1e-12).sum())
        reached = int((variance.cumsum(0) < share * variance.sum()).sum()) + 1
        kept = min(count or reached, real)
        return Components((self.origin + mean).float(), directions[:, :kept].float(), variance[:kept].float())
