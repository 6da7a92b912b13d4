"""The detector of DFM: one vector per image, and the principal components of the training images' vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, OptionError, TaskError, maps

from . import DFMOptions

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

CHUNK_BYTES = 2**27
"""Of vectors that are converted to float64 at once."""


@dataclass(frozen=True)
class Components:
    """The first K principal components of vectors of D dimensions, all float32.

    ``mean`` is (D,), ``basis`` has the directions as its orthonormal columns, (D, K), and ``variance`` (K,) is that of
    the vectors along each of them.
    """

    mean: torch.Tensor
    basis: torch.Tensor
    variance: torch.Tensor

    def residual(self, vectors: torch.Tensor) -> torch.Tensor:
        """What the components leave out: (B, D) -> (B, D)."""
        away = vectors - self.mean
        return away - (away @ self.basis) @ self.basis.T

    def log_likelihood(self, vectors: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of a Gaussian on the components, times two and without constants: (B, D) -> float64 (B,)."""
        along = ((vectors - self.mean) @ self.basis).double()
        variance = self.variance.double()
        return -(along.square() / variance).sum(dim=1) - variance.log().sum()


def principal_components(vectors: torch.Tensor, share: float) -> Components:
    """Find the first principal components of N vectors.

    There are fewer images than dimensions, so the eigenvectors of the N x N products between vectors are found, in
    float64. The number of components is that of anomalib's program, by which the published numbers were made: the
    most that keep less than ``share`` of the variance. That may be none, as for a single image; then the residual is
    the distance from the mean.

    Args:
        vectors: float32 (N, D); centred in place.
        share: of the variance, in (0, 1].
    """
    mean = vectors.mean(dim=0, dtype=torch.float64 if vectors.device.type != "mps" else None).float()
    vectors -= mean
    squares, directions = torch.linalg.eigh(_products(vectors))  # ascending
    squares, directions = squares.flip(0).clamp(min=0), directions.flip(1)
    below = squares.cumsum(0) < share * squares.sum()
    real = squares > squares[0] * 1e-12  # the others are rounding errors
    count = int((below & real).sum())
    scaled = (directions[:, :count] / squares[:count].sqrt()).to(vectors)
    return Components(mean, vectors.T @ scaled, (squares[:count] / len(vectors)).to(vectors))


def _products(vectors: torch.Tensor) -> torch.Tensor:
    """The products between all vectors (N, N), float64 on the CPU, from a few dimensions at a time."""
    count = len(vectors)
    total = torch.zeros(count, count, dtype=torch.float64)
    for part in vectors.split(max(1, CHUNK_BYTES // (8 * count)), dim=1):
        exact = part.cpu().double()
        total += exact @ exact.T
    return total


class DFM(Detector):
    """The detector. After ``fit``, ``components`` holds all that scoring needs."""

    def __init__(self, options: DFMOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: DFMOptions = options
        self.backbone = backbone
        self.components: Components | None = None

    @torch.no_grad()
    def fit(self, images: Images) -> Iterator[Epoch]:
        """Collect a vector of each training image, then find the components."""
        if self.epoch:
            return
        yield Epoch(0, 1)
        vectors = [self.pooled(features).flatten(1) for features in images.features(self.backbone)]
        if not vectors:
            raise TaskError("dfm", found="no training image")
        self.components = principal_components(torch.cat(vectors), self.options.variance)
        if self.options.score == "likelihood" and not len(self.components.variance):
            raise TaskError(
                "dfm with -o score=likelihood",
                found="no component that stays below the share of the variance",
                wanted="at least one",
                hint="Take more training images or a larger -o variance=",
            )
        yield Epoch(1, 1)

    def score(self, batch: Batch) -> Scores:
        """Score images by the residual, with a map, or by the likelihood."""
        pooled = self.pooled(batch.features(self.backbone))
        components = self._fitted(pooled)
        if self.options.score == "likelihood":
            return Scores(image=-components.log_likelihood(pooled.flatten(1)))
        small = components.residual(pooled.flatten(1)).view_as(pooled).square().sum(dim=1)
        return Scores(image=small.sum(dim=(1, 2)), map=maps.upsample(small, batch.size))

    def pooled(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Average squares of positions: L x (B, C_i, h_i, w_i) -> float32 (B, C, h, w), on the smallest layer's grid.

        Raises:
            OptionError: a layer has fewer positions on a side than a square.
        """
        side = self.options.pooling
        parts = []
        for feature in features:
            if min(feature.shape[2:]) < side:
                raise OptionError(
                    "pooling",
                    found=f"{side}, for features of {feature.shape[2]}x{feature.shape[3]} positions",
                    wanted=f"at most {min(feature.shape[2:])}",
                    hint="Use a larger --size or a smaller -o pooling=",
                )
            parts.append(F.avg_pool2d(feature.float(), side))
        grid = min((part.shape[2:] for part in parts), key=lambda shape: shape[0] * shape[1])
        return torch.cat([F.adaptive_avg_pool2d(part, grid) for part in parts], dim=1)

    def state_dict(self) -> dict[str, Any]:
        """The mean, the basis and the variances."""
        state = super().state_dict()
        return state | (vars(self.components) if self.components else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what ``state_dict`` returned."""
        names = ("mean", "basis", "variance")
        parts = [state.get(name) for name in names]
        if not all(isinstance(part, torch.Tensor) for part in parts):
            found = ", ".join(map(str, state)) or "nothing"
            raise CheckpointError("checkpoint", found=found, wanted=f"{', '.join(names)} of a fitted dfm")
        mean, basis, variance = (part.to(self.device) for part in parts if part is not None)
        shapes = (tuple(mean.shape), tuple(basis.shape), tuple(variance.shape))
        if basis.ndim != 2 or shapes != ((len(basis),), tuple(basis.shape), (basis.shape[1],)):
            raise CheckpointError("checkpoint", found=f"shapes {shapes}", wanted="(D,), (D, K), (K,)")
        self.components = Components(mean, basis, variance)

    def _fitted(self, pooled: torch.Tensor) -> Components:
        if self.components is None:
            raise CheckpointError("dfm", found="no components", wanted="a fitted detector", hint="Call fit first")
        found, wanted = pooled[0].numel(), len(self.components.mean)
        if found != wanted:
            hint = "Use the size, backbone, layers and pooling that dfm was fitted with"
            raise CheckpointError("dfm's vectors", found=f"{found} dimensions", wanted=f"{wanted}", hint=hint)
        return self.components
